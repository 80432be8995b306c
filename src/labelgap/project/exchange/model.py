"""The trained classifier from pixels on, and how it is kept: tensors, and facts about them."""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError
from labelgap.core.tensors import mismatch, read_tensors
from labelgap.project.asking.work import Work
from labelgap.project.quality.quality import last_training

FACTS, TENSORS = "model.json", "model.safetensors"
_CURE = "Export it again: `labelgap export --format model`."


class Classifier(nn.Module):
    """From packed pixels to probabilities: backbone if there is one, normalisation, network.

    mean, std: of what the network was trained on: channels in [0, 1], or frozen features.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor, backbone: Any = None) -> None:
        super().__init__()
        self.network = network
        self.body: nn.Module | None = None if backbone is None else backbone.model
        self._preprocessing = None if backbone is None else backbone.preprocessing
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: UInt8[Tensor, "n h w c"]) -> Float[Tensor, "n k"]:
        if self.body is not None and self._preprocessing is not None:
            from labelgap.networks.timm import prepare

            x = self.body(prepare(images, self._preprocessing)).flatten(1).float()
            x = (x - self.mean) / self.std
        else:
            x = (images.float() / 255 - self.mean) / self.std
            x = x.permute(0, 3, 1, 2)
        probabilities: Tensor = self.network(x).logits.softmax(dim=1)
        return probabilities


def classifier(work: Work) -> Classifier:
    """The last trained network, on the CPU, from pixels on.

    Raises `LabelgapError` where nothing is trained.
    """
    work.load()
    task = work.session.task
    backbone = None
    if work.config.network.freeze:
        from labelgap.networks.timm import load_backbone

        backbone = load_backbone(work.config.network)
    network = work.session.training.network.cpu().eval()
    made = Classifier(network, torch.tensor(task.mean), torch.tensor(task.std), backbone)
    return made.eval()


def load(folder: Path) -> tuple[Classifier, dict[str, Any]]:
    """The classifier of an exported folder, on the CPU, and its facts.

    Raises `DataError` where one of its files is missing, damaged or of another export.
    """
    try:
        facts = json.loads((folder / FACTS).read_text())
    except (OSError, ValueError) as error:
        not_the_disk(error, folder / FACTS)
        raise DataError(f"{folder / FACTS} cannot be read ({error}).", _CURE) from error
    try:
        return rebuild(facts, read_tensors(folder / TENSORS)), facts
    except DataError as error:
        raise DataError(f"{folder}: {error.cause}", _CURE) from error


def rebuild(facts: dict[str, Any], state: dict[str, Tensor]) -> Classifier:
    """The classifier of an exported folder, from model.json and its tensors.

    Raises `DataError` where the two do not belong together.
    """
    from labelgap.core.config import NetworkSettings
    from labelgap.networks.build import build
    from labelgap.networks.timm import Preprocessing, empty_backbone

    try:
        settings = NetworkSettings.model_validate(facts["network"])
        shape, p = tuple(facts["input_shape"]), facts["preprocessing"]
        network = build(settings, shape, len(facts["classes"]))
        mean, std = state["mean"], state["std"]
        seen = None
        if p is not None:
            seen = Preprocessing(p["size"], tuple(p["mean"]), tuple(p["std"]), p["interpolation"])
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(f"The exported model is incomplete ({error!r}).", _CURE) from error
    backbone = None if seen is None else empty_backbone(settings, seen, int(shape[0]))
    made = Classifier(network, mean, std, backbone)
    if problem := mismatch(made.state_dict(), state):
        raise DataError(f"The tensors are not those of the exported network ({problem}).", _CURE)
    made.load_state_dict(state)
    return made.eval()


def facts_of(work: Work, model: Classifier) -> dict[str, Any]:
    """What a loader must know besides the tensors."""
    seen = model._preprocessing
    return {
        "classes": list(work.project.classes),
        "side": work.project.settings.image_size,
        "scales": work.project.settings.scales,
        "input": "uint8 [n, side, side, 3], RGB, shorter side resized, centre cropped",
        "output": "probabilities [n, classes]",
        "input_shape": list(work.session.task.input_shape),
        "network": work.config.network.model_dump(mode="json") | {"weights": None},
        "preprocessing": None if seen is None else {
            "size": seen.size, "mean": seen.mean, "std": seen.std,
            "interpolation": seen.interpolation,
        },
        "labels": last_training(work.project.ledger)["labels"],
    }  # fmt: skip
