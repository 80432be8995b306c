"""Pixels that are not 8 bits: which value becomes 0, and which 255.

One range for all images of a kind, so that equal values look equal in all of them: the range of
the type where the data use it, else the data's own. What lies outside is clipped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float64, Shaped, UInt8
from PIL import Image, ImageOps

from labelgap.core.errors import DataError

Range = tuple[float, float]
Rule = Literal["auto", "type", "own"]
RULES: tuple[Rule, ...] = get_args(Rule)
Values = Shaped[np.ndarray, "..."]

TYPES: Mapping[str, Range] = {
    "8-bit signed": (-128.0, 127.0),
    "12-bit": (0.0, 4095.0),
    "16-bit": (0.0, 65535.0),
    "16-bit signed": (-32768.0, 32767.0),
    "32-bit": (0.0, 2.0**32 - 1),
    "32-bit signed": (-(2.0**31), 2.0**31 - 1),
    "float": (0.0, 1.0),
}
"""The kinds of values, and the range of each one's type; of floats the one that is usual."""
USED = 0.25
"""Share of the type's range that the data must span for it to be taken: 12 bits in 16 span a
sixteenth, and would be nearly black."""
PERCENTILES = (0.1, 99.9)
"""Of the data's own range: a few dead or saturated pixels decide nothing."""
IMAGES = 64
"""Images of a kind that its range is chosen from, evenly spaced."""
_VALUES = 1 << 16  # of each of them
_WIDE = frozenset({"I", "I;16", "I;16L", "I;16B", "F"})
_BITS, _PHOTOMETRIC, _FORMAT = 258, 262, 339  # tags of TIFF


class WideFound(DataError):
    """Values of a kind that has no range yet: it is to be chosen, and the image read again."""


@dataclass(frozen=True)
class Scales:
    """The range of each kind that there is: value → round(255 (value − low) / (high − low)).

    fixed: whether a kind without a range raises `WideFound`; else each image has its own, for
        those who look at one image alone.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    fixed: bool = True

    def told(self) -> list[str]:
        """A sentence for each kind."""
        lines = []
        for kind, (low, high) in sorted(self.ranges.items()):
            own = "the type's range" if (low, high) == TYPES[kind] else "the data's own range"
            lines.append(f"{kind} pixels: {_number(low)} … {_number(high)} become 0 … 255 ({own})")
        return lines

    def bytes_of(
        self, image: Image.Image, kind: str, values: Values, name: str
    ) -> UInt8[np.ndarray, "h w"]:
        """The values of an image as 8 bits.

        Raises `DataError` for NaN, `WideFound` for a kind without a range.
        """
        if kind == "float" and not np.isfinite(values).all():
            raise DataError(f"{name}: it has NaN or infinite pixels.", "Replace or remove it.")
        known = self.ranges.get(kind)
        if known is None:
            if self.fixed:
                raise WideFound(f"{name}: no range is chosen for {kind} pixels.", "Add it anew.")
            known = chosen(kind, [values], "auto")
        low, high = known
        shares = (values.astype(np.float64) - low) / (high - low)
        made: UInt8[np.ndarray, "h w"] = np.rint(255 * shares.clip(0, 1)).astype(np.uint8)
        return ~made if _tag(image, _PHOTOMETRIC, 1) == 0 else made


ALONE = Scales(fixed=False)
"""Each image by its own values."""


def chosen(kind: str, samples: Sequence[Values], rule: Rule) -> Range:
    """The range of a kind of values, from those of some images.

    rule: "type" takes the type's; "own" the data's 0.1 and 99.9 percentiles; "auto" the type's
        where no value is outside and the data's own range spans `USED` of it, else the data's.
    """
    low, high = TYPES[kind]
    values = np.concatenate([np.asarray(s).ravel() for s in samples] or [np.empty(0)])
    values = values[np.isfinite(values)].astype(np.float64)
    if rule == "type" or not len(values):
        return low, high
    own = _own(values)
    if rule == "auto" and own is not None:
        inside = values.min() >= low and values.max() <= high
        if inside and own[1] - own[0] >= USED * (high - low):
            return low, high
    return own or (low, high)


def _own(values: Float64[np.ndarray, " n"]) -> Range | None:
    """None for values that are all equal: there is no range."""
    low, high = (float(v) for v in np.percentile(values, PERCENTILES))
    if low == high:  # all but a few are equal
        low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else None


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else f"{value:.4g}"


def kind_of(image: Image.Image) -> str | None:
    """The kind of an open image's values by its header; None for those of 8 bits."""
    bits, form = _tag(image, _BITS, 0), _tag(image, _FORMAT, 1)
    if image.mode == "L":
        return "8-bit signed" if form == 2 else None
    if image.mode not in _WIDE:
        return None
    if image.mode == "F":
        return "float"
    if image.mode != "I" or not bits:  # Pillow opens 16-bit files of several formats as "I"
        return "12-bit" if bits == 12 else "16-bit"
    return f"{bits}-bit signed" if form == 2 else f"{bits}-bit"


def values_of(image: Image.Image, kind: str) -> Values:
    """The values of an image, upright, in their own type."""
    values = np.asarray(ImageOps.exif_transpose(image))
    if kind == "8-bit signed":
        return values.view(np.int8)
    if kind == "32-bit":  # Pillow's are signed
        return values.view(np.uint32)
    return values


def sample(image: Image.Image) -> tuple[str, Values] | None:
    """The kind of an image and at most 65,536 of its values, evenly spaced; None for 8 bits."""
    kind = kind_of(image)
    if kind is None:
        return None
    values = values_of(image, kind).ravel()
    return kind, values[:: max(1, -(-values.size // _VALUES))].copy()


def may_be_wide(head: bytes) -> bool:
    """Whether a file can have more than 8 bits, by its first 32 bytes: for most, no more of it
    needs to be read."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return len(head) > 24 and head[24] == 16
    return head.startswith((b"II", b"MM", b"P2", b"P5", b"Pf", b"PF"))


def spread(places: Sequence[Any], count: int = IMAGES) -> list[Any]:
    """At most `count` of some, evenly spaced."""
    step = max(1, -(-len(places) // count))
    return list(places[::step])


def of_samples(samples: Iterable[tuple[str, Values] | None], known: Scales, rule: Rule) -> Scales:
    """The scales with a range for each kind that the samples show and that had none."""
    found: dict[str, list[Values]] = {}
    for one in samples:
        if one is not None and one[0] not in known.ranges:
            found.setdefault(one[0], []).append(one[1])
    more = {kind: chosen(kind, spread(values), rule) for kind, values in sorted(found.items())}
    return Scales({**known.ranges, **more})


def _tag(image: Image.Image, number: int, without: int) -> int:
    """A number in the header of a TIFF."""
    tags = getattr(image, "tag_v2", None)
    if tags is None or number not in tags:
        return without
    value = tags[number]
    return int(value[0] if isinstance(value, tuple) else value)
