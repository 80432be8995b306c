"""Images a second of ResNet-18 at 32 × 32, in training and in prediction, on one device.

Training is the whole of labelgap's step: the batch drawn, cropped and mirrored on the device,
forward, loss, backward, optimiser. The images are noise, since a kernel's time does not depend on
what it multiplies.
"""

import re
import time
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from labelgap.core.device import machine
from labelgap.data.types import Task
from labelgap.learn.compiled import Compiled
from labelgap.learn.stage import StageRunner
from labelgap.loop.oracle import Oracle
from labelgap.networks.network import Network
from labelgap.session.presets import resolve
from labelgap.session.session import Session

PEAKS = {
    "H100": (494e12, 989e12),
    "H100 PCIe": (378e12, 756e12),
    "H100 NVL": (418e12, 835e12),
    "H200": (494e12, 989e12),
    "A100": (156e12, 312e12),
    "L4": (60e12, 121e12),
    "GeForce RTX 4090": (82e12, 165e12),
}
"""Operations a second in float32 and bfloat16 by the makers' data sheets, dense; a multiplication
and an addition are two. Convolutions in float32 run in TF32 there, torch's default. Other cards
have no share of their bound in the table."""
_FORMS = re.compile(r"^NVIDIA |[ -](SXM\d-\d+GB|PCIE-\d+GB|\d+GB( HBM3| PCIe)?)$")
"""What a card's name says besides: its maker, how it is built in, its memory.
A slice of a card keeps a name of its own."""


def peak_of(card: str, precision: str) -> float | None:
    """The bound of a card by its name, or None where no data sheet was read."""
    both = PEAKS.get(_FORMS.sub("", card))
    return None if both is None else both[precision == "bfloat16"]


def session_of(images: int, device: str, precision: str, width: int) -> Session:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    task = Task.from_arrays(x, rng.integers(0, 10, images), classes=range(10), name="noise")
    settings = {"method": "random", "network": {"width": width}, "precision": precision}
    config = resolve(settings, preset="paper")
    return Session(task, config, machine=machine(device, precision, "off"))


def operations(network: Network, device: torch.device) -> float:
    """Operations of one image's forward pass: each multiplication and each addition is one."""
    x = torch.zeros(1, 3, 32, 32, device=device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(x)
    return float(counter.get_total_flops())


def measure(
    part: str, precision: str, compiled: bool, device: str, images: int, steps: int, width: int
) -> dict[str, Any]:
    """Images a second: the median of five turns, after one that chooses the kernels.

    Parameters
    ----------
    part: "train" or "predict". compiled: by torch's compiler. images: in the training set.
    steps: of a turn of training. width: of the network; 64 is ResNet-18.
    """
    session = session_of(images, device, precision, width)
    session.tell(Oracle(session.task).answer(session.ask(min(1000, images // 2))))
    training = session.new_training(0)
    network, where, rates = training.network, session.machine.device, list[float]()
    if part == "train":
        stage = session.objective.stages(training)[0]
        runner = StageRunner(session.learner.inputs, training, stage)
        with Compiled(network) if compiled else nullcontext():
            for turn in range(6):
                session.machine.synchronise()
                started = time.perf_counter()
                for step in range(turn * steps, (turn + 1) * steps):
                    runner.step(step)
                session.machine.synchronise()
                rates.append(steps * stage.batch_size / (time.perf_counter() - started))
    else:
        ids = np.arange(images)
        for _ in range(6):
            started = time.perf_counter()
            session.learner.predict(network, ids)
            rates.append(images / (time.perf_counter() - started))
    rate, forward = float(np.median(rates[1:])), operations(network, where)
    # Backward computes two products for each of forward's.
    each, card = forward * (3 if part == "train" else 1), name_of(where)
    # Predictions are always in float32.
    peak = peak_of(card, precision if part == "train" else "float32")
    return {
        "card": card, "images_per_second": rate, "least": min(rates[1:]), "most": max(rates[1:]),
        "operations_per_image": each, "peak": peak,
        "share_of_peak": rate * each / peak if peak else None,
    }  # fmt: skip


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
