"""Encoded images of any kind to packed uint8 pixels."""

from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from labelgap.core.errors import DataError
from labelgap.data.heic import register_heic
from labelgap.data.scales import ALONE, Scales, Values, kind_of, sample, values_of
from labelgap.data.source import Array, Item

# A 48 kB file can decode to gigabytes; a larger photograph than this is no training image.
MAX_PIXELS = 50_000_000
_GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "F"})


class ColourFound(Exception):
    """Grey was tried and an image has colours: the set is packed with three channels instead."""


def decode(
    item: Item,
    channels: int,
    shape: tuple[int, int] | None,
    image_size: int | None,
    scales: Scales = ALONE,
) -> UInt8[np.ndarray, "h w c"]:
    """One image as uint8 [h, w, channels].

    EXIF orientation is applied, the first frame of an animation taken, other values than 8 bits
    scaled to 8 bits, transparency laid over white, everything else converted to RGB.

    channels: 1 or 3; a grey image is repeated where 3 are asked, an image that is stored with
        colours raises `ColourFound` where 1 is.
    shape: (h, w) that the image must have, `None` for any.
    image_size: resize so that the shorter side has so many pixels (bicubic, antialiased; the
        aspect is kept) and keep the square at the centre.
    scales: what the values of 12, 16 and 32 bits and of floats become; by default each image's
        own, which suits one image and no set of them.

    Raises `DataError`, naming the item, for damaged images, for NaN, for more than 50 Mpx and for
    a wrong shape; `WideFound` for values of a kind that the scales do not have.
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
            plain = _convert(image, "L" if channels == 1 else "RGB", name, scales)
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


def pixels(image: Image.Image, where: str, scales: Scales = ALONE) -> UInt8[np.ndarray, "h w c"]:
    """An open image as `decode` gives those of files: grey as [h, w, 1], the rest as [h, w, 3].

    Raises `DataError` naming `where` for a damaged one, and what `decode` raises for its values.
    """
    channels = 1 if image.mode in _GREY else 3
    try:
        plain = _convert(image, "L" if channels == 1 else "RGB", where, scales)
    except DataError:
        raise
    except Exception as error:
        raise unreadable(where, error) from error
    return np.asarray(plain).reshape(plain.height, plain.width, channels)


def picture(data: bytes, longest: int, scales: Scales = ALONE) -> Image.Image:
    """The whole image for people: what `decode` shows the network, RGB, sides up to `longest`.

    Raises what `decode` raises for damaged and too large images.
    """
    try:
        with _open(data) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{image.width}×{image.height} pixels are too many.")
            image.draft(None, (longest, longest))
            plain = _convert(image, "RGB", "the image", scales)
            plain.thumbnail((longest, longest), Image.Resampling.LANCZOS)
            return plain
    except DataError:
        raise
    except Exception as error:
        raise unreadable("The image", error) from error


def sampled(item: Item) -> tuple[str, Values] | None:
    """What `labelgap.data.scales.sample` gives of an item; None too for what is no image."""
    try:
        with _open(item[1]) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            return sample(image)
    except Exception:  # noqa: BLE001  (`decode` says why)
        return None


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


def _convert(image: Image.Image, mode: str, name: str, scales: Scales) -> Image.Image:
    """Upright, in 8 bits, on white, in a mode."""
    if (kind := kind_of(image)) is not None:
        values = values_of(image, kind)
        image = Image.fromarray(scales.bytes_of(image, kind, values, name))
    else:
        image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)
