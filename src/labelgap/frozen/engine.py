"""The engine that computes a frozen backbone's features: PyTorch, or OpenVINO on a CPU."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


def import_openvino() -> Any:
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino
    return openvino


def compile_openvino(model, example, threads, precision="f32"):
    ov = import_openvino()
    m = ov.convert_model(model, example_input=example, input=list(example.shape))
    c = ov.Core().compile_model(m, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"})
    r = c.create_infer_request()
    return lambda x: r.infer([x])[c.output(0)].copy()
