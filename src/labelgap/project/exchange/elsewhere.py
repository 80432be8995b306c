"""The classes of images that are no part of a project, by a trained network."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from labelgap.core.errors import DataError, FolderError
from labelgap.data.left_out import LeftOut
from labelgap.data.progress import late_progress
from labelgap.data.scales import Scales
from labelgap.project.exchange.model import Classifier
from labelgap.project.exchange.outputs import table_format
from labelgap.project.images.found import Found, left_out, walk_folder
from labelgap.project.images.ingest import _Read, _read_all
from labelgap.project.images.pixels import Pixels
from labelgap.project.images.readers import Reader
from labelgap.project.images.tables import Row, write_table

COLUMNS = ("path", "sha256", "predicted", "probability")
BATCH = 32


@dataclass
class Applied:
    """What became of a folder's images."""

    number: int = 0
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)
    """(path, reason, details)"""
    beside: list[LeftOut] = field(default_factory=list)
    """What lies there and is not read as an image."""


def predict_folder(
    model: Classifier,
    facts: dict[str, Any],
    folder: Path,
    out: Path,
    probabilities: bool = False,
    device: torch.device | str = "cpu",
) -> Applied:
    """Write path, sha256, predicted and probability of every image in a folder, at any depth.

    facts: of the model (`facts_of`): its classes and the side of its square.
    probabilities: a further column for each class, "p(name)".

    Raises `UnknownName` for a table of another kind than .csv, .jsonl, .parquet; `FolderError` for
    no folder; `DataError` for one without images.
    """
    format = table_format(out)
    if not folder.is_dir():
        raise FolderError(f"{folder} is not a folder.", "Give the folder that has the images.")
    found = list(walk_folder(folder))
    if not found:
        raise DataError(f"{folder} has no images.", "Give the folder that has the images.")
    report, classes = Applied(beside=left_out(folder)), facts["classes"]
    model = model.to(device).eval()
    rows: list[Row] = []
    ranges = facts.get("scales", {}).items()
    scales = Scales({kind: (float(low), float(high)) for kind, (low, high) in ranges})
    square = Pixels(Path(), int(facts["side"]), scales)  # how images are packed; no file
    for block in _batches(found, folder, square, report):
        images = np.stack([read.what.pixels for read in block if read.what.pixels is not None])
        with torch.inference_mode():
            p = model(torch.from_numpy(images).to(device)).cpu().numpy()
        rows += [_row(read, p[k], classes, probabilities) for k, read in enumerate(block)]
    report.number = len(rows)
    more = tuple(f"p({name})" for name in classes) if probabilities else ()
    write_table(out, rows, (*COLUMNS, *more), format)
    return report


def _row(read: _Read, p: Float[np.ndarray, " k"], classes: list[str], probabilities: bool) -> Row:
    values, k = p.tolist(), int(p.argmax())
    row: Row = {
        "path": read.found.path,
        "sha256": read.sha256,
        "predicted": classes[k],
        "probability": round(values[k], 6),
    }
    if probabilities:
        row |= {f"p({n})": round(v, 6) for n, v in zip(classes, values, strict=True)}
    return row


def _batches(
    found: list[Found], folder: Path, square: Pixels, report: Applied
) -> Iterator[list[_Read]]:
    """Images that could be read, some at a time; the others go into the report."""
    block: list[_Read] = []
    with late_progress("Predicting", len(found)) as advance:
        for read in _read_all(found, Reader(folder), frozenset(), square):
            advance(1)
            if read.what.pixels is None:
                report.unreadable.append((read.found.path, read.what.reason, read.what.detail))
                continue
            block.append(read)
            if len(block) == BATCH:
                yield block
                block = []
    if block:
        yield block
