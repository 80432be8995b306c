"""Push: the asked batch and nothing else, in order, each item once."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labelgap.core.types import QueryItem
from labelgap.project.images.items import Item
from labelgap.project.keep.store import Project
from labelgap.project.label_studio.client import Client, LabelStudioError
from labelgap.project.label_studio.images import Address
from labelgap.project.label_studio.labelling import Control, prediction
from labelgap.project.label_studio.link import Link

VIEW = "labelgap: label next"
LIVE = "labelgap"
"""The title of our backend, which is the project's model version where people chose it."""
IMPORT = "label-studio-import"
SETTLE = 60.0
"""Seconds after which an import that nobody heard the end of has arrived, or never will: one of
250 photographs takes a few. It shows its tasks all at once, when it is done."""
_POLL = 1.0
_ORDER = "tasks:data.labelgap_rank"
_REQUEST = 8 << 20  # bytes in one import
_REQUEST_TASKS = 250


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes
    ----------
    new, known: tasks made now; outstanding items that had one.
    twice: items that have several tasks (made by somebody else: nothing here makes a second).
    model_version: the version whose predictions are shown now; None where nothing is predicted.
    """

    link: Link
    new: int
    known: int
    twice: tuple[int, ...]
    model_version: str | None


def push(
    project: Project,
    client: Client,
    link: Link,
    address: Address,
    wait: Callable[[float], None] = time.sleep,
) -> Pushed:
    """Make a task for each outstanding item that has none, and show them in order.

    Repeating it, also after it broke off, makes only what is missing: what is there is read from
    the server first, by `labelgap_id` (the SHA-256 of the image file). If the last push was cut
    off within a request, that request may still be at work over there, and is waited for
    (`SETTLE`). One push at a time: the project must be open for writing.

    Raises `LabelStudioError`; what was made so far stays and is found by the next push.
    """
    outstanding = project.waiting()
    present = _settled(project, client, link, wait)
    missing = [item for item in outstanding if item.id not in present]
    places = {int(id): rank for rank, id in enumerate(project.ledger.asked_ids(), 1)}
    made = 0
    for group, ids in _groups(
        (item.id, task_of(project, link.control, item, places[item.id], address))
        for item in missing
    ):
        _import(project, client, link, group, ids)
        made += len(group)
    if outstanding:
        _show_in_order(client, link.project)
    version = _move_version(project, client, link, outstanding)
    twice = tuple(sorted(id for id, tasks in present.items() if len(tasks) > 1))
    return Pushed(link, made, len(outstanding) - len(missing), twice, version)


def _import(
    project: Project, client: Client, link: Link, group: list[dict[str, Any]], ids: list[int]
) -> None:
    def note(items: list[int]) -> None:
        project.ledger.note(IMPORT, {"url": link.url, "project": link.project, "items": items})

    # On the disk before it is sent, and taken back once its end is known.
    note(ids)
    try:
        answer = client.post(f"/api/projects/{link.project}/import?return_task_ids=true", group)
    except LabelStudioError as error:
        if error.is_answer:
            note([])
        raise
    note([])
    count = answer.get("task_count") if isinstance(answer, dict) else None
    if count != len(group):
        some = "did not say how many" if count is None else f"made {count}"
        raise LabelStudioError(
            f"Of {len(group)} tasks Label Studio {some}.",
            "Once it shows them push again: only what is missing is made.",
        )


def _settled(
    project: Project, client: Client, link: Link, wait: Callable[[float], None]
) -> dict[int, list[int]]:
    """`tasks_of`, once the import that the last push did not see the end of is in it or late."""
    present = tasks_of(project, client, link)
    last = project.last_note(IMPORT)
    if last is None or (last.data["url"], last.data["project"]) != (link.url, link.project):
        return present
    age = (datetime.now(UTC) - datetime.fromisoformat(last.time)).total_seconds()
    left = SETTLE - max(age, 0.0)  # a clock that was put back must not make it longer
    while left > 0 and not present.keys() >= set(last.data["items"]):
        wait(_POLL)
        left -= _POLL
        present = tasks_of(project, client, link)
    return present


def tasks_of(project: Project, client: Client, link: Link) -> dict[int, list[int]]:
    """Item -> its tasks in Label Studio."""
    known = project.items.known_hashes()
    found: dict[int, list[int]] = {}
    for task in client.tasks(link.project):
        item = known.get(str(task.get("data", {}).get("labelgap_id")))
        if item is not None:
            found.setdefault(item, []).append(int(task["id"]))
    return found


def version_of(round: int) -> str:
    """The model version of what was predicted when a round was asked."""
    return f"labelgap-round-{round}"


def task_of(
    project: Project, control: Control, asked: QueryItem, place: int, address: Address
) -> dict[str, Any]:
    """One task: image, identity, rank, score, why; and the prediction, if it may be shown, with
    the network's probability as its score (the acquisition's is `labelgap_score`).

    labelgap_rank is the place in the order of asking over all rounds, so that it never has to
    be changed: 1 = label first. A held-out question has no prediction, which would colour the
    answer that measures the accuracy.
    """
    item: Item = project.items.get(asked.id)
    data = {
        control.key: address(item),
        "labelgap_id": item.sha256,
        "labelgap_path": item.path,
        "labelgap_round": asked.round,
        "labelgap_rank": place,
        "labelgap_score": asked.score,
        "labelgap_why": asked.explanation or "–",
    }
    task: dict[str, Any] = {"data": data}
    label = predicted(project, asked)
    if label is not None:
        task["predictions"] = [
            prediction(control, project.classes[label], version_of(asked.round), asked.probability)
        ]
    return task


def predicted(project: Project, asked: QueryItem) -> int | None:
    """The class to show with an item; None for held-out ones and where nothing is predicted."""
    label = asked.pseudo_label
    if asked.id in project.ledger.held_out or label is None:
        return None
    return label if 0 <= label < len(project.classes) else None


def _groups(
    tasks: Iterator[tuple[int, dict[str, Any]]],
) -> Iterator[tuple[list[dict[str, Any]], list[int]]]:
    """Tasks and their items by requests that the server takes in one go; images are encoded as
    they are sent."""
    group: list[dict[str, Any]] = []
    ids: list[int] = []
    size = 0
    for id, task in tasks:
        length = len(json.dumps(task))
        if group and (size + length > _REQUEST or len(group) >= _REQUEST_TASKS):
            yield group, ids
            group, ids, size = [], [], 0
        group.append(task)
        ids.append(id)
        size += length
    if group:
        yield group, ids


def _show_in_order(client: Client, number: int) -> None:
    """A view of the Data Manager by rank; "Label Tasks As Displayed" follows it."""
    data = {
        "title": VIEW,
        "type": "list",
        "target": "tasks",
        "ordering": [_ORDER],
        # Without it PostgreSQL sorts by text: 1, 10, 2.
        "columnsDisplayType": {_ORDER: "Number"},
    }
    for view in client.get("/api/dm/views/", project=number):
        known = view.get("data") or {}
        if known.get("title") == VIEW:
            # A filter or columns that people set are theirs; the order is ours.
            if known.get("ordering") != [_ORDER]:
                merged = {**known, **data}
                client.patch(f"/api/dm/views/{view['id']}/", {"project": number, "data": merged})
            return
    client.post("/api/dm/views/", {"project": number, "data": data})


def _move_version(
    project: Project, client: Client, link: Link, outstanding: list[QueryItem]
) -> str | None:
    """Let the project show this round's predictions: it stays on the first version for ever.

    Label Studio refuses a version without predictions, so a cold start leaves it alone.
    """
    if link.model_version == LIVE:
        return LIVE
    rounds = [item.round for item in outstanding if predicted(project, item) is not None]
    if not rounds:
        return link.model_version or None
    version = version_of(max(rounds))
    if link.model_version != version:
        client.patch(f"/api/projects/{link.project}/", {"model_version": version})
    return version
