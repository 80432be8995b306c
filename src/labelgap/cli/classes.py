"""The command that shows a project's classes and changes them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from labelgap.cli import app
from labelgap.cli.values import PROJECT
from labelgap.core.terminal import console as _console
from labelgap.core.wording import counted
from labelgap.core.wording import plain as _plain

if TYPE_CHECKING:
    from labelgap.ledger.events import Event
    from labelgap.project.keep.store import Project


@app.command()
def classes(
    add: str | None = typer.Option(None, help="Further names, separated by commas."),
    rename: str | None = typer.Option(
        None, metavar="OLD=NEW", help="Another name; labels and the trained model stay."
    ),
    merge: str | None = typer.Option(
        None,
        metavar="A,B=C",
        help="Several classes become one; C may be one of them, or “(none of these)”.",
    ),
    remove: str | None = typer.Option(
        None, metavar="A,B", help="Without these: their labels are kept and not used."
    ),
    key: str | None = typer.Option(
        None, metavar="CLASS=KEY", help="Its own key on the page; CLASS= takes it away."
    ),
    project: Path | None = PROJECT,
) -> None:
    """Show the classes and their keys, or change them. Every label stays in the log: `labelgap
    undo` takes the last change back."""
    from labelgap.core.errors import ConfigError
    from labelgap.project.keep.classes import asked, key_asked
    from labelgap.project.keep.keys import class_keys, own_keys, set_key
    from labelgap.project.keep.store import Project

    given = {"add": add, "rename": rename, "merge": merge, "remove": remove, "key": key}
    changes = [(what, text) for what, text in given.items() if text is not None]
    if len(changes) > 1:
        raise ConfigError(
            f"{' and '.join(f'--{what}' for what, _ in changes)} are given.",
            "Give one change at a time, so that each can be taken back by itself.",
        )
    with Project.open(project, "write" if changes else "read") as p:
        console = _console()
        for what, text in changes:
            if what != "key":
                _change(console, p, *asked(p.ledger, what, text))
            elif not set_key(p.ledger, *key_asked(p.ledger, text)):
                console.print("that is its key already: nothing to do")
        console.print(
            f"{counted(len(p.classes), 'class', 'classes')}: {_plain(', '.join(p.classes))}"
        )
        own = own_keys(p.ledger)
        if own:
            keys = class_keys(p.classes, own)
            said = ", ".join(f"{name} {k[0]}" for name, k in zip(p.classes, keys, strict=True) if k)
            console.print(f"keys on the page: {_plain(said)}")


def _change(console: Any, p: "Project", what: str, names: list[str], to: str | None) -> None:
    """Make the change, and say what became of the labels."""
    from labelgap.core.types import NONE_OF_THESE
    from labelgap.project.quality.quality import last_training

    labels = list(p.ledger.labels.values())
    places = [p.classes.index(name) for name in names if name in p.classes]
    number = sum(labels.count(k) for k in places)
    waiting = len(p.ledger.outstanding_ids())
    if not p.change_classes(what, names, to):
        console.print("this change was made already: nothing to do")
        return
    told, which = counted(number, "label"), _plain(", ".join(names))
    if what in ("rename", "merge"):
        console.print(f"{which} → {_plain(to)}: {told}")
    elif what == "none":
        console.print(f"{which}: {told} mean “none of these” now")
    elif what == "remove":
        console.print(f"{which} removed: {told} kept in the log, and not used")
        if again := len(p.ledger.outstanding_ids()) - waiting:
            console.print(
                f"{counted(again, 'image')} that had one will be asked again; where they are of "
                f"no class, take this back (`labelgap undo`) and use --merge "
                f"'{which}=(none of these)'"
            )
    none = labels.count(NONE_OF_THESE)
    if what == "add" and none:
        console.print(
            f"[yellow]{counted(none, 'image')} said to be none of these:[/] labels that are of "
            "a new class now must be given again (`labelgap export` lists them)"
        )
    trained = last_training(p.ledger)
    if trained and trained["columns"] != list(p.ledger.meaning().own):
        console.print("the trained model is of other classes: labelgap train")
    if what != "add":
        console.print("to take it back: labelgap undo")


def tell_classes_undone(console: Any, p: "Project", undone: "Event") -> None:
    """What the classes are again."""
    change = undone.data["undone"]
    which = ", ".join(change["classes"]) + (f" → {change['to']}" if change["to"] else "")
    what = "none of these" if change["what"] == "none" else change["what"]
    console.print(f"taken back: {_plain(what)} {_plain(which)}")
    console.print(f"{counted(len(p.classes), 'class', 'classes')}: {_plain(', '.join(p.classes))}")
    if unused := p.ledger.unused():
        console.print(
            f"{counted(unused, 'label')} of classes that are gone: kept in the log, and not used"
        )
