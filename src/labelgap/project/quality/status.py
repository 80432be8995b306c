"""Where a project stands: counts, accuracy with its interval, learning curve, what to do next."""

from dataclasses import dataclass
from typing import Any

from labelgap.core.types import NONE_OF_THESE
from labelgap.ledger.events import Event
from labelgap.project.keep.store import Project
from labelgap.project.quality import quality, stopping
from labelgap.project.quality.nonresponse import NonResponse, nonresponse
from labelgap.project.quality.quality import TRAINED, Point, Share


@dataclass(frozen=True)
class Status:
    """Everything `labelgap status` prints, as data."""

    items: int
    missing: int
    quarantined: dict[str, int]
    labelled: int
    held_out: int
    learned: int
    """Held-out labels that the last network had learned before they were held out."""
    nonresponse: NonResponse
    """Held-out images that were skipped or are none of the classes."""
    none_of_these: int
    skipped: dict[str, int]
    outstanding: int
    round: int
    conflicts: int
    per_class: list[int]
    recall: list[Share]
    curve: list[Point]
    verdict: stopping.Verdict
    regions: list[dict[str, Any]]

    @property
    def accuracy(self) -> Share:
        return self.curve[-1].accuracy if self.curve else Share(0, 0)


def status(project: Project) -> Status:
    """Read everything from ledger and items; trains and predicts nothing."""
    ledger = project.ledger
    labels, held = ledger.labels, ledger.held_out
    classes = len(project.classes)
    per_class = [0] * classes
    for label in labels.values():
        if label != NONE_OF_THESE:
            per_class[label] += 1
    reasons: dict[str, int] = {}
    for reason in ledger.skipped.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    quarantined: dict[str, int] = {}
    for file in project.items.files("quarantined"):
        quarantined[file.reason] = quarantined.get(file.reason, 0) + 1
    truth = quality.held_out_labels(ledger)
    points = quality.curve(ledger)
    last = project.last_note(TRAINED)
    items = project.items.all()
    return Status(
        items=len(items),
        missing=sum(not i.present for i in items),
        quarantined=quarantined,
        labelled=len(labels),
        held_out=sum(i in held for i in labels),
        learned=len(truth.keys() & quality.learned(last, ledger.held_out_late())) if last else 0,
        nonresponse=nonresponse(ledger),
        none_of_these=sum(y == NONE_OF_THESE for y in labels.values()),
        skipped=reasons,
        outstanding=len(project.waiting()),
        round=ledger.round,
        conflicts=len(ledger.conflicts()),
        per_class=per_class,
        recall=quality.recall(points[-1], truth, classes) if points else [Share(0, 0)] * classes,
        curve=points,
        verdict=stopping.verdict(points, truth),
        regions=_regions(project, last) if last else [],
    )


def _regions(project: Project, trained: Event) -> list[dict[str, Any]]:
    """The groups that the last training noted, with the classes of now."""
    now = quality.class_then(project.ledger, trained)
    found = []
    for region in trained.data["regions"]:
        counts: dict[int, int] = {}
        for k, count in region["predicted"]:
            if now(k) >= 0:
                counts[now(k)] = counts.get(now(k), 0) + count
        found.append({**region, "predicted": list(counts.items())})
    return found
