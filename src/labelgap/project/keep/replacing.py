"""Files that take the places of others, all of them or none, also if the process is killed.

Everything is made ready in a folder beside, with a plan. Once the plan is there the change is
made: whoever opens the project next finishes it. What was in the places is renamed, never removed.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from labelgap.core.disk import told
from labelgap.core.files import rename_durably, write_text
from labelgap.core.lock import WriterLock
from labelgap.ledger.file import unused
from labelgap.ledger.ledger import LEDGER

READY = "restoring"
"""The folder of what is to be put in place."""
PLAN = "plan.json"
_LOGS = ("", "-wal", "-shm", "-journal")


def staging(home: Path) -> Path:
    """An empty folder for the files; what a killed process left in it is removed.

    To be called with the ledger's lock, after `finish`.
    """
    ready = home / READY
    with told(ready, "made"):
        if ready.exists():
            shutil.rmtree(ready)
        ready.mkdir()
    return ready


def replace_all(home: Path, names: list[str]) -> dict[str, Path]:
    """Put the named files of `staging` into `home`; returns where those are that lay there.

    A log beside a database goes with it: left behind, it would be replayed over the new one.
    To be called with the ledger's lock.
    """
    ready = home / READY
    for name in names:
        with told(ready / name), open(ready / name, "rb+") as stream:
            os.fsync(stream.fileno())
    aside = {name: unused(home / name, ".replaced").name for name in names}
    write_text(ready / PLAN, json.dumps(aside))  # from here on it is done
    kept = {name: home / other for name, other in _apply(home, aside).items()}
    return {name: path for name, path in kept.items() if path.exists()}


def pending(home: Path) -> bool:
    """Whether a replacement was begun, and is to be finished before anything else."""
    return (home / READY / PLAN).is_file()


def finish(home: Path) -> None:
    """Finish what a killed process began.

    Raises `InUse` while the process that began it is still at it.
    """
    if not pending(home):
        return
    lock = WriterLock(home / LEDGER)
    try:
        if pending(home):
            plan = home / READY / PLAN
            with told(plan, "read"):
                _apply(home, json.loads(plan.read_text()))
    finally:
        lock.release()


def clear(home: Path) -> None:
    """Remove what is left of a replacement: of one that is done, or was never begun."""
    if not (home / READY).exists():
        return
    lock = WriterLock(home / LEDGER)
    try:
        if not pending(home):
            with told(home / READY, "removed"):
                shutil.rmtree(home / READY)
    finally:
        lock.release()


def _apply(home: Path, aside: Mapping[str, str]) -> Mapping[str, str]:
    """Every step leaves a state from which the same steps lead to the end."""
    ready = home / READY
    for name, other in aside.items():
        if not (ready / name).exists():
            continue  # in its place already
        with told(home / name, "replaced"):
            # The file first: without it a log is refused, while a file without its log looks whole.
            for suffix in _LOGS:
                part = home / f"{name}{suffix}"
                if part.exists():
                    rename_durably(part, home / f"{other}{suffix}")
            rename_durably(ready / name, home / name)
    with told(ready, "removed"):
        (ready / PLAN).unlink()
        shutil.rmtree(ready)
    return aside
