"""How good the trained network is, from everything that tells: test labels, confidences, batches.

The confidences are taken on images of the reserve alone, the ones kept for testing. The others are
no uniform sample of the folder any more once some of them were chosen to be labelled: what is left
of them is what the network is surer of.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from labelgap.axes.view import PoolView
from labelgap.core.errors import LabelgapError
from labelgap.core.streams import Streams
from labelgap.core.types import NONE_OF_THESE, Ids
from labelgap.core.wording import counted
from labelgap.project.asking.quick import threads_for
from labelgap.project.asking.testing import reserve_left
from labelgap.project.asking.work import Work
from labelgap.project.quality import forecast as curve
from labelgap.project.quality import ppi, quality
from labelgap.project.quality import replay as again
from labelgap.project.quality.active_test import Tested, estimate, ranking, surrogate, weights
from labelgap.project.quality.batches import Batch, batches
from labelgap.project.quality.linear import logits_of
from labelgap.project.quality.plan import Plan, plan
from labelgap.project.quality.ppi import Improved
from labelgap.project.quality.quality import TRAINED, Share

FOLDS = "folds of evaluate"


@dataclass(frozen=True)
class Rated:
    """A share of right predictions by test labels, and by the confidences too where that is
    shorter."""

    share: Share
    improved: Improved | None


@dataclass(frozen=True)
class Batched:
    """An active test batch: its estimate (None before enough is answered), how many of its
    images have a class, and what the network claims of the same images by itself."""

    tested: Tested | None
    answered: int
    asked: int
    claimed: float


@dataclass(frozen=True)
class Judged:
    """What `labelgap evaluate` says.

    trained: labels of the network.  stale: labels have come since.  pool: images of the reserve
    without a label, whose confidences help.  left: those that can be asked.  ranking: how well
    confidences tell right from wrong (area under the curve), None where not known.
    """

    trained: int
    stale: bool
    accuracy: Rated
    recall: tuple[Rated, ...]
    pool: int
    left: int
    ranking: float | None
    batches: tuple[Batched, ...]

    def plan(self, more: int, within: float | None = None) -> Plan:
        """What `more` test labels would give (`quality.plan`)."""
        if not self.accuracy.share.total:
            raise LabelgapError(
                "No held-out image has a label yet, so there is nothing to plan with.",
                "Ask for some: `labelgap evaluate --ask 30`, then `labelgap label`.",
            )
        return plan(self.accuracy.share, self.accuracy.improved, more, self.left, within)


def judge(work: Work) -> Judged:
    """Judge the last trained network; trains nothing. Raises `LabelgapError` where there is
    none."""
    ids, p = work.predict()
    of: dict[int, Float[np.ndarray, " k"]] = dict(zip(ids.tolist(), p, strict=True))
    last = work.project.last_note(TRAINED)
    assert last is not None  # `predict` has loaded it
    truth = _truth(work, set(of))
    rows = [of[i] for i in truth]
    known = np.array(rows, dtype=np.float64).reshape(len(rows), p.shape[1])
    y = np.array(list(truth.values()), dtype=np.int64)
    pool_ids = _others(work, set(truth), set(of))
    pool = np.array([of[i] for i in pool_ids], dtype=np.float64).reshape(-1, p.shape[1])
    streams = work.session.streams
    right = known.argmax(axis=1) == y
    every = [ppi.accuracy_terms(y, known, pool)]
    every += [ppi.recall_terms(y, known, pool, k) for k in range(p.shape[1])]
    rated = []
    for step, terms in enumerate(every):
        share = Share(int(terms.top.sum()), int(terms.bottom.sum()))
        found = ppi.improve(terms, streams.numpy(FOLDS, step=step)) if share.total else None
        kept = found if ppi.better(found, share.right, share.total) else None
        rated.append(Rated(share, kept))
    return Judged(
        trained=int(last.data["labels"]),
        stale=work.is_stale(),
        accuracy=rated[0],
        recall=tuple(rated[1:]),
        pool=len(pool_ids),
        left=len(reserve_left(work)),
        ranking=ranking(known.max(axis=1), right) if len(y) else None,
        batches=tuple(_batched(work, batch, of) for batch in batches(work.project.ledger)),
    )


def _truth(work: Work, predicted: set[int]) -> dict[int, int]:
    """Held-out labels that the network has not learned."""
    ledger, last = work.project.ledger, work.project.last_note(TRAINED)
    learned = quality.learned(last, ledger.held_out_late()) if last else set()
    truth = quality.held_out_labels(ledger)
    return {i: y for i, y in truth.items() if i in predicted and i not in learned}


def _others(work: Work, tested: set[int], predicted: set[int]) -> list[int]:
    """The reserve without what was learned, skipped, or is a test label itself."""
    ledger = work.project.ledger
    out = tested | set(ledger.labelled_ids("train").tolist()) | ledger.skipped.keys()
    out |= {i for i, y in ledger.labels.items() if y == NONE_OF_THESE}
    return [i for i in work.reserve.tolist() if i in predicted and i not in out]


def _batched(work: Work, batch: Batch, of: dict[int, Float[np.ndarray, " k"]]) -> Batched:
    labels = work.project.ledger.labels
    answered = [k for k, i in enumerate(batch.ids) if labels.get(i, NONE_OF_THESE) >= 0 and i in of]
    pool = np.array([of[i] for i in batch.pool if i in of])
    claimed = surrogate(pool) if len(pool) else float("nan")
    right = np.array([int(of[batch.ids[k]].argmax()) == labels[batch.ids[k]] for k in answered])
    tested, n = None, len(batch.pool)
    waiting = set(work.project.ledger.outstanding_ids().tolist())
    if answered and not waiting.intersection(batch.ids):
        whole = len(answered) == len(batch.ids)
        weight = weights(batch.chances, n)[answered]
        tested = estimate(right.astype(bool), weight, n, whole=whole)
    return Batched(tested, len(answered), len(batch.ids), claimed)


# ------------------------------------------------------------------ many small trainings


def frozen_data(work: Work) -> again.Data:
    """Labels and held-out labels as rows of standardised frozen features.

    Raises `LabelgapError` where the network is trained whole: a curve would take hours.
    """
    task = work.session.task
    if task.train.is_images:
        raise LabelgapError(
            "This needs many trainings, and this project trains its whole network: each would "
            "take minutes.",
            "It is for projects on a frozen pretrained network, which `labelgap init` makes "
            "unless it is told otherwise.",
        )
    ids, labels = work.session.labelled()
    held = _truth(work, set(range(len(task.train))) - set(work.unpacked))
    features = np.asarray(task.train.inputs, dtype=np.float64)
    rows = np.concatenate([ids, np.array(list(held), dtype=np.int64)])
    # By the images of the whole folder, as the network's own inputs are.
    x = (features[rows] - features[work.present].mean(0)) / (features[work.present].std(0) + 1e-6)
    truth = np.array(list(held.values()), dtype=np.int64)
    n = len(ids)
    return again.Data(x[:n], labels, x[n:], truth, len(task.classes))


def forecast(work: Work, more: int) -> curve.Forecast:
    """How accurate with `more` training labels, of one linear layer on the frozen features."""
    data = frozen_data(work)
    streams = work.session.streams
    few = len(data.y) < curve.FEWEST_LABELS or len(data.held_y) < curve.FEWEST_HELD_OUT

    def judged(rows: curve.Rows) -> np.ndarray:
        logits = logits_of(data.x[rows], data.y[rows], data.held_x, data.classes)
        right: np.ndarray = logits.argmax(axis=1) == data.held_y
        return right

    if few:  # refused below, and no training is needed for that
        none = np.zeros((1, 1, len(data.held_y)), dtype=bool)
        return curve.forecast(np.array([len(data.y)]), none, more, streams.numpy("forecast"))
    with threads_for(work.session.task):
        sizes, right = curve.measure(judged, len(data.y), streams.numpy("forecast parts"))
    return curve.forecast(sizes, right, more, streams.numpy("forecast"))


def replay(work: Work) -> again.Replay:
    """The project's method against random, on its own labels.

    Raises `LabelgapError` with too few labels, or a method that needs more than features and
    predictions.
    """
    data, acquisition = frozen_data(work), work.session.acquisition
    n, held = len(data.y), len(data.held_y)
    if n < again.FEWEST_LABELS or held < again.FEWEST_HELD_OUT:
        raise LabelgapError(
            f"{counted(n, 'label')} and {held} held-out ones are too few to replay: it would show "
            "luck.",
            f"Label on: it takes {again.FEWEST_LABELS} and {again.FEWEST_HELD_OUT}.",
        )
    name = work.config.acquisition_name
    x = torch.from_numpy(data.x.astype(np.float32))
    fixed = {name: x for name in ("features", "embedding", "inputs")}
    lacking = sorted(acquisition.needs - {"logits", *fixed})
    if lacking or acquisition.needs_network:
        raise LabelgapError(
            f"{name} cannot be replayed: it asks by "
            f"{', '.join(lacking) or 'the network itself'}, which one linear layer does not have.",
            "See `labelgap methods` for what each method needs.",
        )

    def choose(
        labelled: Ids, free: Ids, logits: np.ndarray, number: int, seed: int, round: int
    ) -> Ids:
        arrays = {**fixed, "logits": torch.from_numpy(logits.astype(np.float32))}
        view = PoolView(
            round=round,
            num_classes=data.classes,
            labelled_ids=labelled,
            labels=data.y[labelled],
            candidate_ids=free,
            labelled={key: value[labelled] for key, value in arrays.items()},
            candidates={key: value[free] for key, value in arrays.items()},
            streams=Streams(seed),
        )
        chosen: Ids = acquisition.select(view, number).ids
        return chosen

    with threads_for(work.session.task):
        return again.replay(data, choose, name)
