"""The time a benchmark says it still takes, beside the time that it does take."""

import heapq
from functools import cache
from itertools import count

import pytest
from bench_small import small_grid
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgap.bench.grid.grid import Cell
from labelgap.bench.running.clock import LATE, Clock, kind_of, share
from labelgap.bench.running.execute import order
from labelgap.session.presets import resolve

METHODS = ["random", "margin", "entropy"]


class Time:
    """A clock that goes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@cache
def cells_of(seeds: int) -> list[Cell]:
    return order(small_grid(methods=METHODS, seeds=seeds).cells)


def test_cells_wait_for_a_worker() -> None:
    time, cells = Time(), cells_of(1)
    clock = Clock(cells, {c.identity: 10.0 for c in cells}, workers=2, now=time)
    assert clock.left() == 20  # three of 10 s by two workers
    clock.started(cells[0])
    time.now = 5.0
    assert clock.left() == 15
    assert Clock(cells[:1], {cells[0].identity: 10.0}, workers=8, now=time).left() == 10


def test_a_cell_that_is_over_its_time_takes_a_share_of_it_again() -> None:
    time, cells = Time(), cells_of(1)
    clock = Clock(cells[:1], {cells[0].identity: 10.0}, workers=1, now=time)
    clock.started(cells[0])
    time.now = 600.0
    assert clock.left() >= LATE * 600
    clock.ended(cells[0])
    assert clock.left() == 0


def test_a_finished_cell_corrects_its_own_kind_more_than_others() -> None:
    time, cells = Time(), cells_of(2)
    clock = Clock(cells, {c.identity: 10.0 for c in cells}, workers=1, now=time)
    slow, other = (next(c for c in cells if c.config.method == m) for m in ("margin", "random"))
    for cell, seconds in ((slow, 100.0), (other, 10.0)):
        clock.started(cell)
        time.now += seconds
        clock.ended(cell)
    paces = clock._paces()
    assert paces[kind_of(slow)] == pytest.approx(10, rel=0.25)
    assert paces[kind_of(other)] == pytest.approx(1, rel=1)
    assert paces[kind_of(other)] < clock._paces()["digits/entropy"] < paces[kind_of(slow)]


def test_a_cell_that_failed_tells_nothing_of_the_others() -> None:
    time, cells = Time(), cells_of(1)
    clock = Clock(cells, {c.identity: 10.0 for c in cells}, workers=1, now=time)
    clock.started(cells[0])
    time.now = 1.0
    clock.ended(cells[0], done=False)
    assert clock.left() == pytest.approx(20)


def test_rounds_of_epochs_take_as_long_as_they_have_labels() -> None:
    values = {"loop": {"initial": 10, "budget": 10, "rounds": 3}}
    even = resolve({**values, "training": {"steps": 5}})
    epochs = resolve({**values, "training": {"epochs": 5}})
    assert [share(even, r) for r in range(4)] == [0.25, 0.5, 0.75, 1]
    assert [share(epochs, r) for r in range(4)] == pytest.approx([0.1, 0.3, 0.6, 1])


@settings(max_examples=30)
@given(
    factors=st.tuples(*[st.floats(0.2, 6.0)] * 3), workers=st.integers(1, 3),
    seeds=st.integers(2, 4),
)  # fmt: skip
def test_what_is_announced_is_within_twice_the_truth_once_rounds_were_heard(
    factors: tuple[float, float, float], workers: int, seeds: int
) -> None:
    """Whole runs by a list of workers, each method as many times slower than was thought.

    From the moment at which every method has told of two rounds the announced time is within a
    factor of two; before, it is never less than half of what the slowest known cell still takes.
    """
    time, cells = Time(), cells_of(seeds)
    truth = {c.identity: 30.0 * factors[METHODS.index(str(c.config.method))] for c in cells}
    end = max(e for _, e in _schedule(cells, truth, workers))
    clock = Clock(cells, {c.identity: 30.0 for c in cells}, workers, now=time)
    events, serial = [], count()
    for cell, ended in _schedule(cells, truth, workers):
        began, rounds = ended - truth[cell.identity], cell.config.loop.rounds
        events.append((began, next(serial), "started", cell, 0))
        for r in range(rounds + 1):
            at = began + share(cell.config, r) * truth[cell.identity]
            events.append((at, next(serial), "heard", cell, r))
        events.append((ended, next(serial), "ended", cell, 0))
    told: dict[str, int] = {}
    ends = {c.identity: e for c, e in _schedule(cells, truth, workers)}
    running: dict[str, int] = {}
    for at, _, kind, cell, r in sorted(events):
        time.now = at
        if kind == "started":
            clock.started(cell)
            running[cell.identity] = 0
        elif kind == "heard":
            clock.heard(cell, r)
            running[cell.identity] += 1
            told[kind_of(cell)] = max(told.get(kind_of(cell), 0), r + 1)
        else:
            clock.ended(cell)
            del running[cell.identity]
        for name, heard in running.items():
            if heard > 1:
                assert clock.left() >= 0.5 * (ends[name] - at) - 1e-6
        if len(told) == 3 and min(told.values()) > 1 and len(running) == workers:
            left = end - at
            assert left / 2 - 1e-6 <= clock.left() <= 2 * left + LATE * 30 * max(factors)
    assert clock.left() == 0


def _schedule(
    cells: list[Cell], seconds: dict[str, float], workers: int
) -> list[tuple[Cell, float]]:
    free, found = [0.0] * workers, []
    for cell in cells:
        end = heapq.heappop(free) + seconds[cell.identity]
        heapq.heappush(free, end)
        found.append((cell, end))
    return found
