"""One file that holds everything a person made: labels, items, settings."""

import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from labelgap.core.disk import told
from labelgap.core.errors import FolderError
from labelgap.core.files import write_atomically
from labelgap.ledger.ledger import LEDGER
from labelgap.project.keep.settings import HOME, SETTINGS
from labelgap.project.keep.store import Project

_README = """labelgap backup of {root}, {time}

To restore: `labelgap restore FILE.zip` in the folder of the images, whether or not it has a
project; then `labelgap doctor --repack` where doctor asks for it.

labels.jsonl holds every event as text, for any program. Its labels are numbers, and the latest
event of the classes says what each is ("stored": number to class; without it a number is the
class's place).
"""


def backup(project: Project, out: Path | None = None) -> Path:
    """Write a zip of the ledger (a checked copy and JSONL), the items and the settings.

    Images and caches are not in it. out: default `.labelgap/backups/<time>.zip`.

    Raises `DiskError` where the disk refuses; an older file is then as it was.
    """
    now = datetime.now(UTC)
    target = out or project.home / "backups" / f"{now.strftime('%Y%m%dT%H%M%SZ')}.zip"
    if target.is_dir():
        raise FolderError(f"{target} is a folder.", "Give --out FILE.zip.")
    with told(target), tempfile.TemporaryDirectory(dir=project.home, prefix=".backup-") as name:
        work = Path(name)
        project.ledger.snapshot(work / LEDGER)
        project.ledger.export_jsonl(work / "labels.jsonl")
        project.items.copy(work / "items.sqlite")

        def write(file: object) -> None:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
                archive.writestr("README.txt", _README.format(root=project.root, time=now))
                archive.write(project.home / SETTINGS, f"{HOME}/{SETTINGS}")
                for part in (LEDGER, "items.sqlite"):
                    archive.write(work / part, f"{HOME}/{part}")
                archive.write(work / "labels.jsonl", "labels.jsonl")

        write_atomically(target, write)
    return target
