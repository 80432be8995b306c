"""Which images the review view shows, and in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labelgap.core.errors import ConfigError, UnknownName
from labelgap.project.keep.store import Project
from labelgap.project.server.desk import version_of

if TYPE_CHECKING:
    from labelgap.project.asking.judged import Judged

STATES = ("labelled", "unlabelled", "skipped", "conflict")
SORTS = ("name", "unsure", "sure", "newest", "oldest", "label", "region")


@dataclass(frozen=True)
class Row:
    """One image and what is known of it. state: labelled, skipped or unlabelled."""

    id: int
    version: str
    name: str
    width: int
    height: int
    label: int | None
    predicted: int | None
    confidence: float | None
    region: int | None
    people: tuple[str, ...]
    state: str
    conflict: bool
    reason: str
    answer: int
    """Number of the latest answer; 0 without."""

    @property
    def disagrees(self) -> bool:
        """Whether the label is another than what the other labels speak for."""
        return self.label is not None and self.predicted not in (None, self.label)

    def told(self) -> dict[str, Any]:
        """For the page."""
        return {
            "id": self.id, "version": self.version, "name": self.name, "width": self.width,
            "height": self.height, "label": self.label, "predicted": self.predicted,
            "confidence": self.confidence, "region": self.region, "people": list(self.people),
            "state": self.state, "reason": self.reason, "disagrees": self.disagrees,
        }  # fmt: skip


def rows_of(project: Project, judged: "Judged | None", region: Mapping[int, int]) -> list[Row]:
    """Every image of a project, by id."""
    ledger = project.ledger
    answers, labels, skipped = ledger.answers_of_all(), ledger.labels, ledger.skipped
    disputed = ledger.conflicts().keys()
    said: dict[int, tuple[int, float]] = {}
    if judged is not None:
        ids, k, p = judged.ids.tolist(), judged.predicted.tolist(), judged.confidence.tolist()
        said = {
            id: (k[i], round(p[i], 4)) for i, id in enumerate(ids) if k[i] < len(project.classes)
        }
    rows = []
    for item in project.items.all():
        given = answers.get(item.id, [])
        label, (predicted, sure) = labels.get(item.id), said.get(item.id, (None, None))
        state = (
            "labelled" if label is not None else "skipped" if item.id in skipped else "unlabelled"
        )
        rows.append(
            Row(
                item.id, version_of(item), item.path, item.width, item.height, label, predicted,
                sure, region.get(item.id), tuple(sorted({who for _, who, _ in given})), state,
                item.id in disputed, skipped.get(item.id, ""), given[-1][0] if given else 0,
            )
        )  # fmt: skip
    return rows


@dataclass(frozen=True)
class Filter:
    """What to show. None or "" lets everything through.

    label, predicted: a class, or −1 for none of the classes. least, most: bounds of the
    confidence, both included. disagrees: only labels that the others speak against. text: a part
    of the path, whatever its case.
    """

    label: int | None = None
    predicted: int | None = None
    least: float = 0.0
    most: float = 1.0
    disagrees: bool = False
    region: int | None = None
    person: str = ""
    state: str = ""
    text: str = ""
    sort: str = "name"

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filter":
        """From an address's parameters. Raises `ConfigError`, `UnknownName`."""
        state, sort = query.get("state", ""), query.get("sort", "name")
        if state and state not in STATES:
            raise UnknownName("state", state, STATES)
        if sort not in SORTS:
            raise UnknownName("order", sort, SORTS)
        return cls(
            label=_number(query, "label"),
            predicted=_number(query, "predicted"),
            least=_share(query, "least", 0.0),
            most=_share(query, "most", 1.0),
            disagrees=query.get("disagrees") == "1",
            region=_number(query, "region"),
            person=query.get("by", ""),
            state=state,
            text=query.get("text", ""),
            sort=sort,
        )

    def passes(self, row: Row) -> bool:
        """Whether an image is shown."""
        if self.least > 0 or self.most < 1:
            sure = row.confidence
            if sure is None or not self.least <= sure <= self.most:
                return False
        return (
            self.label in (None, row.label)
            and self.predicted in (None, row.predicted)
            and (not self.disagrees or row.disagrees)
            and self.region in (None, row.region)
            and (not self.person or self.person in row.people)
            and (not self.state or self._is(row))
            and self.text.casefold() in row.name.casefold()
        )

    def _is(self, row: Row) -> bool:
        return row.conflict if self.state == "conflict" else row.state == self.state

    def apply(self, rows: Sequence[Row]) -> list[Row]:
        """Those that pass, sorted; equals by name."""
        named = sorted(filter(self.passes, rows), key=lambda row: (row.name, row.id))
        last = 1 << 62
        keys: dict[str, Any] = {
            "name": lambda row: 0,
            "unsure": lambda row: 2.0 if row.confidence is None else row.confidence,
            "sure": lambda row: 1.0 if row.confidence is None else -row.confidence,
            "newest": lambda row: -row.answer,
            "oldest": lambda row: row.answer or last,
            "label": lambda row: last if row.label is None else row.label,
            "region": lambda row: last if row.region is None else row.region,
        }
        return sorted(named, key=keys[self.sort])


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"{name} is {text!r}.", "Give a whole number.") from error


def _share(query: Mapping[str, str], name: str, default: float) -> float:
    text = query.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} is {text!r}.", "Give a number from 0 to 1.")
    return value
