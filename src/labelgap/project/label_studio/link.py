"""Which project of which Label Studio a folder's project is answered in, kept in the ledger."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labelgap.project.keep.store import Project
from labelgap.project.label_studio.client import Client, LabelStudioError
from labelgap.project.label_studio.labelling import Control, control_of, interface
from labelgap.project.label_studio.renaming import followed

LINK = "label-studio"
_KEY = "label-studio-key"


@dataclass(frozen=True)
class Link:
    """One project of a Label Studio: its number, its question, its model version and title."""

    url: str
    project: int
    control: Control
    model_version: str
    title: str

    @property
    def page(self) -> str:
        """Where a person finds it."""
        return f"{self.url}/projects/{self.project}/data"


def remembered_url(project: Project) -> str | None:
    """The address of the last link."""
    last = project.last_note(LINK)
    return None if last is None else str(last.data["url"])


def linked(project: Project, client: Client, number: int | None = None) -> Link:
    """The Label Studio project that was linked before, or `number`, which is linked from now on.

    Raises `LabelStudioError`: none is linked; it is gone; another server answers at the address.
    """
    last = project.last_note(LINK)
    if number is None and last is None:
        raise LabelStudioError(
            f"{project.root} is not in Label Studio yet.",
            "Push it first (`labelgap label-studio push`), or name its project: --number 7.",
        )
    wanted = int(last.data["project"]) if number is None and last is not None else int(number or 0)
    try:
        found = client.get(f"/api/projects/{wanted}/")
    except LabelStudioError as error:
        if error.status != 404:
            raise
        raise LabelStudioError(
            f"Project {wanted} is not at {client.url} (deleted, or not visible to this user).",
            "All labels pulled so far are here. Push with --new to make another one, or name "
            "one: --number 7.",
            404,
        ) from None
    if number is None and last is not None and last.data["url"] != client.url:
        # Another address may be another server, whose project of this number is a stranger's.
        key = last.data.get("key")
        if not key or key not in str(found.get("description") or ""):
            raise LabelStudioError(
                f"Project {wanted} was linked at {last.data['url']}, and {client.url} may be "
                "another server.",
                f"If it is the same project say so: --number {wanted}.",
            )
    return _kept(project, client, found, None if last is None else last.data.get("key"))


def link(project: Project, client: Client, number: int | None = None, new: bool = False) -> Link:
    """As `linked`, and where there is none, or with `new`, a project is made."""
    if not new and (number is not None or project.last_note(LINK) is not None):
        return linked(project, client, number)
    # The key is on the disk before the project is made: if this process dies in between, the
    # next push finds the project by its key and makes no second one.
    last = project.last_note(LINK)
    keys = project.ledger.notes(_KEY)
    used = {e.data.get("key") for e in project.ledger.notes(LINK)}
    if last is not None or not keys or keys[-1].data["key"] in used:
        if not keys or keys[-1].data["key"] in used:
            project.ledger.note(_KEY, {"key": f"labelgap-{secrets.token_hex(8)}"})
        keys = project.ledger.notes(_KEY)
    key = str(keys[-1].data["key"])
    title = f"labelgap: {project.root.name}"[:50]
    found = _by_key(client, key) or client.post(
        "/api/projects/",
        {
            "title": title,
            "description": f"Images asked for by labelgap. Do not remove: {key}",
            "label_config": interface(project.classes),
            "sampling": "Sequential sampling",
            "show_collab_predictions": True,
        },
    )
    return _kept(project, client, client.get(f"/api/projects/{found['id']}/"), key)


def _by_key(client: Client, key: str) -> dict[str, Any] | None:
    page = 1
    while True:
        answer = client.get("/api/projects/", page=page, page_size=100)
        for found in answer["results"]:
            if key in str(found.get("description") or ""):
                return dict(found)
        if not answer.get("next"):
            return None
        page += 1


def _kept(project: Project, client: Client, found: Mapping[str, Any], key: Any) -> Link:
    found = followed(project, client, found)
    number = int(found["id"])
    title = str(found.get("title", ""))
    control = control_of(
        found.get("parsed_label_config") or {}, project.classes, f"project {number} at {client.url}"
    )
    facts = {"url": client.url, "project": number, "key": key}
    last = project.last_note(LINK)
    if last is None or dict(last.data) != facts:
        project.ledger.note(LINK, facts)
    return Link(client.url, number, control, str(found.get("model_version") or ""), title)
