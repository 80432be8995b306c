"""The bytes of a table as text, in whatever way they were saved."""

import codecs
import re
from pathlib import Path

from labelgap.core.errors import DataError
from labelgap.project.images.found import MANIFEST_BYTES

# UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BINARY = re.compile(r"[\x01-\x08\x0e-\x1a\x7f]")


def read_bytes(file: Path) -> bytes:
    """Raises `DataError` for a file that cannot be read or is larger than 1 GiB."""
    try:
        if file.stat().st_size > MANIFEST_BYTES:
            raise DataError(f"{file}: larger than 1 GiB.", "Split it.")
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).", "Check the path.") from error


def read_text(file: Path) -> tuple[str, str]:
    """The text of a file, and a word about its encoding where that is a guess ("" else).

    By its byte order mark (UTF-8, 16, 32); without one UTF-8; and what is no UTF-8 as
    Windows-1252, which holds Latin-1's letters.

    Raises `DataError` for what is no text.
    """
    data = read_bytes(file)
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    guess = ""
    try:
        text = data.decode(marked or "utf-8")
    except UnicodeDecodeError as error:
        if marked is not None:
            raise _no_text(file, f"damaged {marked.upper()} ({error.reason})") from error
        text, guess = _western(file, data)
    if "\0" in text:
        raise _no_text(file, "it has zero bytes")
    return text, guess


def _western(file: Path, data: bytes) -> tuple[str, str]:
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise _no_text(file, "neither UTF-8 nor Windows-1252") from error
    # A file's name may have them in UTF-8; where the encoding is a guess they speak against it.
    if found := _BINARY.search(text):
        raise _no_text(file, f"no UTF-8, and it has the control character {found[0]!r}")
    odd = next((word for word in re.split(r"[\s,;|]+", text) if not word.isascii()), "")
    return text, f"{file.name} is not UTF-8: read as Windows-1252, e.g. {odd!r}"


def _no_text(file: Path, why: str) -> DataError:
    return DataError(f"{file}: no text: {why}.", "Save it as CSV in UTF-8.")
