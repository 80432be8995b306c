"""Label Studio after the classes changed: its interface follows, and old choices keep a meaning."""

from collections.abc import Mapping
from typing import Any

from labelgap.ledger.ledger import Ledger
from labelgap.project.keep.settings import normal
from labelgap.project.keep.store import Project
from labelgap.project.label_studio.client import Client, LabelStudioError
from labelgap.project.label_studio.labelling import FORMER, Unclear, interface


def followed(project: Project, client: Client, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """A project of Label Studio, its interface with the classes of now.

    Only an interface that labelgap wrote is changed; of another one `control_of` says what is
    missing. Label Studio refuses to give up a choice that an annotation has: then those of
    before stay behind the others.

    Raises `LabelStudioError` where the server refuses both.
    """
    wanted, now = interface(project.classes), str(found.get("label_config") or "")
    versions = {m.names for _, m in project.ledger.class_versions() if m.names is not None}
    plain = "\n".join(line for line in now.split("\n") if FORMER not in line)
    if plain == wanted or plain not in {interface(names) for names in versions}:
        return found
    path = f"/api/projects/{found['id']}/"
    try:
        client.patch(path, {"label_config": wanted})
    except LabelStudioError as error:
        if error.status != 400:
            raise
        gone = [name for names in versions for name in names if name not in project.classes]
        former = sorted(set(gone))
        client.patch(path, {"label_config": interface(project.classes, former)})
    return dict(client.get(path))


def former_class(ledger: Ledger, choice: str) -> int:
    """The class that a name of before means now: the latest class that had it.

    Raises `Unclear` for a class that was removed, and for what was never one.
    """
    now = ledger.meaning()
    for _, then in reversed(ledger.class_versions()):
        names = [normal(name) for name in then.names or ()]
        if normal(choice) in names:
            label = now.of(then.own[names.index(normal(choice))])
            if label is None:
                raise Unclear(f"the class {choice!r} was removed")
            return label
    raise Unclear(f"{choice!r} is no class of the project")
