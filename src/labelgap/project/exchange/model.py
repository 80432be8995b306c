"""The trained classifier for other programs: safetensors with a short loader, or ONNX."""

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from safetensors.torch import save
from torch import Tensor, nn

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import ConfigError, DataError, FolderError
from labelgap.core.files import write_atomically, write_text
from labelgap.core.installing import extra
from labelgap.core.tensors import mismatch, read_tensors
from labelgap.project.asking.work import Work

LOADER = '''"""Loads the classifier of this folder: `names, probabilities = predict(["a.jpg"])`."""

from pathlib import Path

import numpy as np
import torch

from labelgap.data.images import decode
from labelgap.project.exchange.model import load

model, facts = load(Path(__file__).parent)


def predict(paths):
    images = [decode((str(p), Path(p).read_bytes()), 3, None, facts["side"]) for p in paths]
    with torch.inference_mode():
        probabilities = model(torch.from_numpy(np.stack(images))).numpy()
    return [facts["classes"][k] for k in probabilities.argmax(1)], probabilities
'''


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
        "input": "uint8 [n, side, side, 3], RGB, shorter side resized, centre cropped",
        "output": "probabilities [n, classes]",
        "input_shape": list(work.session.task.input_shape),
        "network": work.config.network.model_dump(mode="json") | {"weights": None},
        "preprocessing": None if seen is None else {
            "size": seen.size, "mean": seen.mean, "std": seen.std,
            "interpolation": seen.interpolation,
        },
        "labels": len(work.session.labelled()[0]),
    }  # fmt: skip


def export_model(work: Work, out: Path, format: str) -> None:
    """Write the model: a folder (safetensors, JSON, loader), or one ONNX file.

    Raises
    ------
    LabelgapError: nothing is trained.
    FolderError: `out` exists, or cannot be written.
    ConfigError: ONNX without its extra.
    """
    model = classifier(work)
    facts = facts_of(work, model)
    if format == "onnx":
        _onnx(model, facts, out)
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FolderError(f"{out} is not an empty folder.", "Choose another --out.")
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    data = save(state, {"classes": json.dumps(facts["classes"])})
    fresh = not out.exists()
    try:
        write_atomically(out / TENSORS, lambda file: file.write(data))
        write_text(out / FACTS, json.dumps(facts, indent=1))
        write_text(out / "load.py", LOADER)
    except BaseException:
        # It was empty: half of a model would be in the way of the next export.
        for name in (TENSORS, FACTS, "load.py"):
            (out / name).unlink(missing_ok=True)
        if fresh and out.exists():
            out.rmdir()
        raise


def _onnx(model: Classifier, facts: dict[str, Any], out: Path) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"ONNX needs a package that is not installed ({error.name}).",
            f"{extra('onnx')} brings it.",
        ) from error
    side = facts["side"]
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    sink = BytesIO()
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        model,
        (example,),
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_shapes=({0: batch},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    made = program.model_proto
    for key in ("classes", "input", "output"):
        entry = made.metadata_props.add()
        entry.key, entry.value = key, json.dumps(facts[key])
    onnx.checker.check_model(made)
    sink.write(made.SerializeToString())
    write_atomically(out, lambda file: shutil.copyfileobj(BytesIO(sink.getvalue()), file))
