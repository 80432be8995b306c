"""Is everything whole? Each check says what it looked at, what it found, and the cure."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from labelgap.core.errors import DataError, DiskError, LabelgapError
from labelgap.core.lock import network_file_system
from labelgap.core.wording import counted
from labelgap.data.apart import decode_apart
from labelgap.data.labels import listed
from labelgap.data.progress import late_progress
from labelgap.ledger import file as _sqlite
from labelgap.ledger.ledger import LEDGER
from labelgap.project.images.found import Unreadable
from labelgap.project.images.pixels import CHANNELS
from labelgap.project.keep.found_copies import copies
from labelgap.project.keep.replacing import finish
from labelgap.project.keep.settings import HOME, SETTINGS, read_settings
from labelgap.project.keep.store import Project, need_ledger

Image = UInt8[np.ndarray, "h w c"]
SAMPLED = 200
"""Files whose contents are compared with their hash."""
_LOW = 500 << 20
_CHUNK = 64  # images packed between two waits for the disk


@dataclass(frozen=True)
class Finding:
    """One check: its state is ok, warning or error."""

    check: str
    state: str
    text: str
    cure: str = ""


def examine(root: Path) -> list[Finding]:
    """Every check that can be made; one damaged part does not hide the others."""
    finish(root / HOME)
    found = [_settings(root), *_ledger(root / HOME), *_disk(root / HOME)]
    if any(f.state == "error" for f in found):
        return found
    try:
        with Project.open(root, "read") as project:
            found += [*_items(project), *_files(project)]
    except LabelgapError as error:
        found.append(Finding("project", "error", error.cause, error.cure))
    return found


def _settings(root: Path) -> Finding:
    try:
        settings = read_settings(root / HOME / SETTINGS)
    except LabelgapError as error:
        return Finding("settings", "error", error.cause, error.cure)
    return Finding("settings", "ok", f"{len(settings.classes)} classes")


def _ledger(home: Path) -> Iterator[Finding]:
    file = home / LEDGER
    try:
        need_ledger(home.parent)
    except LabelgapError as error:
        yield Finding("ledger", "error", error.cause, error.cure)
        return
    try:
        _sqlite.check(file)
        yield Finding("ledger", "ok", "the file is sound")
    except DiskError as error:  # not damage: nothing is to be restored
        yield Finding("ledger", "error", error.cause, error.cure)
    except LabelgapError as error:
        newest = next((copy for copy in copies(home.parent) if copy.sound), None)
        cure = "`labelgap restore FILE`, with a backup: none was found here."
        if newest:
            cure = (
                f"`labelgap restore` puts {newest.path.name} in its place "
                f"({counted(len(newest.labels), 'label')}, {newest.time[:16]}) and keeps it."
            )
        yield Finding("ledger", "error", error.cause, cure)
    remote = network_file_system(home)
    if remote:
        yield Finding(
            "file system", "warning", f"{home} is on {remote}: a crash can lose the last labels",
            "Move the folder to a local disk.",
        )  # fmt: skip


def _items(project: Project) -> Iterator[Finding]:
    state = project.items.check()
    n = project.items.count()
    if state != "ok":
        yield Finding("items", "error", f"{counted(n, 'item')}; {state}", "`labelgap restore`")
    elif n:
        yield Finding("items", "ok", f"{counted(n, 'item')}; ok")
    else:
        yield _no_items(project)
    if strange := project.ledger.beyond(n):
        yield Finding(
            "labels", "error",
            f"labels, skips or questions of {counted(len(strange), 'item')} that "
            f"{'does' if len(strange) == 1 else 'do'} not exist: {listed(list(map(str, strange)))}",
            "If items.sqlite and ledger.sqlite are of different backups, restore both from one; "
            "else `labelgap doctor --set-aside` takes these out (the log keeps them).",
        )  # fmt: skip
    else:
        yield Finding("labels", "ok", counted(len(project.ledger.labels), "label"))
    size = project.pixels.file.stat().st_size if project.pixels.file.exists() else 0
    if size < n * project.pixels.row:
        have = size // project.pixels.row
        yield Finding("pixels", "error", f"{have} of {n} packed images are there",
                      "labelgap doctor --repack")  # fmt: skip
    elif lost := project.items.unpacked():
        first = project.items.get(min(lost)).path
        yield Finding(
            "pixels", "warning",
            f"{counted(len(lost), 'image')} not packed, since the file was gone, e.g. {first}: no "
            "training and no prediction has them",
            "Put the files back and run `labelgap add`.",
        )  # fmt: skip
    else:
        yield Finding("pixels", "ok", f"{size / 1e6:.0f} MB for {counted(n, 'image')}")


def _no_items(project: Project) -> Finding:
    """A project without an image: there is nothing to ask about."""
    bad = project.items.files("quarantined")
    why = "the folder has no image"
    if bad:
        why = f"none of {counted(len(bad), 'file')} is a usable image, e.g. {bad[0].path}: "
        why += bad[0].reason
    return Finding(
        "items",
        "error",
        f"0 items: {why}; there is nothing to ask about",
        f"Put images into {project.root} and run `labelgap add`.",
    )


def _files(project: Project) -> Iterator[Finding]:
    items = project.items.all()
    replaced = project.items.replaced()
    if replaced:
        text = f"{counted(len(replaced), 'image')} with other contents now, e.g. "
        text += items[min(replaced)].path or f"item {min(replaced)}"
        yield Finding("edited", "ok", f"{text}; labels of the old contents stay in the ledger")
    gone = [i for i in items if not i.present and i.id not in replaced]
    if gone:
        text = f"{counted(len(gone), 'item')} without a file now, e.g. {gone[0].path}"
        yield Finding(
            "files", "warning", text,
            "Their labels are kept. Put the files back, or anywhere into the folder, and run "
            "`labelgap add`.",
        )  # fmt: skip
    here = [i for i in items if i.present]
    step = max(1, len(here) // SAMPLED)
    changed, absent = [], []
    for item in here[::step]:
        try:
            data = project.reader.read(item.path)
        except Unreadable:
            absent.append(item.path)
            continue
        if not item.has_content(data):
            changed.append(item.path)
    looked = len(here[::step])
    if absent or changed:
        text = f"of {looked} files {len(absent)} are gone and {len(changed)} have other contents"
        yield Finding("contents", "warning", f"{text}, e.g. {(absent + changed)[0]}",
                      "labelgap add")  # fmt: skip
    else:
        text = f"{counted(looked, 'file')} with the contents that were labelled"
        yield Finding("contents", "ok", text)
    bad = project.items.files("quarantined")
    if bad:
        text = f"no usable image: {counted(len(bad), 'file')}, e.g. {bad[0].path}: {bad[0].reason}"
        yield Finding("quarantine", "warning", text, "labelgap status --quarantine")
    conflicts = project.ledger.conflicts()
    if conflicts:
        text = f"people disagree on {counted(len(conflicts), 'image')}"
        yield Finding("conflicts", "warning", text, "labelgap status --conflicts")


def _disk(home: Path) -> Iterator[Finding]:
    try:
        free = shutil.disk_usage(home).free
    except OSError as error:
        yield Finding("disk", "error", f"{home} cannot be asked for its room ({error.strerror})")
        return
    state = "ok" if free > _LOW else "warning"
    yield Finding("disk", state, f"{free / 1e9:.1f} GB free", "" if state == "ok" else "Free some.")


def set_aside(project: Project) -> list[int]:
    """Take what was said about items that do not exist out of the ledger's state; their ids.

    The log keeps every event, and has one more for each of them.
    """
    strange = project.ledger.beyond(project.items.count())
    project.ledger.set_aside(strange, "no item of the project has this id")
    return strange


def repack(project: Project) -> tuple[int, list[str]]:
    """Pack the pixels anew from the files; returns how many items, and the paths that failed.

    An item whose file is gone or changed keeps its row; where it has none it gets a blank one,
    since its id must stay, and is known as not packed.

    Raises `FolderError` where the disk is full; repeating it packs everything anew.
    """
    failed = []
    ready: dict[int, Image] = {}
    lost: dict[int, Image] = {}
    items = project.items.all()
    blank = np.zeros((project.pixels.side, project.pixels.side, CHANNELS), dtype=np.uint8)
    with late_progress("Packing images", len(items)) as advance:
        for item in items:
            advance(1)
            try:
                data = project.reader.read(item.path)
                if not item.has_content(data):
                    raise Unreadable("other contents")
                ready[item.id] = decode_apart(
                    (item.path, data), CHANNELS, None, project.pixels.side, project.pixels.scales
                )
            except (Unreadable, DataError):
                failed.append(item.path)
                if not _has_pixels(project, item.id):
                    lost[item.id] = blank
            if len(ready) + len(lost) == _CHUNK:
                _put(project, ready, lost)
                ready, lost = {}, {}
        _put(project, ready, lost)
    return len(items), failed


def _put(project: Project, ready: dict[int, Image], lost: dict[int, Image]) -> None:
    """Known as not packed before the blank row is written, as packed after the image is."""
    with project.items.writing():
        project.items.mark_unpacked(lost)
    project.pixels.replace_rows(ready | lost)
    with project.items.writing():
        project.items.mark_packed(ready)


def _has_pixels(project: Project, id: int) -> bool:
    """Whether the row of an item is there and not blank (a packing that was killed leaves such
    rows, and so did older versions)."""
    file = project.pixels.file
    if not file.exists() or file.stat().st_size < (id + 1) * project.pixels.row:
        return False
    return bool(project.pixels.open(id + 1)[id].any())
