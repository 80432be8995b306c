"""From places to items: every image is read and decoded once, fully, in processes that may
crash.

What is no image of ours is quarantined with its path and the reason, and never replaced by
another one. Killed at any instant, the next `add` goes on where it stopped.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8

from labelgap.data.decoders import shared
from labelgap.project.images.found import Found, Unreadable
from labelgap.project.images.items import File, Items, Status
from labelgap.project.images.look import Seen, look
from labelgap.project.images.pixels import CHANNELS, Pixels
from labelgap.project.images.readers import Reader

_CHUNK = 64  # images between two commits
DARK = 16
"""The brightest value of an image that people see as black: 12 bits in 16 make 15."""

_NOTHING = Seen()

Advance = Callable[[int], None]


@dataclass
class Report:
    """What became of the places: counts and, where people must look, the paths."""

    added: int = 0
    packed: int = 0
    """Items whose pixels were lost, and are packed again."""
    known: int = 0
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    quarantined: list[tuple[str, str, str]] = field(default_factory=list)
    moved: list[tuple[str, str]] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    """Files with other contents than before, which no file has now; labels are kept."""
    dark: list[str] = field(default_factory=list)
    """Of those added, the ones that are black, or nearly."""


@dataclass(frozen=True)
class _Read:
    """A place that was read: what it shows (no pixels for a content that is known), or why not."""

    found: Found
    sha256: str = ""
    what: Seen = _NOTHING


def ingest(
    found: list[Found], items: Items, pixels: Pixels, reader: Reader, advance: Advance
) -> Report:
    """Make items of the places that are not known yet, and note what moved, vanished, changed.

    advance: called with 1 for each place that was looked at.
    """
    report = Report()
    seen, lost = {f.path: f for f in items.files()}, items.unpacked()
    fresh, first_path = [], dict[int, str]()
    for place in found:
        before = seen.get(place.path)
        same = before is not None and (before.size, before.mtime_ns) == (place.size, place.mtime_ns)
        whole = before is not None and before.status == "ok" and before.item not in lost
        if same and whole and before is not None:
            report.known += 1
            advance(1)
            if before.item is not None:
                first_path.setdefault(before.item, before.path)
        else:
            fresh.append(place)
    hashes = items.known_hashes()
    pixels.trim(items.count())
    known = frozenset(digest for digest, item in hashes.items() if item not in lost)
    for block in _blocks(_read_all(fresh, reader, known, pixels)):
        new: list[UInt8[np.ndarray, "h w c"]] = []
        again: dict[int, UInt8[np.ndarray, "h w c"]] = {}
        files: list[File] = []
        added: list[_Read] = []
        for read in block:
            advance(1)
            item: int | None = None
            if not read.what.reason:
                item = hashes.get(read.sha256)
                if item is None:
                    assert read.what.pixels is not None
                    item = hashes[read.sha256] = len(hashes)
                    new.append(read.what.pixels)
                    added.append(read)
                    if read.what.pixels.max() <= DARK:
                        report.dark.append(read.found.path)
                elif item in lost and read.what.pixels is not None:
                    again[item] = read.what.pixels
                # Against files that have the contents now: one that moved is no duplicate of
                # where it was.
                first = first_path.setdefault(item, read.found.path)
                if first != read.found.path:
                    report.duplicates.append((read.found.path, first))
            else:
                report.quarantined.append((read.found.path, read.what.reason, read.what.detail))
            status: Status = "ok" if item is not None else "quarantined"
            place = read.found
            files.append(
                File(
                    place.path, status, item, read.what.reason, read.what.detail[:300],
                    place.size, place.mtime_ns,
                )
            )  # fmt: skip
        # The pixels first: rows without an item are cut off, an item without its row never is.
        pixels.append(new, items.count())
        pixels.replace_rows(again)
        with items.writing():
            for read in added:
                items.add(hashes[read.sha256], read.sha256, read.what.width, read.what.height)
            for file in files:
                items.put(file)
            items.mark_packed(again)
        report.added += len(added)
        report.packed += len(again)
    here = {place.path for place in found}
    gone = _missing(here, items)
    now = items.paths()
    were = [f for f in seen.values() if f.status == "ok" and f.path in here]
    replaced = [f for f in were if now.get(f.path) != f.item]
    _tell_lost(gone, replaced, items, report)
    return report


def _missing(here: set[str], items: Items) -> list[File]:
    """Mark files that are gone, and return them."""
    gone = [f for f in items.files("ok") if f.path not in here]
    with items.writing():
        items.mark_missing(f.path for f in gone)
    return gone


def _tell_lost(gone: list[File], replaced: list[File], items: Items, report: Report) -> None:
    """What became of the items whose file went or has other contents: they may have moved."""
    by_id = {item.id: item for item in items.all()} if gone or replaced else {}
    for files, lost in ((gone, report.vanished), (replaced, report.changed)):
        for file in files:
            assert file.item is not None
            item = by_id[file.item]
            if item.present:
                report.moved.append((file.path, item.path))
            else:
                lost.append(file.path)


def _blocks(reads: Iterable[_Read]) -> Iterator[list[_Read]]:
    block: list[_Read] = []
    for read in reads:
        block.append(read)
        if len(block) == _CHUNK:
            yield block
            block = []
    if block:
        yield block


def _read_all(
    found: list[Found], reader: Reader, known: frozenset[str], pixels: Pixels
) -> Iterator[_Read]:
    """In the order of the places; a bounded number is in memory."""
    workers = os.cpu_count() or 1
    running: deque[Future[_Read]] = deque()
    stream = iter(found)
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for place in stream:
                running.append(pool.submit(_read, place, reader, known, pixels))
                if len(running) >= 8 * workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except BaseException as error:
            for future in running:
                future.cancel()
            if isinstance(error, KeyboardInterrupt):  # else those that run are soon done
                shared().stop()
            raise
    shared().rest()


def _read(place: Found, reader: Reader, known: frozenset[str], pixels: Pixels) -> _Read:
    if place.refused:
        return _Read(place, what=Seen(reason=place.refused))
    try:
        data = reader.read(place.path)
    except Unreadable as error:
        return _Read(place, what=Seen(reason=error.reason, detail=error.detail))
    digest = hashlib.sha256(data).hexdigest()
    if digest in known:
        return _Read(place, digest)
    what = look(place.path, data, CHANNELS, pixels.side, pixels.scales)
    return _Read(place, digest, what)
