"""How good the classifier is, from held-out labels alone; no torch, so `status` starts at once.

The held-out items were drawn uniformly from the folder and never trained on, so the share of
right predictions estimates the accuracy on the folder without bias, as far as they got a class
(`labelgap.project.quality.nonresponse` is about the others). It is computed anew from the ledger
each time: a corrected label corrects the past.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from jaxtyping import Int64

from labelgap.core.types import NONE_OF_THESE
from labelgap.ledger.events import Event
from labelgap.ledger.ledger import Ledger
from labelgap.project.quality.batches import apart

TRAINED = "project-trained"
LEVEL = 0.95


@dataclass(frozen=True)
class Share:
    """A share right/total, and its exact 95 % interval (Clopper and Pearson 1934)."""

    right: int
    total: int

    @property
    def value(self) -> float:
        return self.right / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        return exact_interval(self.right, self.total)

    def __str__(self) -> str:
        if not self.total:
            return "–"
        low, high = self._outwards
        return f"{100 * self.value:.1f} % ({low}–{high} %, n = {self.total})"

    @property
    def _outwards(self) -> tuple[int, int]:
        """The interval in whole percent: what is said is never more than what is known."""
        low, high = self.interval
        return floor(100 * low), ceil(100 * high)

    @property
    def sentence(self) -> str:
        """For people, never without its number: "91.3 % of 23, between 71 and 99 %"."""
        if not self.total:
            return "not known"
        low, high = self._outwards
        said = f"{100 * self.value:.1f} % of {self.total}".replace(".0 %", " %")
        if self.right == self.total:
            return f"{said}, at least {low} %"
        if not self.right:
            return f"{said}, at most {high} %"
        return f"{said}, between {low} and {high} %"


def exact_interval(right: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """Clopper and Pearson's interval of a binomial share: covers with at least `level`.

    Of nothing it is all of 0..1.
    """
    from scipy.stats import binomtest  # seconds on a busy machine, so only where needed

    if total == 0:
        return 0.0, 1.0
    found = binomtest(right, total).proportion_ci(level, "exact")
    return float(found.low), float(found.high)


@dataclass(frozen=True)
class Point:
    """One trained network: its training labels, and its accuracy on today's held-out labels.

    predicted: what it says of the watched items, but for those that it has learned.
    """

    round: int
    labels: int
    accuracy: Share
    predicted: Mapping[int, int]


@dataclass(frozen=True)
class Gain:
    """What the last labels gained: images now right that were wrong, and the other way round."""

    better: int
    worse: int
    total: int

    @property
    def value(self) -> float:
        return (self.better - self.worse) / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Covers the gain in accuracy on the folder with at least 95 %; NaN without labels.

        The gain is the difference of two shares of all held-out images, better and worse. Each
        has its exact interval at half the error, and the ends are subtracted (Bonferroni), so
        that how many change is estimated too and not taken as known.
        """
        if not self.total:
            return float("nan"), float("nan")
        half = 1 - (1 - LEVEL) / 2
        better = exact_interval(self.better, self.total, half)
        worse = exact_interval(self.worse, self.total, half)
        return better[0] - worse[1], better[1] - worse[0]

    @property
    def certain(self) -> bool:
        """More images become right than wrong: the exact sign test at 2.5 % (McNemar).

        It looks only at the images that changed, which is enough for the sign of the gain (and
        tells it sooner than `interval`) but says nothing of its size.
        """
        return exact_interval(self.better, self.better + self.worse)[0] > 0.5


def held_out_labels(ledger: Ledger) -> dict[int, int]:
    """Held-out item -> label, of a uniform sample; those that are none of the classes are left
    out, and so are the items of an active test whose turn has not come (`apart`)."""
    labels, other = ledger.labels, apart(ledger)
    # People label meanwhile: what came after the labels were read waits for the next call.
    known = {i: labels.get(i, NONE_OF_THESE) for i in ledger.labelled_ids("held-out").tolist()}
    return {i: y for i, y in known.items() if y != NONE_OF_THESE and i not in other}


def curve(ledger: Ledger) -> list[Point]:
    """One point for each number of training labels, the latest network of each."""
    truth, late = held_out_labels(ledger), ledger.held_out_late()
    points: dict[int, Point] = {}
    for event in ledger.notes(TRAINED):
        point = _point(event, truth, learned(event, late), class_then(ledger, event))
        points.pop(point.labels, None)
        points[point.labels] = point
    return list(points.values())


def last_training(ledger: Ledger) -> dict[str, Any]:
    """What the last training noted: its labels, configuration, and of which classes it was; {}
    before any.

    classes: how many. columns: the number in the ledger that each of them had, by which a class
    that was renamed is still known. names: what they were called then, None where not known.
    """
    notes = ledger.notes(TRAINED)
    if not notes:
        return {}
    # From the ledger, which knows the classes of every moment: older versions did not note them.
    then = ledger.meaning(notes[-1].seq)
    facts = {"classes": len(then.own), "columns": list(then.own), "names": then.names}
    return {**notes[-1].data, **facts}


def class_then(ledger: Ledger, trained: Event) -> Callable[[int], int]:
    """From a class of a training to the one that it is now: a network that was trained before a
    merge is right where it says either class. Below -1, one for each, for classes that are gone.
    """
    then, now = ledger.meaning(trained.seq), ledger.meaning()
    if then.own == now.own and then.stored == now.stored:
        return int
    found = [now.of(number) for number in then.own]
    return lambda k: -2 - then.own[k] if found[k] is None else int(found[k] or 0)


def learned(trained: Event, late: Mapping[int, tuple[int, int]]) -> set[int]:
    """The held-out items that a training may have learned: labelled before it, held out after it
    (an import after a training). They say nothing of that network.

    late: `Ledger.held_out_late`.
    """
    return {i for i, (labelled, marked) in late.items() if labelled < trained.seq < marked}


def _point(
    event: Event, truth: Mapping[int, int], learned: Set[int], now: Callable[[int], int]
) -> Point:
    watched = zip(event.data["watched"], event.data["predicted"], strict=True)
    predicted = {i: now(label) for i, label in watched if i not in learned}
    known = [i for i in truth if i in predicted]
    right = sum(predicted[i] == truth[i] for i in known)
    share = Share(right, len(known))
    return Point(int(event.round or 0), int(event.data["labels"]), share, predicted)


def gain(before: Point, after: Point, truth: Mapping[int, int]) -> Gain:
    """Paired on the held-out items that both networks predicted."""
    common = [i for i in truth if i in before.predicted and i in after.predicted]
    was = [before.predicted[i] == truth[i] for i in common]
    now = [after.predicted[i] == truth[i] for i in common]
    better = sum(b and not a for a, b in zip(was, now, strict=True))
    worse = sum(a and not b for a, b in zip(was, now, strict=True))
    return Gain(better, worse, len(common))


def recall(point: Point, truth: Mapping[int, int], classes: int) -> list[Share]:
    """Recall of each class on the held-out labels."""
    shares = []
    for k in range(classes):
        of_class = [i for i, y in truth.items() if y == k and i in point.predicted]
        shares.append(Share(sum(point.predicted[i] == k for i in of_class), len(of_class)))
    return shares


def kappa(a: Int64[np.ndarray, " n"], b: Int64[np.ndarray, " n"]) -> float:
    """Cohen's kappa of two networks' predictions: agreement beyond chance; 1 when both are
    equal, NaN without any."""
    if len(a) == 0:
        return float("nan")
    if np.array_equal(a, b):
        return 1.0  # of one class alone too, where there is no chance to go beyond
    from sklearn.metrics import cohen_kappa_score  # seconds on a busy machine

    return float(cohen_kappa_score(a, b))
