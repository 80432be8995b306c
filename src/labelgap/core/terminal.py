"""Terminals: characters that every console has, and the one way to make a console of rich.

Windows' code pages and `LC_ALL=C` lack some of the characters that our texts are written with.
There they are replaced by plain ones, and what is in people's names and is not to be had is
escaped (`\\u65e5`): a sentence with an escape is better than a traceback.
"""

import codecs
import io
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN = str.maketrans(
    {
        "…": "...", "±": "+/-", "×": "x", "→": "->", "←": "<-", "↔": "<->", "−": "-", "–": "-",
        "—": "-", "‑": "-", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "·": "*", "•": "*",
        "✓": "+", "✗": "x", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "∞": "inf", "⅛": "1/8",
        "²": "^2", "³": "^3", "½": "1/2", "⁻": "^-", "¹": "1", "‖": "||",
        "\N{NO-BREAK SPACE}": " ", "§": "section ", "━": "-", "╸": "-",
        "╺": "-", "─": "-", "│": "|",
    }
)  # fmt: skip


def plain_characters(text: str) -> str:
    """The text with our typographic characters as ASCII; letters of names are left."""
    return text.translate(_PLAIN)


def is_plain(encoding: str | None) -> bool:
    """Whether a console of this encoding gets plain characters: all but Unicode's own."""
    try:
        return not codecs.lookup(encoding or "ascii").name.startswith("utf")
    except LookupError:
        return True


class _Plain(io.TextIOWrapper):
    """A stream that says everything in the characters of another encoding.

    Its own encoding is Latin-1 where the console's is ASCII: the command line's library takes an
    ASCII stream for a mistake, and writes UTF-8 past it.
    """

    def __init__(self, stream: io.TextIOWrapper, encoding: str) -> None:
        self._meant = encoding
        self._before = stream  # which would close the file when it is dropped
        own = "latin-1" if _is_ascii(encoding) else encoding
        super().__init__(
            stream.buffer,
            encoding=own,
            errors="backslashreplace",
            line_buffering=bool(getattr(stream, "line_buffering", True)),
            write_through=True,
        )

    def write(self, text: str, /) -> int:
        kept = plain_characters(text).encode(self._meant, "backslashreplace")
        super().write(kept.decode(self._meant))
        return len(text)


def _is_ascii(encoding: str) -> bool:
    try:
        "é".encode(encoding)
    except UnicodeEncodeError:
        return True
    return False


def use_plain_streams() -> None:
    """Let standard output and error never fail for a character; a second call changes nothing."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, _Plain):
            continue  # captured by a test or a notebook
        if is_plain(stream.encoding):
            stream.flush()
            setattr(sys, name, _Plain(stream, stream.encoding))
        else:
            # A file's name of bytes that are no UTF-8 is shown with an escape.
            stream.reconfigure(errors="backslashreplace")


def console(*, stderr: bool = False, **options: Any) -> "Console":
    """A console of rich as all commands use it.

    Highlighting and emoji are off (a file's :name: is none); in a pipe no line is broken unless
    `soft_wrap=False` is given. Where the console has no Unicode, texts are made plain before they
    are laid out, so that columns stay straight, and boxes and bars are ASCII.
    """
    from rich.console import Console
    from rich.text import Text

    class Plain(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(
                plain_characters(text) if is_plain(self.encoding) else text, **how
            )

    return Plain(
        stderr=stderr, **{"highlight": False, "emoji": False, "soft_wrap": True, **options}
    )
