"""What the labels say of each image and of each other, for review: predictions, doubted labels.

One prediction for every image, by a classifier that has not seen the image's own label: of a
labelled image out of fold, of the others by all labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64

from labelgap.core.config import config_hash
from labelgap.core.streams import Streams
from labelgap.core.types import Ids, Progress
from labelgap.core.wording import counted
from labelgap.project.asking.kept_files import Arrays, kept_file
from labelgap.project.asking.seen import Seen
from labelgap.project.keep.kept import in_force, kept_answers
from labelgap.project.keep.store import Project
from labelgap.project.quality.label_errors import (
    FOLDS,
    can_be_judged,
    doubts,
    out_of_fold,
    principal,
    probabilities,
)

LEARNED = (
    "The network that compares the images has learned from these very labels, so it agrees with "
    "them more than it should: an error may not show. A pretrained network has not seen them."
)


@dataclass(frozen=True, eq=False)
class Judged:
    """Predictions of the items, and what was found out about their labels.

    ids, predicted, confidence: of each item that has pixels, the class that the other labels
        speak for, and how probable it is.
    doubted: item -> (the label that was judged, the class suggested instead, how well the label
        fits: 1 well, 0 not at all, whether it is probably wrong), in the order to look at them.
    key: hash of what this depends on.
    lonely: classes with one label only, which cannot be judged.
    learned: the features are of a network that learned from the labels.
    """

    ids: Ids
    predicted: Int64[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]
    doubted: Mapping[int, tuple[int, int, float, bool]]
    key: str
    lonely: tuple[int, ...]
    learned: bool = False

    def sentence(self, classes: tuple[str, ...]) -> str:
        """What limits the judgement, for people; "" where nothing does."""
        return " ".join(filter(None, (LEARNED if self.learned else "", self._lonely(classes))))

    def _lonely(self, classes: tuple[str, ...]) -> str:
        if not self.lonely:
            return ""
        names = ", ".join(classes[k] for k in self.lonely[:8])
        more = ", …" if len(self.lonely) > 8 else ""
        one = counted(len(self.lonely), "class has", "classes have")
        return f"{one} a single label, which nothing can be compared with: {names}{more}."


def state_of(project: Project, seen: Seen) -> str:
    """Hash of what `judge` depends on."""
    labels = sorted(project.ledger.labels.items())
    return config_hash({"seen": seen.key, "labels": labels, "classes": list(project.classes)})


def judge(project: Project, seen: Seen, progress: Progress | None = None) -> Judged:
    """Predictions of all images and the labels that are probably wrong, kept by content.

    progress: told of the stage "doubts" after each of its six fits.

    Labels that measure accuracy are judged too: a wrong one there makes the network look worse.

    Raises `BudgetError` where fewer than two classes have two labels.
    """
    labels = project.ledger.labels
    key = state_of(project, seen)
    here = set(seen.ids.tolist())
    ids = np.array(sorted(i for i in labels if i in here and labels[i] >= 0), dtype=np.int64)
    given = np.array([labels[i] for i in ids.tolist()], dtype=np.int64)
    fit = can_be_judged(given)
    made = kept_file(
        project.home / "cache" / "review" / "judged.npz",
        key,
        lambda: _judge(seen, ids[fit], given[fit], project.settings.seed, progress),
    )
    doubted = zip(*(made[name].tolist() for name in _DOUBTS), strict=True)
    return Judged(
        seen.ids,
        made["predicted"],
        made["confidence"],
        {id: (label, other, score, wrong) for id, label, other, score, wrong in doubted},
        key,
        tuple(sorted(set(given[~fit].tolist()))),
        seen.learned,
    )


_DOUBTS = ("id", "label", "suggested", "score", "doubted")


def _judge(
    seen: Seen,
    ids: Ids,
    labels: Int64[np.ndarray, " l"],
    seed: int,
    progress: Progress | None,
) -> Arrays:
    z: Float32[np.ndarray, "n d"] = principal(seen.features)
    rows = np.searchsorted(seen.ids, ids)
    classes, place = np.unique(labels, return_inverse=True)

    def fitted(number: int) -> None:
        if progress is not None:
            progress("doubts", number, FOLDS + 1)

    p = out_of_fold(z[rows], labels, Streams(seed).numpy("label errors"), fitted)
    everything = probabilities(z[rows], labels, z, classes)
    fitted(FOLDS + 1)
    everything[rows] = p
    found = doubts(place.astype(np.int64), p, np.arange(len(ids), dtype=np.int64))
    order = found.queue()
    return {
        "predicted": classes[everything.argmax(axis=1)],
        "confidence": everything.max(axis=1),
        "id": ids[order],
        "label": labels[order],
        "suggested": classes[found.suggested[order]],
        "score": found.score[order],
        "doubted": found.doubted[order],
    }


@dataclass(frozen=True)
class Suspect:
    """A label to look at again. fits: 1 well, 0 not at all. answer: the event that it is of."""

    id: int
    label: int
    suggested: int
    fits: float
    likely: bool
    answer: int


def suspects(project: Project, judged: Judged) -> list[Suspect]:
    """The queue: probably wrong labels first, then the others by how badly they fit.

    Without the labels that were changed since they were judged, and those that a person kept.
    """
    now, kept = in_force(project.ledger), kept_answers(project.ledger)
    found = []
    for id, (label, other, score, wrong) in judged.doubted.items():
        answer, current = now.get(id, (0, -1))
        if answer and current == label and answer not in kept:
            found.append(Suspect(id, label, other, score, wrong, answer))
    return found
