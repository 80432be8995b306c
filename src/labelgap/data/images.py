"""Encoded images of any kind to packed uint8 pixels."""

from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from labelgap.core.errors import DataError
from labelgap.data.heic import register_heic
from labelgap.data.source import Array, Item

# A 48 kB file can decode to gigabytes; a larger photograph than this is no training image.
MAX_PIXELS = 50_000_000
_GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B"})


class ColourFound(Exception):
    """Grey was tried and an image has colours: the set is packed with three channels instead."""


def decode(
    item: Item, channels: int, shape: tuple[int, int] | None, image_size: int | None
) -> UInt8[np.ndarray, "h w c"]:
    """One image as uint8 [h, w, channels].

    EXIF orientation is applied, the first frame of an animation taken, 16-bit grey scaled to 8
    bits, transparency laid over white, everything else converted to RGB.

    channels: 1 or 3; a grey image is repeated where 3 are asked, an image that is stored with
        colours raises `ColourFound` where 1 is.
    shape: (h, w) that the image must have, `None` for any.
    image_size: resize so that the shorter side has so many pixels (bicubic, antialiased; the
        aspect is kept) and keep the square at the centre.

    Raises `DataError`, naming the item, for damaged images, for more than 50 Mpx and for a
    wrong shape.
    """
    name, data = item
    try:
        with _open(data) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{name}: {image.width}×{image.height} is more than "
                    f"{MAX_PIXELS // 1_000_000} Mpx.",
                    "Make it smaller or remove it.",
                )
            if channels == 1 and image.mode not in _GREY:
                raise ColourFound
            if image_size:
                # JPEG decodes at 1/2, 1/4 or 1/8 for much less work; twice the size asked keeps
                # the resize that follows antialiased.
                image.draft(None, (2 * image_size, 2 * image_size))
            upright = ImageOps.exif_transpose(image)
            plain = _convert(upright, "L" if channels == 1 else "RGB")
            if image_size:
                plain = ImageOps.fit(plain, (image_size, image_size), Image.Resampling.BICUBIC)
            pixels = np.asarray(plain)
    except (DataError, ColourFound):
        raise
    except Exception as error:
        raise unreadable(name, error) from error
    if shape is not None and pixels.shape[:2] != shape:
        raise DataError(
            f"{name} has {pixels.shape[1]}×{pixels.shape[0]} pixels, the first image "
            f"{shape[1]}×{shape[0]}.",
            "Give one size for all: --image-size 64 (image_size=64) resizes and crops.",
        )
    return pixels.reshape(*pixels.shape[:2], channels)


def pixels(image: Image.Image, where: str) -> UInt8[np.ndarray, "h w c"]:
    """An open image as `decode` gives those of files: grey as [h, w, 1], the rest as [h, w, 3].

    Raises `DataError` naming `where` for a damaged one.
    """
    channels = 1 if image.mode in _GREY else 3
    try:
        plain = _convert(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB")
    except Exception as error:
        raise unreadable(where, error) from error
    return np.asarray(plain).reshape(plain.height, plain.width, channels)


def picture(data: bytes, longest: int) -> Image.Image:
    """The whole image for people: what `decode` shows the network, RGB, sides up to `longest`.

    Raises what `decode` raises for damaged and too large images.
    """
    try:
        with _open(data) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{image.width}×{image.height} pixels are too many.")
            image.draft(None, (longest, longest))
            plain = _convert(ImageOps.exif_transpose(image), "RGB")
            plain.thumbnail((longest, longest), Image.Resampling.LANCZOS)
            return plain
    except DataError:
        raise
    except Exception as error:
        raise unreadable("The image", error) from error


def unreadable(name: str, error: Exception) -> DataError:
    """The error of an image that the decoder refuses, whatever it raised.

    Decoders raise errors of every type: Pillow's plug-ins SyntaxError, KeyError, OverflowError,
    struct.error, zlib.error and more, for what they did not expect in a file.
    """
    if isinstance(error, OSError) and error.errno is not None:  # the disk's, not the decoder's
        why = error.strerror or str(error)
        return DataError(f"{name}: cannot be read ({why}).", "Check the file, its rights and disk.")
    if isinstance(error, MemoryError):
        return DataError(f"{name}: decoding it takes too much memory.", "Make it smaller.")
    return DataError(f"{name}: not a readable image ({said(error)}).", "Replace it or remove it.")


def said(error: Exception) -> str:
    """What a decoder's error says; with its type where the text alone says little."""
    text = str(error)
    plain = isinstance(error, (OSError, ValueError, SyntaxError)) and text
    return text if plain else f"{type(error).__name__}: {text}".rstrip(": ")


def _open(data: bytes | Path | Array) -> Image.Image:
    if isinstance(data, np.ndarray):
        return Image.fromarray(data[..., 0] if data.shape[-1] == 1 else data)
    register_heic()
    return Image.open(BytesIO(data) if isinstance(data, bytes) else data)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit grey; "I" is how Pillow opens some of it. 257 = 65535 / 255.
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError("grey values outside 16 bits")
        image = Image.fromarray(np.rint(wide / 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)
