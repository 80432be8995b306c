"""One look for every figure: colours, lines and type that survive colour blindness and grey print.

Figures are `Figure` objects drawn inside `context(theme)`, which starts from matplotlib's own
defaults: neither a user's matplotlibrc nor pyplot's state shows in them.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import font_manager
from matplotlib import style as mpl_style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from labelgap.core.files import write_atomically


@dataclass(frozen=True)
class Theme:
    """Colours of page and figures. `series` are told apart with any colour vision."""

    name: str
    page: str
    card: str
    ink: str
    muted: str
    rule: str
    accent: str
    alarm: str
    series: tuple[str, ...]


# Okabe and Ito 2008, without yellow, which is invisible as a thin line on white.
LIGHT = Theme(
    name="light",
    page="#f6f7f9",
    card="#ffffff",
    ink="#1a1d21",
    muted="#58606b",
    rule="#dfe3e8",
    accent="#0067a3",
    alarm="#a63a00",
    series=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1a1d21"),
)
# The same hues; blue lightened and black turned over, for 3:1 against the dark card.
DARK = Theme(
    name="dark",
    page="#101215",
    card="#181b20",
    ink="#e9ebee",
    muted="#a7afba",
    rule="#30353c",
    accent="#6cbcf0",
    alarm="#ff9a5c",
    series=("#2e8fd0", "#e8702a", "#16b389", "#d98ab5", "#e69f00", "#7cc9f5", "#e9ebee"),
)
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v")
PIXELS_PER_INCH = 200

# DejaVu Sans comes with matplotlib, so figures look alike on every machine; the others are asked
# for scripts that it lacks, where they are installed.
_FALLBACK_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "PingFang SC", "Hiragino Sans", "Microsoft YaHei",
    "Yu Gothic", "Malgun Gothic", "WenQuanYi Zen Hei", "Noto Sans Devanagari", "Nirmala UI",
)  # fmt: skip


def colour(k: int, theme: Theme = LIGHT) -> str:
    """The colour of class or series k; with `marker` 35 pairs before one repeats."""
    return theme.series[k % len(theme.series)]


def marker(k: int) -> str:
    """The marker of class or series k."""
    return MARKERS[k % len(MARKERS)]


def line(k: int, theme: Theme = LIGHT) -> dict[str, Any]:
    """Keywords of `Axes.plot` for series k: colour, dashes and marker all differ."""
    return {
        "color": colour(k, theme),
        "linestyle": LINES[k % len(LINES)],
        "marker": marker(k),
        "markersize": 5.5,
        "markeredgecolor": theme.card,
        "markeredgewidth": 0.8,
        "linewidth": 2.0,
    }


@contextmanager
def context(theme: Theme = LIGHT) -> Iterator[None]:
    """Draw and save figures in this theme; matplotlib's settings are restored after."""
    installed = set(font_manager.get_font_names())
    settings = {
        "font.family": ["DejaVu Sans", *(f for f in _FALLBACK_FONTS if f in installed)],
        "font.size": 11,
        "text.color": theme.ink,
        "text.parse_math": False,  # a class may be called "$x$"
        "axes.labelcolor": theme.muted,
        "axes.edgecolor": theme.rule,
        "axes.facecolor": theme.card,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": theme.rule,
        "grid.linewidth": 0.8,
        "figure.facecolor": theme.card,
        "savefig.facecolor": theme.card,
        "xtick.color": theme.rule,
        "ytick.color": theme.rule,
        "xtick.labelcolor": theme.muted,
        "ytick.labelcolor": theme.muted,
        "ytick.major.size": 0,
        "legend.frameon": False,
        "legend.labelcolor": theme.ink,
        "svg.hashsalt": "labelgap",  # equal figures are equal files
    }
    with mpl_style.context(settings, after_reset=True), warnings.catch_warnings():
        # A glyph that no font has is drawn as a box, which says as much.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def figure(width: float | int, height: float | int) -> Figure:
    """An empty figure, in inches; 6.4 inches fill a page 600 pixels wide at readable type."""
    made = Figure(figsize=(width, height), layout="constrained")
    engine = made.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=0.1, h_pad=0.1)  # inches of air around each axes
    return made


def fitting(text: str, inches: float | int, points: float | int) -> float:
    """`points`, or the smaller type in which a bold `text` fits into `inches`."""
    # A bold letter of DejaVu Sans is about 0.68 of its size wide.
    return min(float(points), inches * 72 / (0.68 * max(1, len(text))))


def title(axes: Axes, text: str, subtitle: str = "") -> None:
    """A bold title on the left, and a quiet line under it."""
    figure = axes.figure.get_figure(root=True)
    size = fitting(text, 0.85 * figure.get_figwidth(), 12.5) if figure else 12.5
    axes.set_title(text, loc="left", fontweight="bold", fontsize=size, pad=24 if subtitle else 8)
    if subtitle:
        muted = axes.yaxis.label.get_color()
        # What is wider than the figure is cut off, and the layout takes its width from the axes.
        size = fitting(subtitle, 0.95 * figure.get_figwidth(), 10) if figure else 10
        axes.annotate(
            subtitle, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points",
            fontsize=size, color=muted,
        )  # fmt: skip


def image(draw: Callable[[Theme], Figure], theme: Theme = LIGHT, form: str = "png") -> bytes:
    """A figure as the bytes of a PNG or SVG file, without dates or program names."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
    with context(theme):
        # savefig draws ticks and text anew, so it belongs in the theme too.
        draw(theme).savefig(buffer, format=form, dpi=PIXELS_PER_INCH, metadata=metadata)
    return buffer.getvalue()


def save(draw: Callable[[Theme], Figure], path: Path, theme: Theme = LIGHT) -> None:
    """Write `path` (a .png) and the .svg of the same name beside it, each whole or not at all."""
    for form in ("png", "svg"):
        _write(path.with_suffix(f".{form}"), image(draw, theme, form))


def _write(path: Path, data: bytes) -> None:
    write_atomically(path, lambda file: file.write(data))


def percent(value: float | int, digits: int = 1) -> str:
    """0.9321 → "93.2 %" with a space that does not break."""
    return f"{100 * value:.{digits}f}\u00a0%"


def short(text: str, length: int = 16) -> str:
    """A name cut to `length` characters, for labels inside figures."""
    return text if len(text) <= length else text[: length - 1] + "…"
