"""A folder knows its data: ids are rows of them, so other data are refused, saying what differs.

What counts is the content. The same data by another path are the same; other data under the same
path are not.
"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

from labelgap.core.config import RunConfig
from labelgap.core.device import Machine
from labelgap.core.errors import FolderError
from labelgap.core.files import write_text
from labelgap.data.difference import Difference, difference, extended, in_order
from labelgap.data.identity import Record, record_of
from labelgap.data.types import Task
from labelgap.session.claim import CONFIG, DATA, begun, other_data, prepare, read_json

NO_RECORD = (
    "This folder is of a version that kept no record of its data: these are taken for the ones it "
    "was begun with, and recorded now."
)


@dataclass(frozen=True)
class Opened:
    """The folder's data.

    task: its training rows in the order of the folder's ids.
    notices: what a person should know, for whoever can tell it.
    """

    task: Task
    notices: tuple[str, ...] = ()


def own_data(folder: Path, task: Task, *, extend: bool = False) -> Opened:
    """Recognise the data of a prepared folder, or record them in one that was not begun.

    task: the data as they were loaded, before features are computed and anything is simulated.
    extend: take data that grew: ids stay what they are, new rows come behind them, wherever they
        stand in the data. Later calls find them without it.

    Raises `FolderError` for other data, saying what differs and, where they only grew, the cure.
    """
    file = folder / DATA
    if not file.exists():
        record_of(task).save(file)
        return Opened(task, (NO_RECORD,) if begun(folder) else ())
    record = Record.load(file)
    if task.fingerprint in (record.fingerprint, _trained_on(folder)):
        return Opened(task)
    if task.fingerprint == record.given:
        return Opened(in_order(record, task))
    found = difference(record, record_of(task))
    if not begun(folder):
        record_of(task).save(file)
        return Opened(task)
    if not (extend and found.only_grew):
        raise refusal(folder, task, found)
    record, ordered = extended(found, task)
    _forget_trained(folder)
    record.save(file)
    added = len(found.train.added)
    return Opened(ordered, (f"{added} rows added behind the {record.rows[-2]} of the folder.",))


def claimed(folder: Path, config: RunConfig, machine: Machine, task: Task, extend: bool) -> Task:
    """A session's folder made or recognised, and its data (`own_data`); warns of what changed."""
    notices = prepare(folder, config, machine)
    seen = _trained_on(folder)
    if seen is not None and not (folder / DATA).exists() and begun(folder):
        # An older run's: what it was loaded from is not known here, and the run will record it.
        if seen != task.fingerprint:
            raise other_data(folder, task)
        opened = Opened(task)
    else:
        opened = own_data(folder, task, extend=extend)
    for notice in (*notices, *opened.notices):
        warnings.warn(notice, stacklevel=3)
    return opened.task


def refusal(folder: Path, task: Task, found: Difference, grow: bool = True) -> FolderError:
    """Other data than the folder's; `grow`: whether the folder can take data that grew."""
    cure = "Choose another folder, or give the data that it was begun with."
    if found.only_grew and grow:
        cure = (
            "`--extend` of `labelgap run`, or `Session(…, extend=True)`, goes on with them: ids "
            "stay what they are. Or choose another folder."
        )
    return FolderError(
        f"{folder} was begun with other data than these of {task.name!r}: {found}.", cure
    )


def _trained_on(folder: Path) -> str | None:
    """Fingerprint of what the folder's network sees: features, or a simulated pool."""
    file = folder / CONFIG
    return read_json(file).get("task") if file.exists() else None


def _forget_trained(folder: Path) -> None:
    """Before the record changes: a folder that is killed in between takes the extension again."""
    file = folder / CONFIG
    if file.exists():
        facts = {k: v for k, v in read_json(file).items() if k != "task"}
        write_text(file, json.dumps(facts, indent=1))
