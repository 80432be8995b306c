"""The self-contained page that reports share: shell, tables, pictures, tiles, small bars.

Nothing outside the file is referenced, and a content security policy in the page says so: it can
be mailed, archived, and opened without a network.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from matplotlib.figure import Figure

from labelgap.report import style
from labelgap.report.markup import Child, Markup, data_uri, join, tag
from labelgap.report.style import DARK, LIGHT, Theme

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_PHONE = "36rem"
_KINDS = {"png": "image/png", "svg": "image/svg+xml"}


def document(title: str, *body: Child, footer: Child = None) -> str:
    """A whole page of HTML, in the reader's colour scheme."""
    css = f"{_variables(LIGHT)}\n@media screen and (prefers-color-scheme:dark)" + (
        f"{{{_variables(DARK)}}}\n" + files(__package__).joinpath("page.css").read_text("utf-8")
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(css)),
    )
    main = tag("main", *body)
    foot = tag("footer", footer) if footer is not None else None
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', main, foot), lang='en')}\n"


def _variables(theme: Theme) -> str:
    named = ("page", "card", "ink", "muted", "rule", "accent", "alarm")
    pairs = [f"--{name}:{getattr(theme, name)}" for name in named]
    return f":root{{{';'.join([*pairs, f'--bar:{theme.series[0]}', f'--bar2:{theme.series[2]}'])}}}"


def section(title: str, *body: Child, lead: Child = None, class_: str | None = None) -> Markup:
    """A titled part of the page, on a card."""
    intro = tag("p", lead, class_="lead") if lead is not None else None
    return tag("section", tag("h2", title), intro, *body, class_=class_)


def picture(
    draw: Callable[[Theme], Figure],
    alt: str,
    caption: Child = None,
    *,
    form: str = "svg",
    narrow: Callable[[Theme], Figure] | None = None,
) -> Markup:
    """A figure in both themes, light in print; the reader's colour scheme chooses.

    narrow: the same in fewer inches, hence with larger type, for phones.
    """

    def source(draw: Callable[[Theme], Figure], theme: Theme) -> str:
        return data_uri(style.image(draw, theme, form), _KINDS[form])

    is_dark = "(prefers-color-scheme: dark)"
    sources = [tag("source", srcset=source(draw, DARK), media=f"screen and {is_dark}")]
    if narrow is not None:
        phone = f"screen and (max-width: {_PHONE})"
        sources = [
            tag("source", srcset=source(narrow, DARK), media=f"{phone} and {is_dark}"),
            tag("source", srcset=source(narrow, LIGHT), media=phone),
            *sources,
        ]
    image = tag("picture", *sources, tag("img", src=source(draw, LIGHT), alt=alt))
    return tag("figure", image, tag("figcaption", caption) if caption is not None else None)


def picture_file(path: Path, alt: str, caption: Child = None) -> Markup:
    """A figure that is a file already, the same in every theme."""
    image = tag("img", src=data_uri(path.read_bytes(), _KINDS[path.suffix[1:]]), alt=alt)
    return tag("figure", image, tag("figcaption", caption) if caption is not None else None)


def table(
    caption: str,
    headers: Sequence[str],
    rows: Sequence[Sequence[Child]],
    *,
    totals: Sequence[Child] | None = None,
    text_columns: Sequence[int] = (),
) -> Markup:
    """A table whose first column heads its rows; it scrolls by itself on a narrow screen.

    text_columns: columns set left; the others are figures, set right.
    """

    def aligned(k: int) -> str | None:
        return None if k in text_columns else "number"

    def line(cells: Sequence[Child]) -> Markup:
        first = tag("th", cells[0], scope="row", class_=aligned(0))
        rest = [tag("td", cell, class_=aligned(k)) for k, cell in enumerate(cells[1:], start=1)]
        return tag("tr", first, *rest)

    heads = [tag("th", text, scope="col", class_=aligned(k)) for k, text in enumerate(headers)]
    whole = tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *map(line, rows)),
        tag("tfoot", line(totals)) if totals is not None else None,
    )
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def tiles(facts: Sequence[tuple[str, Child, Child]]) -> Markup:
    """Large figures: (name, value, note or None)."""
    return tag(
        "dl",
        *(
            tag(
                "div",
                tag("dt", name),
                tag("dd", value, tag("small", note) if note is not None else None),
            )
            for name, value, note in facts
        ),
        class_="tiles",
    )


def facts(pairs: Mapping[str, Child]) -> Markup:
    """A list of names and values, such as versions."""
    rows = (tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs.items())
    return tag("dl", *rows, class_="facts")


def bars(values: Sequence[float | int], most: float | int, alt: str) -> Markup:
    """A bar for each value, as high as its share of `most`: a chart the size of a word."""
    height, width = 22, max(2, min(8, 160 // max(1, len(values))))
    gap = 1 if width > 2 else 0
    drawn = []
    for k, value in enumerate(values):
        # A class that got nothing keeps a hairline, so that the gap is seen to be one.
        size = max(1.0, height * value / most) if most > 0 else 1.0
        drawn.append(
            tag(
                "rect",
                x=k * (width + gap),
                y=f"{height - size:.1f}",
                width=width,
                height=f"{size:.1f}",
                class_=None if value else "none",
            )
        )
    total = len(values) * (width + gap)
    return tag(
        "svg", *drawn, viewBox=f"0 0 {total} {height}", width=total, height=height, class_="bars",
        role="img", aria_label=alt,
    )  # fmt: skip


def meter(share: float | int, text: str, second: bool = False) -> Markup:
    """A horizontal bar of 0..1 with its value written beside it."""
    fill = tag("i", style=f"width:{100 * min(1.0, max(0.0, share)):.1f}%")
    return join(
        tag("span", fill, class_="meter second" if second else "meter", aria_hidden="true"),
        tag("span", text, class_="value"),
    )


def fold(title: str, *body: Child) -> Markup:
    """Something for the few who ask, closed until they do."""
    return tag("details", tag("summary", title), *body)


def code(text: str) -> Markup:
    """Text to be copied as it is."""
    return tag("pre", tag("code", text), tabindex=0)
