"""Features of a network of timm; what is far from the labels comes first."""

import timm
import torch

import labelgap

network = timm.create_model("resnet18", pretrained=False, num_classes=5).eval()
images = torch.rand(40, 3, 64, 64)  # yours; `pretrained=True` for a network that has seen some
with torch.inference_mode():
    maps = network.forward_features(images)
    features = network.forward_head(maps, pre_logits=True)  # what enters the last layer
    logits = network.get_classifier()(features)
asked = labelgap.choose(8, features, logits=logits, labelled=[0, 1], labels=[2, 4])
