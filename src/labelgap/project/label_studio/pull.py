"""Pull: what people answered in Label Studio, each annotation once, nothing taken away.

The rule for several annotations of an item: every annotator is a person of the ledger, and
their latest annotation is what they say. Answers are stored in the order of their time in Label
Studio, so the latest of one pull is the label in force; the others stay, and `labelgap status
--conflicts` shows who disagrees. What is deleted in Label Studio stays here.

An answer that cannot be stored is quarantined and told; it never keeps the others from coming in.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from labelgap.core.errors import LedgerError, StorageError
from labelgap.project.keep.store import Project
from labelgap.project.label_studio.client import Client
from labelgap.project.label_studio.labelling import NoClass, Unclear, answer_of
from labelgap.project.label_studio.link import Link
from labelgap.project.label_studio.renaming import former_class

QUARANTINED = "label-studio-quarantined"
PEOPLE = "label-studio-people"


@dataclass(frozen=True)
class Bad:
    """An annotation that could not be taken: where it is, whose, and why."""

    annotation: int
    task: int
    path: str
    person: str
    reason: str
    new: bool


@dataclass
class Pulled:
    """What a pull found.

    Attributes
    ----------
    labels, skips: stored now. known: annotations that were stored before.
    quarantined: annotations that name no single class, or that the ledger refuses; kept as
        notes, listed until they are corrected in Label Studio.
    foreign: tasks that are no item of this project.
    drafts: answers begun and not submitted.
    conflicts: items on which persons disagree, in the whole project.
    """

    labels: int = 0
    skips: int = 0
    known: int = 0
    quarantined: list[Bad] = field(default_factory=list)
    foreign: list[int] = field(default_factory=list)
    drafts: int = 0
    conflicts: int = 0


@dataclass(frozen=True)
class _Annotation:
    when: datetime | None
    changed: str
    number: int
    request: str
    task: int
    item: int
    person: str
    cancelled: bool
    result: Any


def pull(project: Project, client: Client, link: Link) -> Pulled:
    """Store every annotation that is not stored yet; repeating it stores nothing.

    An annotation is known by its unique id and the time of its last change, which are the
    request id in the ledger: one that is changed in Label Studio is a correction here, and an
    answer that was undone here stays undone.

    Raises `LabelStudioError` where the server cannot be asked, and `StorageError` where the disk
    refuses; what was stored before that stays, and the next pull goes on.
    """
    pulled = Pulled()
    known = project.items.known_hashes()
    tasks = client.annotated(link.project)
    names = _people(project, client, link, tasks)
    found: list[_Annotation] = []
    for task in tasks:
        pulled.drafts += len(task.get("drafts") or ())
        item = known.get(str((task.get("data") or {}).get("labelgap_id")))
        if item is None:
            pulled.foreign.append(_number(task))
            continue
        found += [_read(a, _number(task), item, link, names) for a in _annotations(task)]
    for annotation in sorted(found, key=lambda a: (a.when or _NEVER, a.number)):
        _store(project, link, annotation, pulled)
    pulled.conflicts = len(project.ledger.conflicts())
    return pulled


def _read(
    annotation: Mapping[str, Any], task: int, item: int, link: Link, names: Mapping[int, str]
) -> _Annotation:
    number = _number(annotation)
    changed = str(annotation.get("updated_at") or annotation.get("created_at") or "")
    unique = annotation.get("unique_id") or f"{link.url}#{number or _content(task, annotation)}"
    return _Annotation(
        _time(changed),
        changed,
        number,
        _text(f"label-studio:{unique}@{changed}"),
        task,
        item,
        _text(names[_user(annotation.get("completed_by"))]),
        bool(annotation.get("was_cancelled")),
        annotation.get("result"),
    )


def _annotations(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [a for a in task.get("annotations") or () if isinstance(a, Mapping)]


def _number(entry: Mapping[str, Any]) -> int:
    """The id of a task or an annotation; 0 where it has none, as in some exports."""
    number = entry.get("id")
    return number if isinstance(number, int) else 0


def _content(task: int, annotation: Mapping[str, Any]) -> str:
    """What an annotation without an id is known by: its task, its author, and what it says."""
    said = [task, _user(annotation.get("completed_by")), annotation.get("result")]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


_NEVER = datetime.min.replace(tzinfo=UTC)


def _time(text: str) -> datetime | None:
    """None for what is no time. Label Studio's are in UTC also where they do not say so."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _text(value: str) -> str:
    """As UTF-8 can hold it: half a surrogate pair, which JSON can carry, as its escape."""
    return value.encode("utf-8", "backslashreplace").decode()


def _store(project: Project, link: Link, annotation: _Annotation, pulled: Pulled) -> None:
    ledger = project.ledger
    before = ledger.seq
    if ledger.has_request(annotation.request):
        # Also where its choice means another class by now: it was stored with the one of then.
        pulled.known += 1
        return
    try:
        if annotation.when is None:
            raise Unclear(f"its time is {annotation.changed!r}, so its order is not known")
        said: int | str = "skip"
        if not annotation.cancelled:
            said = _said(project, link, annotation)
        item, person, request = annotation.item, annotation.person, annotation.request
        if isinstance(said, int):
            event = ledger.answer(item, said, person=person, request=request)
        else:
            event = ledger.skip(item, said, person=person, request=request)
    except Unclear as error:
        pulled.quarantined.append(_quarantine(project, annotation, str(error)))
        return
    except StorageError:
        raise
    except LedgerError as error:
        pulled.quarantined.append(_quarantine(project, annotation, error.cause))
        return
    if event.seq <= before:
        pulled.known += 1
    elif isinstance(said, int):
        pulled.labels += 1
    else:
        pulled.skips += 1


def _said(project: Project, link: Link, annotation: _Annotation) -> int | str:
    """The answer, also of an annotation that names a class by its name of before."""
    try:
        return answer_of(annotation.result, link.control, project.classes)
    except NoClass as error:
        return former_class(project.ledger, error.choice)


def _quarantine(project: Project, annotation: _Annotation, reason: str) -> Bad:
    """Kept, so that nothing that a person said is lost, and never trained on."""
    before = project.ledger.seq
    event = project.ledger.note(
        QUARANTINED,
        {
            "item": annotation.item,
            "task": annotation.task,
            "annotation": annotation.number,
            "reason": reason,
            # JSON's NaN and Infinity, which the ledger refuses, as text.
            "result": json.loads(json.dumps(annotation.result), parse_constant=str),
        },
        person=annotation.person,
        # Not the answer's own: that one stays free for the ledger.
        request=f"{annotation.request}!",
    )
    path = project.items.get(annotation.item).path
    return Bad(
        annotation.number, annotation.task, path, annotation.person, reason, event.seq > before
    )


def _user(completed_by: Any) -> int:
    """A user's number; 0 for an annotation that somebody imported."""
    if isinstance(completed_by, Mapping):
        completed_by = completed_by.get("id")
    return completed_by if isinstance(completed_by, int) else 0


def _people(
    project: Project, client: Client, link: Link, tasks: list[dict[str, Any]]
) -> dict[int, str]:
    """User -> person: the e-mail address at their first answer, for ever.

    Remembered, since people are renamed and removed, and their answers must stay theirs.
    """
    names: dict[int, str] = {}
    for event in project.ledger.notes(PEOPLE):
        if event.data["url"] == link.url:
            names.update({int(number): name for number, name in event.data["people"].items()})
    seen = {_user(a.get("completed_by")) for task in tasks for a in _annotations(task)}
    new = seen - names.keys()
    if new:
        emails = {int(u["id"]): str(u.get("email") or "") for u in client.get("/api/users/")}
        fresh = {number: emails.get(number) or f"label-studio {number}" for number in sorted(new)}
        data = {"url": link.url, "people": {str(number): name for number, name in fresh.items()}}
        project.ledger.note(PEOPLE, data)
        names.update(fresh)
    return names
