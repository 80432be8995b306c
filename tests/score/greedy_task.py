"""Tasks that no worker survives, or has the memory for, at one shard; workers can import them."""

import os
import signal
from dataclasses import dataclass

import numpy as np

from labelgap.score.parts import Arrays
from labelgap.score.shards import Shard


@dataclass(frozen=True)
class Greedy:
    """The rows of each shard; at one it asks for more memory than any machine has, or is killed."""

    at: str
    killed: bool = False
    stage: str = "greedy"
    digest: str = "0"

    def __call__(self, shard: Shard) -> Arrays:
        rows = len(np.load(shard.path, mmap_mode="r"))
        if shard.name == self.at and self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if shard.name == self.at:
            np.empty(1 << 60, dtype=np.uint8)
        return {"rows": np.array(rows)}
