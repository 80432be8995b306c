"""One file's bytes: which image they are, or why they are none of ours."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from labelgap.core.errors import DataError
from labelgap.data.decoders import Lost, shared
from labelgap.data.heic import register_heic
from labelgap.data.images import decode, said
from labelgap.data.scales import ALONE, Scales

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "HEIF")
"""Raster formats that are opened, whatever a file's name says; no format that runs programs."""


@dataclass(frozen=True)
class Seen:
    """Width and height as shown, and the packed square; or the reason why there is none, in two
    or three words, and the details."""

    width: int = 0
    height: int = 0
    pixels: UInt8[np.ndarray, "h w c"] | None = None
    reason: str = ""
    detail: str = ""


def look(path: str, data: bytes, channels: int, side: int, scales: Scales) -> Seen:
    """Decode a file's bytes in a process of their own: whatever they do to the decoder is a
    reason. `path` names them. Raises `LabelgapError` where no process can be started."""
    try:
        return shared().run(seen, path, data, channels, side, scales)
    except Lost as error:
        reason = "too large" if "memory" in str(error) else "damaged"
        return Seen(reason=reason, detail=str(error))


def seen(path: str, data: bytes, channels: int, side: int, scales: Scales = ALONE) -> Seen:
    """The same in this process, which a decoder that crashes takes down."""
    try:
        width, height = sniff(data)
        return Seen(width, height, decode((path, data), channels, None, side, scales))
    except Exception as error:  # noqa: BLE001  (decoders raise errors of every type)
        return Seen(reason=_reason(error), detail=_detail(error))


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height by the header alone; None for what is no image."""
    try:
        return shared().run(measured, data)
    except Lost:
        return None


def measured(data: bytes) -> tuple[int, int] | None:
    """The same in this process."""
    try:
        return sniff(data)
    except Exception:  # noqa: BLE001  (`look` says why)
        return None


def sniff(data: bytes) -> tuple[int, int]:
    """Width and height as shown, of a file whose *contents* are one of `FORMATS`."""
    Image.init()
    register_heic()
    known = [name for name in FORMATS if name in Image.OPEN]  # some builds lack one or two
    with Image.open(BytesIO(data), formats=known) as image:
        # Pillow decodes a whole PNG to look for EXIF behind its pixels.
        cheap = image.format != "PNG" or "exif" in image.info
        turned = cheap and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return (image.height, image.width) if turned else (image.width, image.height)


def _reason(error: Exception) -> str:
    cause, text = error.__cause__ or error, str(error)
    if isinstance(cause, (MemoryError, Image.DecompressionBombError)) or "Mpx" in text:
        return "too large"
    if "NaN" in text:
        return "NaN pixels"
    if isinstance(cause, UnidentifiedImageError):
        return "not an image"
    if "truncated" in text or "Truncated" in text or "EOF" in text:
        return "truncated"
    return "damaged"


def _detail(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(error, DataError) and cause is None:
        return error.cause
    told = said(cause if isinstance(cause, Exception) else error)
    return told.split("<")[0].strip() if "cannot identify" in told else told
