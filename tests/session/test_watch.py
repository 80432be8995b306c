"""Losses that are noted and read later: the first that was not finite, by its step and phase."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelgap.core.errors import NumericalError
from labelgap.learn.watch import EVERY, Watch

CPU = torch.device("cpu")
LOSSES = st.sampled_from([0.0, 1.5, -2.0, math.nan, math.inf, -math.inf])


def test_nothing_noted_is_nothing_to_refuse() -> None:
    Watch([], "s", 0, CPU).read()
    watch = Watch(["a"], "s", 0, CPU)
    watch.read()
    for step in range(3):
        watch.note(0, torch.tensor(3.4e38), step)
    watch.read()


@given(st.lists(st.tuples(LOSSES, LOSSES, LOSSES), max_size=6))
def test_the_first_by_step_and_then_by_turn_is_told(rows: list[tuple[float, ...]]) -> None:
    watch = Watch(["a", "b", "c"], "align", 4, CPU)
    for step, losses in enumerate(rows):
        for phase, loss in enumerate(losses):
            watch.note(phase, torch.tensor(loss, dtype=torch.float64), step)
    bad = [(s, k) for s, row in enumerate(rows) for k in range(3) if not np.isfinite(row[k])]
    if not bad:
        watch.read()
        return
    step, phase = min(bad)
    with pytest.raises(NumericalError) as told:
        watch.read()
    assert told.value.cause == (
        f"The loss of phase {'abc'[phase]!r} in stage 'align' is {rows[step][phase]} "
        f"at step {step} of round 4."
    )
    assert told.value.cure.startswith("Try a lower learning rate (`--set training.lr=")


def test_a_note_holds_no_graph_and_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(["a"], "s", 0, CPU)
    loss = torch.tensor([1.0], requires_grad=True).sum() * math.inf

    def reads(*_: Any) -> Callable[..., Any]:
        raise AssertionError("a number was read")

    for name in ("__bool__", "__float__", "item", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, reads)
    watch.note(0, loss, 7)
    monkeypatch.undo()
    assert not any(t.requires_grad for t in (*watch._step, *watch._loss))
    with pytest.raises(NumericalError, match="is inf at step 7"):
        watch.read()


def test_an_accelerators_notes_are_read_every_twenty_steps() -> None:
    assert EVERY == 20
