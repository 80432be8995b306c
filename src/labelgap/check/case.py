"""The small worlds in which a method is checked: a tiny task, poisoned labels, faults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from labelgap.axes.registry import Method
from labelgap.core.config import RunConfig
from labelgap.core.device import machine
from labelgap.data.types import Augment, Split, Task
from labelgap.ledger.ledger import Ledger
from labelgap.loop.oracle import Oracle
from labelgap.session.presets import resolve
from labelgap.session.session import Session

CLASSES, ITEMS, SIDE = 3, 96, 8
INITIAL, BUDGET = 24, 7


def tiny_task(items: int = ITEMS, *, duplicates: bool = False, classes: int = CLASSES) -> Task:
    """Small grey images in which a bright band tells the class; real enough to be learned."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, classes, items)
    images = rng.integers(0, 90, (items, SIDE, SIDE, 1))
    for k in range(classes):
        images[labels == k, 2 * k : 2 * k + 2] += 150
    if duplicates:
        images[items // 2 :] = images[: items - items // 2]
        labels[items // 2 :] = labels[: items - items // 2]
    split = Split(images.astype(np.uint8), labels.astype(np.int64))
    test = Split(split.inputs[:12].copy(), split.labels[:12].copy())
    names = tuple(f"class {k}" for k in range(classes))
    return Task.of("tiny", names, split, test, Augment(pad=1))


class Case:
    """One method on small data, with few steps."""

    def __init__(self, method: Method) -> None:
        self.method = method

    def config(self, **values: Any) -> RunConfig:
        """A tiny configuration of the method, float32 on the CPU."""
        tree: dict[str, Any] = {
            "method": self.method.name,
            "network": {"width": 4, "blocks": [1, 1]},
            "training": {"steps": 6, "batch_size": 8},
            "loop": {"initial": INITIAL, "budget": BUDGET, "rounds": 1},
            "precision": "float32",
        }
        for key, value in values.items():
            tree[key] = {**tree.get(key, {}), **value} if isinstance(value, dict) else value
        return resolve(tree, preset="smoke")

    def session(
        self, task: Task | None = None, folder: Path | None = None, **values: Any
    ) -> Session:
        """A session that has no labels yet."""
        return Session(
            task or tiny_task(),
            self.config(**values),
            folder=folder,
            machine=machine("cpu", "float32"),
        )

    def fitted(self, task: Task | None = None, **values: Any) -> Session:
        """A session trained on an initial set."""
        session = self.session(task, **values)
        session.tell(Oracle(session.task).answer(session.ask(INITIAL)))
        session.fit()
        return session


class Poison:
    """In place of the training labels: whoever reads one is told."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def _read(self, *_: object) -> Any:
        raise AssertionError("a hidden label was read")

    __getitem__ = __iter__ = __array__ = _read


class Fault(Exception):
    """An injected failure."""


class failing_at:
    """Every event of a ledger is counted; the given one is stored, and then the run dies.

    Answers are many and alike: one in the middle of a batch stands for `stride` of them.
    """

    EVENTS = ("asked", "answer", "note")

    def __init__(self, event: int, stride: int = 5) -> None:
        self.event: int = event
        self.stride: int = stride
        self.seen: int = 0
        self.struck: list[int] = []

    def __enter__(self) -> list[int]:
        self.originals: dict[str, Any] = {name: getattr(Ledger, name) for name in self.EVENTS}
        for name, original in self.originals.items():
            setattr(Ledger, name, self._counted(original))
        return self.struck

    def _counted(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **keywords: Any) -> Any:
            result = original(*args, **keywords)
            self.seen += 1
            if self.seen - 1 == self.event * self.stride:
                self.struck.append(self.event)
                raise Fault
            return result

        return counted

    def __exit__(self, *exc: object) -> None:
        for name, original in self.originals.items():
            setattr(Ledger, name, original)
