"""Every random draw: `stream(seed, purpose, round, step)`, never one seed for all.

A draw depends on what it is for, in which round and at which step, and on nothing that was drawn
before it. Hence two methods with one seed share their initial set, initial weights and batch
order; an extra training stage disturbs none of them; and a run resumes without saved random
state (design: "Streams, not a seed").
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64

_MASK = (1 << 64) - 1


class _Key(np.random.bit_generator.ISeedSequence):
    """A key of 128 bits, as a bit generator takes it.

    `Philox(key=…)` gives the same stream, but first asks the system for entropy that it then does
    not use: among a training step's work, fifty microseconds.
    """

    def __init__(self, key: int) -> None:
        self.words = np.array([key & _MASK, key >> 64], dtype=np.uint64)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        assert (n_words, dtype) == (2, np.uint64), "Philox takes two words of 64 bits"
        return self.words


class Streams:
    """A family of independent random generators under one seed.

    Parameters
    ----------
    seed: any integer; runs with equal seeds are paired.
    """

    def __init__(self, seed: int) -> None:
        self.seed: int = int(seed)

    def _key(self, purpose: str, round: int, step: int) -> int:
        text = f"{self.seed}\x1f{purpose}\x1f{round}\x1f{step}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "little")

    def child(self, purpose: str, round: int = 0, step: int = 0) -> "Streams":
        """A family of its own, for what is done several times in one round."""
        return Streams(self._key(purpose, round, step))

    def numpy(self, purpose: str, round: int = 0, step: int = 0) -> np.random.Generator:
        """A numpy generator (Philox: counter-based, cheap to make anew at every step)."""
        key = _Key(self._key(purpose, round, step))
        return np.random.Generator(np.random.Philox(key))  # type: ignore[arg-type]

    def torch(
        self, purpose: str, round: int = 0, step: int = 0, device: str = "cpu"
    ) -> torch.Generator:
        """A torch generator; use the CPU's and move the draw where devices must agree."""
        generator = torch.Generator(device=device)
        generator.manual_seed(self._key(purpose, round, step) & (_MASK >> 1))
        return generator

    def permutation(self, purpose: str, n: int, round: int = 0) -> Int64[np.ndarray, " n"]:
        """A permutation of 0..n-1, the same for every method of one seed."""
        return self.numpy(purpose, round).permutation(n).astype(np.int64)

    def ties(
        self, ids: Int64[np.ndarray, " n"], purpose: str, round: int = 0
    ) -> Float[np.ndarray, " n"]:
        """A uniform draw in [0, 1) per *id*, independent of the order or company of the ids.

        Breaks ties so that shuffled storage or a planted subset changes no answer.
        """
        # SplitMix64 of (id + key): a keyed hash, so an item's draw belongs to the item.
        x = ids.astype(np.uint64) + np.uint64(self._key(purpose, round, 0) & _MASK)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x = x ^ (x >> np.uint64(31))
        draws: Float[np.ndarray, " n"] = (x >> np.uint64(11)).astype(np.float64) / float(1 << 53)
        return draws

    @contextmanager
    def scope(self, purpose: str, round: int = 0, step: int = 0) -> Iterator[None]:
        """Give libraries that take no generator a seeded global one, and restore it after.

        For module constructors, `F.dropout`, timm. Draws from the global generators outside a
        scope are an error in the tests.
        """
        key = self._key(purpose, round, step)
        legacy = np.random.get_state()  # noqa: NPY002  (the state is restored, not relied upon)
        with torch.random.fork_rng(devices=_forkable_devices()):
            torch.manual_seed(key & (_MASK >> 1))
            np.random.seed(key & 0xFFFFFFFF)  # noqa: NPY002
            try:
                yield
            finally:
                np.random.set_state(legacy)  # noqa: NPY002


def _forkable_devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
