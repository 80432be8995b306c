"""Results as arrays to compare: one setting (data set and variant), arms × seeds × rounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64

from labelgap.bench.evidence import imbalance
from labelgap.bench.evidence import statistics as st
from labelgap.bench.evidence.results import Result
from labelgap.bench.evidence.statistics import Difference, Interval, Saved
from labelgap.bench.grid.arms import UPPER
from labelgap.core.errors import FolderError
from labelgap.core.streams import Streams

TRAIN_STAGES = ("train", "align")
QUERY_STAGES = ("score", "select")
FREE = 1.5
"""Training of one arm takes about as long for every seed; beyond this ratio something else ran."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is compared under one setting. Seeds are those that every arm has.

    cells: cells[arm][seed], in the order of `arms` and `seeds`.  left_out: cells of seeds that
    some arm lacks; they are in no number.  aside: arms with fewer than half of the seeds that
    others have; they would take the pairs from everybody.
    """

    data: str
    variant: str
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: tuple[tuple[Result, ...], ...]
    left_out: tuple[Result, ...]
    aside: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        words = [Path(self.data).name, self.variant]
        if self.thinned > 1 and not self.variant:
            words[1] = f"imbalance {self.thinned:g}"
        return ", ".join(word for word in words if word)

    @property
    def labels(self) -> Int64[np.ndarray, " r"]:
        return self.cells[0][0].labels

    @property
    def imbalanced(self) -> bool:
        """Whether arms are judged by balanced accuracy: thinned by `--imbalance`, or by nature.

        By nature where the pool's largest class has three times the items of its smallest or more
        (`imbalance.UNEVEN`). Results of versions that did not record the pool's counts are judged
        as then, by `--imbalance` alone.
        """
        return self.thinned > 1 or imbalance.uneven(self.pool_counts)

    @property
    def thinned(self) -> float:
        """The ratio of `--imbalance`; 1 for none."""
        return float(self.cells[0][0].cell.config.data.imbalance)

    @property
    def pool_counts(self) -> Int64[np.ndarray, " k"] | None:
        """Items of each class in the pool; None where some seed's result does not know it. The
        mean over seeds, which may simulate pools of their own."""
        all_cells = (cell for row in self.cells for cell in row)
        found = [cell.pool_counts for cell in all_cells if cell.pool_counts is not None]
        if len(found) < len(self.cells[0]):
            return None
        mean: Int64[np.ndarray, " k"] = np.rint(np.mean(found, axis=0)).astype(np.int64)
        return mean

    @property
    def minority(self) -> Int64[np.ndarray, " k"]:
        """The classes that were thinned; by nature those below the median count."""
        counts = self.pool_counts
        if self.thinned > 1 or counts is None:
            return imbalance.minority(len(self.cells[0][0].classes))
        return imbalance.below_median(counts)

    @property
    def minority_of_pool(self) -> float:
        """The minority classes' share of the pool."""
        counts, thinned = self.pool_counts, len(self.minority)
        if self.thinned > 1 or counts is None:
            left = thinned / self.thinned
            return left / (left + len(self.cells[0][0].classes) - thinned)
        return float(counts[self.minority].sum() / counts.sum())

    def _stack(self, of: str) -> Float[np.ndarray, "m s r"]:
        return np.array([[getattr(r, of) for r in row] for row in self.cells])

    @property
    def accuracy(self) -> Float[np.ndarray, "m s r"]:
        return self._stack("accuracy")

    @property
    def balanced(self) -> Float[np.ndarray, "m s r"]:
        return self._stack("balanced")

    @property
    def minority_recall(self) -> Float[np.ndarray, "m s r"]:
        k = self.minority
        return np.array(
            [[imbalance.minority_recall(r.per_class, k) for r in row] for row in self.cells]
        )

    @property
    def minority_share(self) -> Float[np.ndarray, "m s r"]:
        k = self.minority
        return np.array(
            [[imbalance.minority_share(r.counts, k) for r in row] for row in self.cells]
        )

    @property
    def main(self) -> Float[np.ndarray, "m s r"]:
        """The curve that arms are judged by: balanced accuracy where the pool is imbalanced."""
        return self.balanced if self.imbalanced else self.accuracy

    def areas(self, curves: Float[np.ndarray, "m s r"]) -> Float[np.ndarray, "m s 3"]:
        """AUBC, and that of the early and of the late half, of every arm and seed."""
        found = np.empty((*curves.shape[:2], 3))
        for m, s in np.ndindex(*curves.shape[:2]):
            curve = curves[m, s]
            if len(curve) < 2:
                found[m, s] = curve[0]
                continue
            early, late = st.halves(self.labels, curve)
            found[m, s] = (early + late) / 2, early, late
        return found

    def find(self, objective: str, acquisition: str) -> int | None:
        """The place of the first arm that is this pair; None if there is none."""
        for k, row in enumerate(self.cells):
            c = row[0].cell.config
            if (c.objective_name, c.acquisition_name) == (objective, acquisition):
                return k
        return None

    @property
    def random(self) -> int | None:
        """Plain cross-entropy with random queries, which the others are compared with."""
        return self.find("cross-entropy", "random")

    def upper(self, arm: int) -> bool:
        """Whether the arm is the upper line, which looks at the truth and is no method."""
        return self.cells[arm][0].cell.config.acquisition_name == UPPER

    def kind(self, arm: int) -> str:
        """What an arm changes against random: "training", "query", "both", or "reference".

        A network or a training of its own (dropout for stochastic passes) is changed training.
        """
        c = self.cells[arm][0].cell.config
        trains, asks = c.objective_name != "cross-entropy", c.acquisition_name != "random"
        if self.random is not None:
            plain = self.cells[self.random][0].cell.config
            trains |= (c.network, c.training) != (plain.network, plain.training)
        if trains and asks:
            return "both"
        return "training" if trains else "query" if asks else "reference"

    def seconds(self, stages: Sequence[str]) -> Float[np.ndarray, "m s"]:
        """Seconds of a whole run in the stages, of every arm and seed."""
        return np.array(
            [[sum(r.seconds[stage].sum() for stage in stages) for r in row] for row in self.cells]
        )


def contention(c: Comparison) -> float | None:
    """How many times longer one seed of an arm trained than another; None where cores were free."""
    train = c.seconds(TRAIN_STAGES)
    ratio = float((train.max(axis=1) / train.min(axis=1)).max())
    return ratio if len(c.seeds) > 1 and ratio > FREE else None


def comparisons(results: Sequence[Result]) -> list[Comparison]:
    """One for each data set and variant, arms in the order in which they come.

    Raises
    ------
    FolderError: arms that have no seed in common cannot be compared; nor can two results of one
        arm and seed, of which one would hide the other.
    """
    groups: dict[tuple[str, str], dict[str, dict[int, Result]]] = {}
    for r in results:
        config = r.cell.config
        arms = groups.setdefault((config.data.name, r.cell.variant), {})
        other = arms.setdefault(r.cell.arm, {}).setdefault(config.seed, r)
        if other is not r:
            raise FolderError(
                f"{other.cell.folder} and {r.cell.folder} are both {r.cell.arm!r} with seed "
                f"{config.seed}.",
                "Give them different arms, or put them into folders of their own.",
            )
    made, unpaired = [], []
    for (data, variant), arms in groups.items():
        most = max(len(of) for of in arms.values())
        kept = {arm: of for arm, of in arms.items() if 2 * len(of) >= most}
        seeds = st.common_seeds([list(of) for of in kept.values()])
        if not seeds:
            unpaired.append(f"{data}{f' ({variant})' if variant else ''}: {', '.join(kept)}")
            continue
        left = [
            r
            for arm, of in arms.items()
            for seed, r in of.items()
            if arm not in kept or seed not in seeds
        ]
        cells = tuple(tuple(of[seed] for seed in seeds) for of in kept.values())
        aside = tuple(arm for arm in arms if arm not in kept)
        made.append(Comparison(data, variant, tuple(kept), tuple(seeds), cells, tuple(left), aside))
    if unpaired:
        raise FolderError(
            f"No seed is finished in every arm: {'; '.join(unpaired)}.",
            "Repeat the benchmark's command; it finishes whole seeds first.",
        )
    return made


@dataclass(frozen=True)
class Row:
    """All numbers of one arm under one setting; differences are to random, paired by seed."""

    setting: str
    arm: str
    upper: bool
    seeds: int
    aubc: Interval
    early: Interval
    late: Interval
    final: Interval
    versus_random: Difference | None
    p_holm: float
    labels_saved: Saved
    win_tie_loss: dict[str, tuple[int, int, int]]
    seeds_for_a_point: int | None
    train_seconds: float
    query_seconds: float
    peak_memory: int | None
    minority_recall: Interval | None
    minority_share: Interval | None
    plain_accuracy: Interval


def table(c: Comparison) -> list[Row]:
    """A row for every arm."""
    curves, random = c.main, c.random
    areas = c.areas(curves)
    differences: list[Difference | None] = [None] * len(c.arms)
    if random is not None:
        differences = [
            # A fresh stream each, so that equal arms have equal intervals.
            st.paired(areas[m, :, 0], areas[random, :, 0], Streams(0).numpy("bench/bootstrap"))
            if m != random
            else None
            for m in range(len(c.arms))
        ]
    # The upper line is no claim: it is not tested, and makes no other arm's p larger.
    tested = [None if c.upper(m) else d for m, d in enumerate(differences)]
    holm = st.holm(np.array([d.p if d else np.nan for d in tested]))
    references = {
        "random": random,
        "margin": c.find("cross-entropy", "margin"),
        "badge": c.find("cross-entropy", "badge"),
    }
    duels = {
        name: st.win_tie_loss(curves, place)
        for name, place in references.items()
        if place is not None and len(c.seeds) > 1
    }
    train, query = c.seconds(TRAIN_STAGES), c.seconds(QUERY_STAGES)
    recall = c.minority_recall if c.imbalanced else None
    share = c.minority_share if c.imbalanced else None
    rows = []
    for m, arm in enumerate(c.arms):
        d = differences[m]
        peaks = [r.peak_memory for r in c.cells[m] if r.peak_memory is not None]
        rows.append(
            Row(
                setting=c.name,
                arm=arm,
                upper=c.upper(m),
                seeds=len(c.seeds),
                aubc=st.t_interval(areas[m, :, 0]),
                early=st.t_interval(areas[m, :, 1]),
                late=st.t_interval(areas[m, :, 2]),
                final=st.t_interval(curves[m, :, -1]),
                versus_random=d,
                p_holm=float(holm[m]),
                labels_saved=st.NOTHING_SAVED
                if random is None or m == random
                else st.labels_saved(
                    c.labels, curves[m], curves[random], Streams(0).numpy("bench/labels saved")
                ),
                win_tie_loss={
                    name: (int(found[m, 0]), int(found[m, 1]), int(found[m, 2]))
                    for name, found in duels.items()
                    if references[name] != m
                },
                seeds_for_a_point=None
                if d is None or len(c.seeds) < 2
                else st.seeds_needed(d.interval.sd),
                train_seconds=float(np.median(train[m])),
                query_seconds=float(np.median(query[m])),
                peak_memory=max(peaks) if peaks else None,
                minority_recall=None if recall is None else st.t_interval(recall[m, :, -1]),
                # The first round's labels are nobody's choice.
                minority_share=None
                if share is None
                else st.t_interval(np.nanmean(share[m, :, 1:], axis=1)),
                plain_accuracy=st.t_interval(c.accuracy[m, :, -1]),
            )
        )
    return rows
