"""Names that every file system takes, and that no two of them confuse."""

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 100
"""Bytes. File systems take 255; paths as a whole are short on Windows."""
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|]')
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)", re.I)
"""What Windows takes for a device, with any suffix."""


def safe_name(text: str, longest: int = LONGEST) -> str:
    """One name of a file or folder like `text`: no separator, no leading or trailing dot or space,
    no device of Windows, at most `longest` bytes; "_" where nothing is left."""
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text))
    name = name.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore").strip(" .")
    if _DEVICES.match(name):
        name = f"_{name}"[:longest]
    return name or "_"


def safe_names(texts: Iterable[str]) -> dict[str, str]:
    """A name for each of some texts, no two alike where letters' case is nothing."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for text in texts:
        plain = safe_name(text, LONGEST - 8)
        chosen, number = plain, 2
        while _folded(chosen) in taken:
            chosen, number = f"{plain}-{number}", number + 1
        taken.add(_folded(chosen))
        names[text] = chosen
    return names


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
