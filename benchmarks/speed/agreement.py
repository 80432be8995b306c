"""Agreement with scikit-activeml on the same features: coreset, badge, typiclust, probcover, bald.

    python benchmarks/speed/agreement.py

Digits: a logistic regression on standardised pixels gives the probabilities, its inputs are the
features and the embedding. Each peer is given what it can be given equal (first item, radius,
cluster labels); what then differs is told with its reason. The table goes to agreement.md beside
this file. Nothing is timed: benchmarks/speed has other commands for that.
"""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skactiveml
import torch
from scipy.stats import chisquare
from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import Badge, CoreSet, GreedyBALD, ProbCover, TypiClust
from sklearn.linear_model import LogisticRegression

from labelgap.axes.registry import ACQUISITIONS
from labelgap.axes.view import PoolView
from labelgap.core.config import build
from labelgap.core.streams import Streams
from labelgap.core.types import Query
from labelgap.data import load
from labelgap.methods.badge import residual
from labelgap.select.badge import badge

LABELS, BUDGET, DRAWS, SEEDS = 50, 50, 400, 5
UNLABELLED = np.nan


class Setting:
    """One pool: standardised pixels, a labelled set, a classifier, and views of them."""

    def __init__(self) -> None:
        task = load("digits")
        x = task.train.inputs.reshape(len(task.train), -1).astype(np.float32)
        deviation = x.std(axis=0)
        self.x = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
        self.truth = task.train.labels
        order = Streams(0).permutation("initial set", len(x))
        self.known = np.sort(order[:LABELS])
        self.pool = np.setdiff1d(np.arange(len(x)), self.known)
        self.y = np.full(len(x), UNLABELLED)
        self.y[self.known] = self.truth[self.known]
        model = LogisticRegression(C=0.01, fit_intercept=False, max_iter=2000)
        self.model = model.fit(self.x[self.known], self.truth[self.known])
        self.logits = self.x @ model.coef_.T.astype(np.float32)

    def view(self, outputs: dict[str, np.ndarray], seed: int = 0) -> PoolView:
        parts = [
            {k: torch.from_numpy(np.ascontiguousarray(v[rows])) for k, v in outputs.items()}
            for rows in (self.known, self.pool)
        ]
        return PoolView(
            round=1,
            num_classes=10,
            labelled_ids=self.known,
            labels=self.truth[self.known],
            candidate_ids=self.pool,
            labelled=parts[0],
            candidates=parts[1],
            streams=Streams(seed),
        )


def ours(name: str, view: PoolView, n: int = BUDGET, **options: Any) -> Query:
    """The query of a registered acquisition."""
    cls = ACQUISITIONS[name]
    return cls(build(cls.Options, options, name)).select(view, n)


def overlap(a: Sequence[int], b: Sequence[int]) -> str:
    same = len(set(map(int, a)) & set(map(int, b)))
    order = ", same order" if list(map(int, a)) == list(map(int, b)) else ""
    return f"{same} of {len(a)}{order}"


def coreset(s: Setting) -> tuple[str, str, str]:
    picks = ours("coreset", s.view({"features": s.x, "logits": s.logits})).ids
    peer = CoreSet(random_state=0).query(s.x, s.y, batch_size=BUDGET)
    why = "Deterministic: the same greedy from the same centres."
    return "coreset", overlap(picks, peer), why


def bald(s: Setting) -> tuple[str, str, str]:
    """A committee of logistic regressions on halves of the labels stands for the passes."""
    rng, members, logits = np.random.default_rng(0), [], []
    for _ in range(10):
        rows = rng.choice(s.known, LABELS * 3 // 4, replace=False)
        model = LogisticRegression(C=0.01, fit_intercept=False, max_iter=2000)
        wrapped = SklearnClassifier(model, classes=np.arange(10), missing_label=UNLABELLED)
        member = wrapped.fit(s.x[rows], s.y[rows])
        p = member.predict_proba(s.x)
        members.append(member)
        logits.append(np.log(np.maximum(p, 1e-30)))
    mc = np.stack(logits, axis=1).astype(np.float32)
    picks = ours("bald", s.view({"mc_logits": mc, "logits": s.logits})).ids
    peer = GreedyBALD(random_state=0).query(
        s.x, s.y, ensemble=members, fit_ensemble=False, batch_size=BUDGET
    )
    why = (
        "Deterministic: the top of the same mutual information (its `GreedyBALD`; its `BatchBALD` "
        "is another method, the joint information of the batch)."
    )
    return "bald", overlap(picks, peer), why


def peer_badge(s: Setting, seed: int, n: int) -> list[int]:
    wrapped = SklearnClassifier(s.model, classes=np.arange(10), missing_label=UNLABELLED)
    wrapped.fit(s.x[s.known], s.y[s.known])
    return list(Badge(random_state=seed).query(s.x, s.y, wrapped, fit_clf=False, batch_size=n))


def badge_law(s: Setting) -> tuple[str, str, str]:
    """Both draw: the first picks must be equal, the second must follow one law."""
    view = s.view({"features": s.x, "logits": s.logits})
    a = residual(view.candidates("logits"))
    h = view.candidates("features")
    g = (a[:, :, None] * h[:, None]).flatten(1).double().numpy()
    first = int((g**2).sum(axis=1).argmax())
    law = ((g - g[first]) ** 2).sum(axis=1)
    law[first] = 0.0
    # Twenty bins of about equal probability.
    bins = np.minimum((np.cumsum(law) / law.sum() * 20).astype(int), 19)
    expected = np.bincount(bins, law / law.sum(), minlength=20) * DRAWS
    values, firsts = [], []
    own = [badge(a, h, 2, np.random.default_rng(i)).tolist() for i in range(DRAWS)]
    theirs = [np.searchsorted(s.pool, peer_badge(s, i, 2)).tolist() for i in range(DRAWS)]
    for draws in (own, theirs):
        firsts.append({d[0] for d in draws})
        seen = np.bincount(bins[[d[1] for d in draws]], minlength=20)
        values.append(chisquare(seen, expected).pvalue)
    agreed = "same first pick" if firsts[0] == firsts[1] == {first} else "different first picks"
    result = f"{agreed}; second pick: χ² against the exact law p = {values[0]:.2f}, {values[1]:.2f}"
    why = (
        f"Random: {DRAWS} draws of each are held against the law computed from the gradients "
        "themselves (ours first)."
    )
    return "badge", result, why


def typiclust(s: Setting) -> list[tuple[str, str, str]]:
    """On digits, where k-means has many ends, and on clusters that every start finds."""
    unit = s.x / np.linalg.norm(s.x, axis=1, keepdims=True)
    own, theirs = [], []
    for seed in range(SEEDS):
        own.append(ours("typiclust", s.view({"embedding": unit, "logits": s.logits}, seed)).ids)
        theirs.append(TypiClust(random_state=seed, k=20).query(unit, s.y, batch_size=BUDGET))
    typical = [np.mean([density(unit, picks) for picks in all_]) for all_ in (own, theirs)]
    rows = [
        (
            "typiclust",
            f"{overlap(own[0], theirs[0])}; the peer's seeds 0 and 1: "
            f"{overlap(theirs[0], theirs[1])}; typicality of the picks, mean of {SEEDS} seeds: "
            f"{typical[0]:.3f} and {typical[1]:.3f}, of all items {density(unit, s.pool):.3f}",
            "Another start of k-means is another set of clusters, for the peer too. The peer takes "
            "min(20, size − 1) neighbours, we, as the authors' code, min(20, size / 2), and "
            "clusters under 6 items last.",
        )
    ]
    rows.append(planted())
    return rows


def density(x: np.ndarray, picks: Sequence[int]) -> float:
    """Mean of 1 / mean distance to the 20 nearest of all items."""
    d = np.linalg.norm(x[np.asarray(picks, dtype=int)][:, None] - x[None], axis=2)
    return float((1 / np.sort(d, axis=1)[:, 1:21].mean(axis=1)).mean())


def planted() -> tuple[str, str, str]:
    """Ten far groups of unequal size in which every start of k-means finds the same clusters."""
    rng = np.random.default_rng(0)
    which = np.repeat(np.arange(10), np.arange(60, 110, 5))
    x = 20 * np.eye(16)[which] + rng.standard_normal((len(which), 16))
    known = np.array([np.flatnonzero(which == k)[0] for k in range(4)])
    y = np.full(len(x), UNLABELLED)
    y[known] = which[known]
    other = object.__new__(Setting)
    other.x, other.y, other.known, other.truth = x.astype(np.float32), y, known, which
    other.pool = np.setdiff1d(np.arange(len(x)), known)
    query = ours("typiclust", other.view({"embedding": other.x}), n=6, normalise=False)
    peer = TypiClust(random_state=0, k=20, cluster_algo_dict={"n_init": 10}).query(
        x, y, batch_size=6
    )
    return (
        "typiclust, clusters that every start finds",
        overlap(query.ids, peer),
        "With the clusters given the rule decides: largest unlabelled cluster first, its most "
        "typical item.",
    )


def probcover(s: Setting) -> list[tuple[str, str, str]]:
    unit = (s.x / np.linalg.norm(s.x, axis=1, keepdims=True)).astype(np.float64)
    rows = []
    for delta in (0.5, 0.7, 0.9):
        query = ours("probcover", s.view({"embedding": unit}), delta=delta, normalise=False)
        # The peer draws among equals; its degrees are compared, not only its picks.
        edges = PairwiseEdges(unit, delta)
        peer = ProbCover(n_classes=10, deltas=[delta], random_state=0).query(
            unit, s.y, batch_size=BUDGET
        )
        mine, theirs = edges.gains(s.known, query.ids), edges.gains(s.known, peer)
        rows.append(
            (
                f"probcover, δ = {delta}",
                f"{overlap(query.ids, peer)}; newly covered "
                f"{'equal at every step' if mine == theirs else f'{sum(mine)} and {sum(theirs)}'}",
                "The same greedy; items of equal degree are drawn by each its own way, and after "
                "the first such draw the covered sets differ.",
            )
        )
    return rows


class PairwiseEdges:
    """Who covers whom, densely: the pool of digits is small."""

    def __init__(self, x: np.ndarray, delta: float) -> None:
        self.edges = np.linalg.norm(x[:, None] - x[None], axis=2) < delta

    def gains(self, known: np.ndarray, picks: Sequence[int]) -> list[int]:
        left = ~self.edges[known].any(axis=0)
        found = []
        for i in picks:
            found.append(int((self.edges[i] & left).sum()))
            left &= ~self.edges[i]
        return found


def main() -> None:
    warnings.filterwarnings("ignore")  # the peer's own deprecations
    s = Setting()
    rows = [coreset(s), badge_law(s), *typiclust(s), *probcover(s), bald(s)]
    lines = [
        "# Agreement with scikit-activeml",
        "",
        f"`python benchmarks/speed/agreement.py`: digits, {LABELS} labels, {BUDGET} picks, the "
        f"same features for both; scikit-activeml {skactiveml.__version__}.",
        "",
        "| method | picks in common | why |",
        "|---|---|---|",
        *(f"| {a} | {b} | {c} |" for a, b, c in rows),
        "",
    ]
    text = "\n".join(lines)
    (Path(__file__).parent / "agreement.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
