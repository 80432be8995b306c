"""The scales of a set of images: chosen from some of it, before any is packed."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from labelgap.data.apart import sampled_apart
from labelgap.data.scales import Rule, Scales, may_be_wide, of_samples, spread
from labelgap.data.source import Contents, Item, Raw

T = TypeVar("T")

HEAD = 32
"""Bytes of a file that `may_be_wide` looks at."""


def scales_of(
    places: Iterable[T],
    head: Callable[[T], bytes],
    item: Callable[[T], Item],
    known: Scales,
    rule: Rule,
) -> Scales:
    """The scales with a range for every kind of values that some places show and that had none.

    head: a place's first 32 bytes, or more.  item: the place's image; asked for the few that are
        looked at. All that may have other than 8 bits are counted, and 256 of them looked at,
        evenly spaced: few sets have more than one kind.
    """
    wide = [place for place in places if may_be_wide(head(place))]
    samples = [sampled_apart(item(place)) for place in spread(wide, 256)]
    return of_samples(samples, known, rule)


def scales_of_contents(found: Contents, known: Scales) -> Scales:
    """The same of a data set: of the training images, since tests decide nothing; of the test
    images for kinds that only those have."""
    for raw in (found.train, found.test):
        rows = [row for row, item in enumerate(raw.items()) if may_be_wide(_head(item))]
        samples = [sampled_apart(item) for item in _of_rows(raw, spread(rows, 256))]
        known = of_samples(samples, known, "auto")
    return known


def _of_rows(raw: Raw, rows: list[int]) -> Iterable[Item]:
    wanted = frozenset(rows)
    return (item for row, item in enumerate(raw.items()) if row in wanted)


def _head(item: Item) -> bytes:
    _, data = item
    if isinstance(data, bytes):
        return data[:HEAD]
    if isinstance(data, Path):
        return head_of(data)
    return b""


def head_of(file: Path) -> bytes:
    """The first 32 bytes; none of a file that cannot be read, which decoding will tell."""
    try:
        with file.open("rb") as stream:
            return stream.read(HEAD)
    except OSError:
        return b""
