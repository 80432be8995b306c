"""What the page asks of the project, as plain data: no HTTP in here."""

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from labelgap.core.errors import DataError, LabelgapError, LedgerError, StorageError
from labelgap.core.types import QueryItem
from labelgap.ledger.events import Event
from labelgap.ledger.ledger import SKIP_REASONS
from labelgap.project.asking.in_words import in_words
from labelgap.project.asking.work_notes import calibrated_rounds, neighbours_of
from labelgap.project.exchange.exchange import name_of
from labelgap.project.exchange.shown import original, packed
from labelgap.project.images.items import Item
from labelgap.project.keep.keys import own_keys, page_keys
from labelgap.project.keep.store import Project
from labelgap.project.quality.nonresponse import nonresponse
from labelgap.project.quality.quality import TRAINED, held_out_labels
from labelgap.project.quality.status import status
from labelgap.project.server.asking import Asking
from labelgap.project.server.outlook import cost, drawn

LONGEST = 1280
ZOOMED = 4096
"""Longest side of an image that somebody zooms into: one to one for most cameras' photographs."""
THUMBNAIL = 240
LEASE_SECONDS = 600.0
MOST = 200
"""Items on lease for one person at a time at most."""
_SIDES = {"full": LONGEST, "large": ZOOMED, "small": THUMBNAIL}
VIEWS = (*_SIDES, "trained")
_BULK = re.compile(r"([0-9a-f]{32})\.[0-9a-f]{32}")
_KEPT = 96  # encoded images in memory


class Refused(LabelgapError):
    """An answer that can never be stored; sending it again is no use."""


@dataclass(frozen=True)
class Picture:
    """An encoded image. `lasting`: made of the content itself, so that it is the same for ever;
    what was packed depends on the project's size and stands in for a file that may come back."""

    data: bytes
    kind: str
    lasting: bool


def version_of(item: Item) -> str:
    """What tells an image from all others in its address: ids begin at 0 in every project."""
    return item.sha256[:16]


class Desk:
    """One project on the desk of one or more persons; safe to use from several threads.

    ahead: the next images are asked for while a person has some left.
    """

    def __init__(self, project: Project, id: str = "", *, ahead: bool = False) -> None:
        self.project, self.id = project, id
        self._mutex = threading.Lock()
        self._images: OrderedDict[tuple[int, str], Picture] = OrderedDict()
        self._status: tuple[Any, Any] = (None, None)
        self._near: tuple[int, dict[int, list[int]]] = (-1, {})
        self._calibrated: dict[int, int] = {}
        self.asking: Asking = Asking(project, ahead)

    # ----------------------------------------------------------------------------- reading

    def state(self, person: str) -> dict[str, Any]:
        """Classes, progress, accuracy so far, this person's history, disagreements."""
        project, ledger = self.project, self.project.ledger
        labels, skipped = ledger.labels, ledger.skipped
        asked = ledger.asked_ids().tolist()
        done = sum(i in labels or i in skipped for i in asked)
        s = self._quality()
        conflicts = ledger.conflicts()
        return {
            "id": self.id,
            "project": project.root.name,
            "classes": list(project.classes),
            "classes_seq": ledger.class_versions()[-1][0],
            "asked": len(asked),
            "done": done,
            "labelled": len(labels),
            "items": project.items.count(),
            "accuracy": None
            if not s.accuracy.total
            else {"value": s.accuracy.value, "interval": s.accuracy.interval,
                  "total": s.accuracy.total, "sentence": s.accuracy.sentence},
            "verdict": s.verdict.sentence,
            "unanswered": s.nonresponse.total,
            "unanswered_sentence": s.nonresponse.sentence(s.accuracy),
            "history": [self._past(e) for e in ledger.history(limit=40, person=person)],
            "conflicts": [
                {"id": id, "answers": [self._past(e) for e in events]}
                for id, events in list(conflicts.items())[:20]
            ],
            "conflict_count": len(conflicts),
            "asking": self.asking.state(),
            "ahead": self.asking.ahead,
            "untouched": self.asking.untouched(),
            "curve": drawn(s.curve),
            "cost": cost(project, self.asking, person),
            "keys": page_keys(project.classes, own_keys(ledger)),
        }  # fmt: skip

    def _quality(self) -> Any:
        """The status, computed once for each training and set of held-out labels: it walks over
        all notes."""
        last = self.project.last_note(TRAINED)
        # Held-out answers that come in or are corrected change the estimate of the same network.
        ledger = self.project.ledger
        key = (last.seq if last else 0, held_out_labels(ledger), nonresponse(ledger))
        if self._status[0] != key:
            self._status = (key, status(self.project))
        return self._status[1]

    def _past(self, event: Event) -> dict[str, Any]:
        what = event.data.get("reason", "")
        if event.label is not None:
            what = name_of(event.label, self.project.classes)
        return {
            "id": event.id,
            "kind": event.kind,
            "label": event.label,
            "what": what,
            "person": event.person,
            "time": event.time,
            # Answers given at once have a first part of their requests in common.
            "bulk": bulk.group(1) if (bulk := _BULK.fullmatch(event.request or "")) else None,
            "item": None if event.id is None else self._shown(event.id),
        }

    def batch(self, person: str, n: int) -> list[dict[str, Any]]:
        """Up to n items for this person; nobody else gets them for ten minutes."""
        ledger, lost = self.project.ledger, self.project.items.unpacked()
        n = min(max(n, 1), MOST)
        leased = ledger.lease(n + len(lost), person, LEASE_SECONDS)
        items = [item for item in leased if item.id not in lost][:n]
        asked = len(ledger.asked_ids())
        if self._near[0] != asked:
            self._near = (asked, neighbours_of(ledger))
            self._calibrated = calibrated_rounds(ledger)
        self.asking.keep_ahead(len(items) if len(items) < n else MOST)
        return [self._item(item) for item in items]

    def _shown(self, id: int) -> dict[str, Any]:
        """What the page needs to show an image again."""
        place = self.project.items.get(id)
        return {
            "id": id,
            "version": version_of(place),
            "name": place.path,
            "width": place.width,
            "height": place.height,
        }

    def _item(self, item: QueryItem) -> dict[str, Any]:
        classes, pseudo = self.project.classes, item.pseudo_label
        labels = self.project.ledger.labels
        near = [i for i in self._near[1].get(item.id, ()) if i in labels]
        guess = pseudo if pseudo is not None and pseudo < len(classes) else None
        name = None if guess is None else classes[guess]
        return {
            **self._shown(item.id),
            "rank": item.rank,
            "round": item.round,
            "predicted": guess,
            "probability": item.probability,
            "calibrated": self._calibrated.get(item.round or 0, 0) > 0,
            "why": in_words(item.parts, item.explanation, name, item.probability),
            "numbers": item.explanation,
            "neighbours": [
                {
                    "id": i,
                    "version": version_of(self.project.items.get(i)),
                    "label": name_of(labels[i], classes),
                }
                for i in near
            ],
        }

    def image(self, id: int, view: str, version: str = "") -> Picture:
        """An item's image, encoded anew.

        view: "full" (up to 1,280 pixels), "large" (4,096), "small", or "trained": the square the
            network sees.
        version: that of `version_of`, where the page knows it.

        Raises `DataError`: no such item, or one of another version (a page of another project).
        """
        item = self.project.items.get(id)
        if version not in ("", version_of(item)):
            raise DataError(f"Item {id} has other contents.", "Reload the page.")
        with self._mutex:
            if (id, view) in self._images:
                self._images.move_to_end((id, view))
                return self._images[id, view]
        made = self._encode(item, view)
        if made.lasting:  # a file that is gone may come back
            with self._mutex:
                self._images[id, view] = made
                while len(self._images) > _KEPT:
                    self._images.popitem(last=False)
        return made

    def _encode(self, item: Item, view: str) -> Picture:
        image = None
        if view != "trained":
            image = original(self.project, item, _SIDES[view])
        lasting = image is not None
        if image is None:
            image = packed(self.project, item)
        sink = BytesIO()
        if max(image.size) <= 256:
            image.save(sink, "PNG")
            return Picture(sink.getvalue(), "image/png", lasting)
        image.save(sink, "JPEG", quality=88)
        return Picture(sink.getvalue(), "image/jpeg", lasting)

    # ----------------------------------------------------------------------------- writing

    def store(self, answer: Mapping[str, Any], person: str) -> dict[str, Any]:
        """Store one answer of the page and return its event; a repeated request is stored once.

        Raises
        ------
        Refused: malformed, or contradicts what is there.
        StorageError: the disk or the file refuses; nothing of it is stored, and the answer
            should be kept and sent again.
        """
        request = _text(answer, "request")
        if not 8 <= len(request) <= 100:
            raise Refused("The request id is too short or too long.", "Reload the page.")
        kind = _text(answer, "kind")
        id = answer.get("id")
        if isinstance(id, bool) or not isinstance(id, int) or not 0 <= id < 1 << 53:
            raise Refused(f"{id!r} is no item.", "Reload the page.")
        ledger = self.project.ledger
        try:
            self.project.items.get(id)
            if kind == "label":
                label = answer.get("label")
                if isinstance(label, bool) or not isinstance(label, int):
                    raise Refused(f"{label!r} is no label.", "Reload the page.")
                # A page may have been open since before the classes changed.
                seq = answer.get("classes_seq")
                if seq is not None and (isinstance(seq, bool) or not isinstance(seq, int)):
                    raise Refused(f"{seq!r} is no number of an event.", "Reload the page.")
                event = ledger.answer(id, label, person=person, request=request, as_of=seq)
            elif kind == "skip":
                reason = _text(answer, "reason")
                if reason not in SKIP_REASONS:
                    raise Refused(f"{reason!r} is no reason to skip.", "Reload the page.")
                event = ledger.skip(id, reason, person=person, request=request)
            elif kind == "undo":
                event = ledger.undo(id, person=person, request=request)
            else:
                raise Refused(f"{kind!r} is no kind of answer.", "Reload the page.")
        except StorageError:
            raise
        except (LedgerError, DataError) as error:
            raise Refused(error.cause, error.cure) from error
        return {"seq": event.seq, **self._past(event)}


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        raise Refused(f"The answer has no {name}.", "Reload the page.")
    return value
