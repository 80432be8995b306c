"""HEIC files for tests: the package reads them, and what writes them is here alone."""

from io import BytesIO
from typing import Any

from PIL import Image
from pillow_heif import from_pillow


def heic_bytes(image: Image.Image, *more: Image.Image, **options: Any) -> bytes:
    """A file of one or more images. options: quality (−1 is lossless), chroma, exif."""
    file, sink = from_pillow(image), BytesIO()
    for other in more:
        file.add_from_pillow(other)
    file.save(sink, **options)
    return sink.getvalue()
