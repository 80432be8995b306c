"""The trained network to take away: a folder that runs by itself, or one ONNX file."""

import json
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

from safetensors.torch import save

from labelgap.core.files import write_atomically
from labelgap.project.asking.work import Work
from labelgap.project.exchange.class_folders import need_empty
from labelgap.project.exchange.model import FACTS, TENSORS, classifier, facts_of
from labelgap.project.exchange.onnx_file import onnx_bytes

LOADER = '''"""Loads the classifier of this folder: `names, probabilities = predict(["a.jpg"])`."""

from pathlib import Path

import numpy as np
import torch

from labelgap.data.images import decode
from labelgap.data.scales import Scales
from labelgap.project.exchange.model import load

model, facts = load(Path(__file__).parent)
# What the values of 16-bit and float images became: the same as in training.
scales = Scales({kind: (low, high) for kind, (low, high) in facts["scales"].items()})


def predict(paths):
    images = [decode((str(p), Path(p).read_bytes()), 3, None, facts["side"], scales) for p in paths]
    with torch.inference_mode():
        probabilities = model(torch.from_numpy(np.stack(images))).numpy()
    return [facts["classes"][k] for k in probabilities.argmax(1)], probabilities
'''

README = """\
# {name}: which class is an image of?

A network that tells apart: {classes}. It was trained on {labels} labels with labelgap; \
its accuracy was {accuracy} (on images that it never learned from).

## Use it

    pip install onnxruntime numpy pillow
    python predict.py photo.jpg                       # one line for each image
    python predict.py folder/ --out predictions.csv   # a table

labelgap is not needed. HEIC photographs need `pip install pi-heif` as well.

## What is here

| file | what it is |
|---|---|
| `model.onnx` | the whole network: it takes images as they are and gives probabilities |
| `predict.py` | opens images, and asks the network |
| `labels.txt` | the classes, one a line, in the order of the probabilities |
| `model.safetensors`, `model.json`, `load.py` | the same network for PyTorch, with labelgap: \
`labelgap predict FOLDER --model .` |

## For other programs

`model.onnx` has one input, `images`: uint8 [n, {side}, {side}, 3], RGB, n free. To make one: turn \
the photograph upright, lay transparency over white, resize so that the shorter side has {side} \
pixels (bicubic, antialiased), keep the square at the centre. No scaling, no mean: that is inside. \
One output, `probabilities`: float32 [n, {number}]. The file's metadata has `classes`, `side`, \
`input` and `output` as JSON.
"""


def export_model(work: Work, out: Path, format: str) -> None:
    """Write the model: a folder that runs by itself, or one ONNX file.

    Raises
    ------
    LabelgapError: nothing is trained.
    FolderError: `out` is not an empty folder, or cannot be written.
    """
    if format != "onnx":
        need_empty(out)
    model = classifier(work)
    facts = facts_of(work, model)
    program = onnx_bytes(model, facts)
    if format == "onnx":
        write_atomically(out, lambda file: file.write(program))
        return
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    standalone = files("labelgap.project.exchange") / "standalone.py"
    contents: dict[str, bytes] = {
        TENSORS: save(state, {"classes": json.dumps(facts["classes"])}),
        FACTS: json.dumps(facts, indent=1).encode(),
        "load.py": LOADER.encode(),
        "model.onnx": program,
        "predict.py": standalone.read_bytes(),
        "labels.txt": "".join(f"{name}\n" for name in facts["classes"]).encode(),
        "README.md": _readme(work, facts).encode(),
    }
    fresh = not out.exists()
    try:
        for name, data in contents.items():
            write_atomically(out / name, _writer(data))
    except BaseException:
        # It was empty: half of a model would be in the way of the next export.
        for name in contents:
            (out / name).unlink(missing_ok=True)
        with suppress(OSError):
            if fresh:
                out.rmdir()
        raise


def _writer(data: bytes) -> Callable[[IO[bytes]], object]:
    return lambda file: file.write(data)


def _readme(work: Work, facts: dict[str, Any]) -> str:
    from labelgap.project.quality.status import status

    return README.format(
        name=work.project.root.name,
        classes=", ".join(facts["classes"]),
        labels=facts["labels"],
        accuracy=status(work.project).accuracy.sentence,
        side=facts["side"],
        number=len(facts["classes"]),
    )
