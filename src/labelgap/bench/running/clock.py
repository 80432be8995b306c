"""The time that a benchmark still takes: estimates, corrected by what is measured as it runs."""

import heapq
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from labelgap.bench.grid.grid import Cell
from labelgap.core.config import RunConfig
from labelgap.session.presets import title_of

LATE = 0.1
"""Nobody knows how long something still takes that is over its time: this share of it again."""


def kind_of(cell: Cell) -> str:
    """Cells of one kind go at one pace against their estimates: method and data set."""
    return f"{cell.config.data.name}/{title_of(cell.config)}"


def share(config: RunConfig, round: int) -> float:
    """The part of a run that is done after a round, from 0 to 1.

    Rounds of so many steps take equally long, rounds of so many epochs as long as they have labels.
    """
    loop, even = config.loop, config.training.steps is not None
    cost = [1 if even else loop.initial + i * loop.budget for i in range(loop.rounds + 1)]
    return sum(cost[: round + 1]) / sum(cost)


@dataclass
class _Running:
    """A cell at work: when it began, and when it had done which share of itself."""

    began: float
    heard: list[tuple[float, float]] = field(default_factory=list)


class Clock:
    """Seconds until the last cell ends.

    What cells of a kind (method and data set) really took corrects their estimates, in part already
    while they run; kinds of which nothing is known go at the pace of all.

    Parameters
    ----------
    cells: what is to be run, in the order in which it will be.
    estimates: seconds of each, by identity.
    now: seconds that only grow.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        estimates: Mapping[str, float],
        workers: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.estimates, self.workers, self._now = estimates, workers, now
        self._left = {cell.identity: cell for cell in cells}
        self._kinds = {cell.identity: kind_of(cell) for cell in cells}
        self._running: dict[str, _Running] = {}
        self._ended: dict[str, list[tuple[float, float]]] = {}

    def started(self, cell: Cell) -> None:
        self._running[cell.identity] = _Running(self._now())

    def heard(self, cell: Cell, round: int) -> None:
        """The cell has ended a round."""
        running = self._running.get(cell.identity)
        if running is not None:
            running.heard.append((share(cell.config, round), self._now()))

    def ended(self, cell: Cell, done: bool = True) -> None:
        """The cell is no more to be waited for; one that failed tells nothing of the others."""
        running = self._running.pop(cell.identity, None)
        if self._left.pop(cell.identity, None) is None or running is None or not done:
            return
        took, expected = self._now() - running.began, self.estimates[cell.identity]
        self._ended.setdefault(self._kinds[cell.identity], []).append((took, expected))

    def left(self) -> float:
        """Seconds until the last cell ends: those at work, and the others as workers get free."""
        paces = self._paces()
        free = [self._rest(name, paces[self._kinds[name]]) for name in self._running]
        free += [0.0] * (self.workers - len(free))
        heapq.heapify(free)
        last = max(free)
        for name in self._left:
            if name not in self._running:
                took = paces[self._kinds[name]] * self.estimates[name]
                end = heapq.heappop(free) + took
                heapq.heappush(free, end)
                last = max(last, end)
        return last

    def _rest(self, name: str, pace: float) -> float:
        """Seconds that a running cell still takes."""
        running, estimate, now = self._running[name], self.estimates[name], self._now()
        done, since = running.heard[-1] if running.heard else (0.0, running.began)
        projected = (1 - done) * estimate * self._own_pace(running, estimate, pace)
        spent = now - since
        return max(projected - spent, LATE * spent)

    @staticmethod
    def _own_pace(running: _Running, estimate: float, pace: float) -> float:
        """A cell's own pace once two of its rounds are known; the first may be a shared one."""
        if len(running.heard) < 2:
            return pace
        (first, began), (last, at) = running.heard[0], running.heard[-1]
        expected = (last - first) * estimate
        return (at - began) / expected if expected > 0 else pace

    def _paces(self) -> dict[str, float]:
        """Seconds a second that was estimated, of every kind."""
        known = {kind: list(found) for kind, found in self._ended.items()}
        least: dict[str, float] = {}
        for name, running in self._running.items():
            estimate, kind = self.estimates[name], self._kinds[name]
            if len(running.heard) > 1:
                (first, began), (last, at) = running.heard[0], running.heard[-1]
                known.setdefault(kind, []).append((at - began, (last - first) * estimate))
            elif estimate > 0:
                spent = self._now() - running.began
                least[kind] = max(least.get(kind, 0.0), spent / estimate)
        # The first cells also start workers and fill caches: a tenth of the whole, as estimated,
        # weighs against them.
        prior = 0.1 * sum(self.estimates.values())
        took, expected = _sums([pair for found in known.values() for pair in found])
        overall = (took + prior) / (expected + prior) if expected + prior > 0 else 1.0
        paces = {}
        for kind in set(self._kinds.values()):
            took, expected = _sums(known.get(kind, []))
            # The pace of all until a kind has one of its own: a first measured round outweighs it.
            weight = 0.05 * self._usual(kind)
            whole = expected + weight
            pace = (took + weight * overall) / whole if whole > 0 else overall
            paces[kind] = max(pace, least.get(kind, 0.0))
        return paces

    def _usual(self, kind: str) -> float:
        found = [self.estimates[name] for name, of in self._kinds.items() if of == kind]
        return sum(found) / len(found)


def _sums(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return math.fsum(a for a, _ in pairs), math.fsum(b for _, b in pairs)
