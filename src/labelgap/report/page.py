"""What the self-contained pages share: the templates' environment, pictures, tables, small bars.

All HTML is in `templates/`, which escape every text; Python gives them plain values.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from labelgap.report import style
from labelgap.report.style import DARK, LIGHT, Theme

_PHONE = "36rem"
_KINDS = {"png": "image/png", "svg": "image/svg+xml"}
_BAR_HEIGHT = 22


def render(template: str, *, package: str = __package__, **facts: Any) -> str:
    """A whole page of HTML, in the reader's colour scheme.

    Parameters
    ----------
    template: a file of `templates/`.
    package: whose `templates/` are looked through before these.
    facts: what the template names; a name that is missing is an error.
    """
    loaders = [PackageLoader(name) for name in dict.fromkeys((package, __package__))]
    environment = Environment(
        autoescape=True,
        loader=ChoiceLoader(loaders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(css=_css(), **facts)


def _css() -> str:
    dark = f"@media screen and (prefers-color-scheme:dark){{{_variables(DARK)}}}"
    shared = files(__package__).joinpath("page.css").read_text("utf-8")
    return f"{_variables(LIGHT)}\n{dark}\n{shared}"


def _variables(theme: Theme) -> str:
    named = ("page", "card", "ink", "muted", "rule", "accent", "alarm")
    pairs = [f"--{name}:{getattr(theme, name)}" for name in named]
    return f":root{{{';'.join([*pairs, f'--bar:{theme.series[0]}', f'--bar2:{theme.series[2]}'])}}}"


@dataclass(frozen=True)
class Source:
    """A picture's address within the page, and the media that it is for."""

    address: str
    media: str


@dataclass(frozen=True)
class Picture:
    """A figure; sources: what takes the place of `address` under their media, the first that fits.

    caption: None leaves it out.
    """

    address: str
    alt: str
    caption: str | None
    sources: tuple[Source, ...] = ()


def picture(
    draw: Callable[[Theme], Figure],
    alt: str,
    caption: str | None = None,
    *,
    form: str = "svg",
    narrow: Callable[[Theme], Figure] | None = None,
) -> Picture:
    """A figure in both themes, light in print; the reader's colour scheme chooses.

    narrow: the same in fewer inches, hence with larger type, for phones.
    """

    def address(draw: Callable[[Theme], Figure], theme: Theme) -> str:
        return data_uri(style.image(draw, theme, form), _KINDS[form])

    is_dark = "(prefers-color-scheme: dark)"
    sources = [Source(address(draw, DARK), f"screen and {is_dark}")]
    if narrow is not None:
        phone = f"screen and (max-width: {_PHONE})"
        sources = [
            Source(address(narrow, DARK), f"{phone} and {is_dark}"),
            Source(address(narrow, LIGHT), phone),
            *sources,
        ]
    return Picture(address(draw, LIGHT), alt, caption, tuple(sources))


def picture_file(path: Path, alt: str, caption: str | None = None) -> Picture:
    """A figure that is a file already, the same in every theme."""
    return Picture(data_uri(path.read_bytes(), _KINDS[path.suffix[1:]]), alt, caption)


@dataclass(frozen=True)
class Meter:
    """A horizontal bar of a share of 0..1, with its value written beside it."""

    kind: ClassVar[str] = "meter"
    share: float | int
    text: str
    second: bool = False

    @property
    def percent(self) -> float:
        return 100 * min(1.0, max(0.0, self.share))


@dataclass(frozen=True)
class Bar:
    """One rectangle, standing on the ground."""

    x: int
    width: int
    height: float
    nothing: bool


@dataclass(frozen=True)
class Bars:
    """A bar for each value, as high as its share of `most`: a chart the size of a word."""

    kind: ClassVar[str] = "bars"
    values: Sequence[float | int]
    most: float | int
    alt: str
    height: int = _BAR_HEIGHT

    @cached_property
    def width(self) -> int:
        return len(self.values) * sum(self._step)

    @cached_property
    def rects(self) -> list[Bar]:
        width, gap = self._step
        return [
            Bar(k * (width + gap), width, self._size(value), not value)
            for k, value in enumerate(self.values)
        ]

    @property
    def _step(self) -> tuple[int, int]:
        """Width of a bar, and the gap after it."""
        width = max(2, min(8, 160 // max(1, len(self.values))))
        return width, 1 if width > 2 else 0

    def _size(self, value: float | int) -> float:
        # A class that got nothing keeps a hairline, so that the gap is seen to be one.
        return max(1.0, self.height * value / self.most) if self.most > 0 else 1.0


Cell = Meter | Bars | str | int | float


@dataclass(frozen=True)
class Table:
    """A table whose first column heads its rows.

    caption: for those who do not see it.
    text_columns: columns set left; the others are figures, set right.
    title: a heading above it, where the page has one.
    """

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    totals: Sequence[Cell] | None = None
    text_columns: Sequence[int] = ()
    title: str | None = None


def data_uri(data: bytes, kind: str = "image/png") -> str:
    """Bytes as an address within the page itself."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
