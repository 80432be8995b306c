"""The trained classifier as ONNX, with all that a program must know of its inputs and outputs."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from labelgap.project.exchange.model import Classifier

KEPT = ("classes", "side", "scales", "input", "output")
"""Facts that the file carries as its metadata, each as JSON."""


def onnx_bytes(model: Classifier, facts: dict[str, Any]) -> bytes:
    """The classifier from uint8 images [n, side, side, 3] to probabilities [n, classes]: scaling,
    normalisation, frozen backbone and adapter are inside. n is free.
    """
    import onnx

    side = facts["side"]
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            model,
            (example,),
            input_names=["images"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    made = program.model_proto
    for key in KEPT:
        entry = made.metadata_props.add()
        entry.key, entry.value = key, json.dumps(facts[key])
    onnx.checker.check_model(made)
    data: bytes = made.SerializeToString()
    return data


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's warnings are about itself: nobody who exports can act on them."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
