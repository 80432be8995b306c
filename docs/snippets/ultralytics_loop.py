"""Classification with ultralytics."""

import numpy as np
from ultralytics import YOLO

import labelgap

model = YOLO("yolo11n-cls.yaml")  # yours: the .pt file of your training
images = list(np.random.default_rng(0).integers(0, 255, (24, 64, 64, 3), dtype=np.uint8))
embedded = model.embed(images, imgsz=64, verbose=False)
features = np.stack([e.numpy() for e in embedded])
model.predictor = None  # embed and predict keep different predictors
results = model.predict(images, imgsz=64, verbose=False)
chances = np.stack([r.probs.data.numpy() for r in results])
asked = labelgap.choose(5, features, probabilities=chances, labelled=[0, 1], labels=[3, 7])
