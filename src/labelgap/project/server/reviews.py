"""What the review view asks of the project, as plain data: no HTTP in here.

Every write is a transaction of the ledger, all of it or nothing, and stored once however often it
is sent: a bulk's answers have the request ids REQUEST#ITEM.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from labelgap.core.errors import DataError, LedgerError, StorageError
from labelgap.core.types import Answer, QueryItem
from labelgap.ledger.ledger import SKIP_REASONS
from labelgap.project.keep import kept
from labelgap.project.keep.keys import class_keys, own_keys
from labelgap.project.keep.store import Project
from labelgap.project.server.desk import Refused
from labelgap.project.server.filters import Filter, Row, rows_of
from labelgap.project.server.reviewing import Reviewing

MOST = 2000
"""Images in one write: a class of a large project, and far from the cap on bodies."""


class Reviews:
    """One project under review; safe to use from several threads."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.reviewing = Reviewing(project)
        self._rows: tuple[Any, list[Row]] = (None, [])

    # ----------------------------------------------------------------------------- reading

    def state(self) -> dict[str, Any]:
        """Classes, what can be filtered by, what is there already and what is being made."""
        project = self.project
        self.reviewing.begin()
        made = self.reviewing.made
        rows = self.rows()
        people = sorted({who for row in rows for who in row.people})
        return {
            "classes": list(project.classes),
            "keys": class_keys(project.classes, own_keys(project.ledger)),
            "classes_seq": project.ledger.class_versions()[-1][0],
            "items": len(rows),
            "labelled": sum(row.state == "labelled" for row in rows),
            "people": people,
            "regions": self._regions(rows),
            "doubts": None if made.judged is None else self._doubts_left(),
            "why_not": made.why_not,
            "groups": len(made.groups),
            "done": sorted(made.done),
            "making": self.reviewing.state(),
            "stale": self.reviewing.stale(),
        }

    def rows(self) -> list[Row]:
        """Every image with all that can be filtered by."""
        made, project = self.reviewing.made, self.project
        key = (project.ledger.seq, project.items.count(), made)
        if self._rows[0] != key:
            self._rows = (key, rows_of(project, made.judged, made.region))
        return self._rows[1]

    def _regions(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Each region's size, its labels, and the class most of its images seem to be of."""
        found: dict[int, list[Row]] = {}
        for row in rows:
            if row.region is not None:
                found.setdefault(row.region, []).append(row)
        told = []
        for region, inside in sorted(found.items()):
            seem = [row.label if row.label is not None else row.predicted for row in inside]
            known = [k for k in seem if k is not None and k >= 0]
            most = max(set(known), key=known.count) if known else None
            labelled = sum(row.label is not None for row in inside)
            told.append(
                {"region": region, "size": len(inside), "labelled": labelled, "mostly": most}
            )
        return told

    def items(self, wanted: Filter, offset: int, limit: int) -> dict[str, Any]:
        """Images that pass the filter, sorted, some of them: {total, items}."""
        rows = wanted.apply(self.rows())
        return {"total": len(rows), "items": [row.told() for row in rows[offset : offset + limit]]}

    def doubts(self, limit: int) -> dict[str, Any]:
        """The queue of labels to look at again, the worst first: {ready, why_not, note, likely,
        judged, items}."""
        made = self.reviewing.made
        if made.judged is None:
            return {"ready": "doubts" in made.done, "why_not": made.why_not, "note": "",
                    "likely": 0, "judged": 0, "items": []}  # fmt: skip
        from labelgap.project.asking.judged import suspects

        found = suspects(self.project, made.judged)
        rows = {row.id: row for row in self.rows()}
        return {
            "ready": True,
            "why_not": "",
            "note": made.judged.sentence(self.project.classes),
            "likely": sum(s.likely for s in found),
            "judged": len(made.judged.doubted),
            "items": [
                {**rows[s.id].told(), "label": s.label, "suggested": s.suggested,
                 "fits": round(s.fits, 4), "likely": s.likely, "answer": s.answer}
                for s in found[:limit]
            ],
        }  # fmt: skip

    def _doubts_left(self) -> int:
        from labelgap.project.asking.judged import suspects

        judged = self.reviewing.made.judged
        return 0 if judged is None else sum(s.likely for s in suspects(self.project, judged))

    def groups(self, offset: int, limit: int) -> dict[str, Any]:
        """Groups of near-duplicates: {ready, total, groups}, each a list of images."""
        made = self.reviewing.made
        rows = {row.id: row for row in self.rows()}
        some = made.groups[offset : offset + limit]
        return {
            "ready": "near" in made.done,
            "total": len(made.groups),
            "groups": [[rows[i].told() for i in group] for group in some],
        }

    def map(self) -> dict[str, Any]:
        """{ready, total, points: [id, x, y, label or −2 without, predicted or −2]}."""
        made = self.reviewing.made
        points = [
            [row.id, *(round(v, 4) for v in made.places[row.id]),
             -2 if row.label is None else row.label,
             -2 if row.predicted is None else row.predicted]
            for row in self.rows() if row.id in made.places
        ]  # fmt: skip
        return {
            "ready": "map" in made.done,
            "total": self.project.items.count(),
            "points": points,
        }

    # ----------------------------------------------------------------------------- writing

    def answer(self, body: Mapping[str, Any], person: str) -> dict[str, Any]:
        """Give many images one label, or leave them out: all of them or none.

        body: {request, ids, label, classes_seq} or {request, ids, skip: a reason}.

        Raises `Refused` for what is malformed or contradicts what is there, `StorageError` where
        the disk refuses: nothing is stored, and it should be sent again.
        """
        request, ids = _request(body), self._ids(body)
        reason, label, seq = body.get("skip"), body.get("label"), body.get("classes_seq")
        if reason is not None and reason not in SKIP_REASONS:
            raise Refused(f"{reason!r} is no reason to skip.", "Reload the page.")
        if reason is None and not _whole(label):
            raise Refused(f"{label!r} is no label.", "Reload the page.")
        if seq is not None and not _whole(seq):
            raise Refused(f"{seq!r} is no number of an event.", "Reload the page.")
        ledger = self.project.ledger
        requests = {id: f"{request}#{id}" for id in ids}
        known = sum(ledger.has_request(r) for r in requests.values())
        if 0 < known < len(ids):
            raise Refused(f"The request {request!r} was used for other images.", "Reload the page.")
        given = [
            Answer(id, None if reason else label, reason or "", person, requests[id]) for id in ids
        ]
        events = _written(lambda: ledger.tell(given, as_of=seq))
        return {"seqs": [event.seq for event in events]}

    def undo(self, body: Mapping[str, Any], person: str) -> dict[str, Any]:
        """Take a whole bulk back: {request, of: the bulk's request, ids}. Raises as `answer`."""
        request, of, ids = _request(body), _request(body, "of"), self._ids(body)
        requests = {f"{of}#{id}": f"{request}#{id}" for id in ids}
        events = _written(lambda: self.project.ledger.undo_all(requests, person=person))
        return {"seqs": [event.seq for event in events]}

    def keep(self, body: Mapping[str, Any], person: str) -> dict[str, Any]:
        """A doubted label stands: {request, id, answer: the event that it is of}; with kept =
        false that is taken back. Raises as `answer`."""
        request, answer = _request(body), body.get("answer")
        (id,) = self._ids({"ids": [body.get("id")]})
        stands = body.get("kept", True)
        if not isinstance(answer, int) or not _whole(answer) or not isinstance(stands, bool):
            raise Refused("It does not say which answer is kept.", "Reload the page.")
        number: int = answer
        event = _written(
            lambda: kept.keep(
                self.project.ledger, id, number, kept=stands, person=person, request=request
            )
        )
        return {"seqs": [event.seq]}

    def ask(self, body: Mapping[str, Any], person: str) -> dict[str, Any]:
        """Put images among the questions: {ids}. Those that were asked or answered before are
        left out, which also makes a repeated request harmless; and so is the reserve that
        measures accuracy, which must stay a random sample. Raises as `answer`."""
        ids, project = self._ids(body), self.project
        ledger = project.ledger
        from labelgap.project.asking.reserve import held_back

        reserve = held_back(project)
        known = {*ledger.asked_ids().tolist(), *ledger.labels, *ledger.skipped}
        new = [i for i in ids if i not in known and i not in reserve]
        words = f"chosen by {person} on the map" if person else "chosen on the map"
        items = [QueryItem(i, explanation=words) for i in new]
        asked = _written(
            lambda: ledger.asked(max(ledger.round, 0), items, unless_answered=True) if items else []
        )
        return {
            "asked": len(asked),
            "known": sum(i in known for i in ids),
            "reserve": sum(i in reserve and i not in known for i in ids),
        }

    def _ids(self, body: Mapping[str, Any]) -> list[int]:
        ids = body.get("ids")
        if not isinstance(ids, list) or not 1 <= len(ids) <= MOST or not all(map(_whole, ids)):
            raise Refused(f"The images are no list of 1 to {MOST} items.", "Choose fewer images.")
        count = self.project.items.count()
        if len(set(ids)) < len(ids) or not all(0 <= i < count for i in ids):
            raise Refused(f"An image is twice in it, or not one of 0 … {count - 1}.", "Reload.")
        return ids


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _request(body: Mapping[str, Any], name: str = "request") -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 8 <= len(value) <= 60 or "#" in value:
        raise Refused(f"It has no {name} id of 8 to 60 signs.", "Reload the page.")
    return value


def _written(write: Any) -> Any:
    try:
        return write()
    except StorageError:
        raise
    except (LedgerError, DataError) as error:
        raise Refused(error.cause, error.cure) from error
