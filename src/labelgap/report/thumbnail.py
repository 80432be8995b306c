"""A small PNG of one training image."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

SIDE = 96
"""Pixels of the longer side at most: twice what the page shows, for dense screens."""


def thumbnail(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """A PNG of at most `SIDE` pixels a side; small images are kept pixel by pixel.

    One channel is grey, three are colour; of any other number the first three (or the first)
    are shown.
    """
    channels = 3 if pixels.shape[2] >= 3 else 1
    shown = pixels[..., :channels] if channels == 3 else pixels[..., 0]
    image = Image.fromarray(np.ascontiguousarray(shown))
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
