"""HTML by construction: every text is escaped unless `tag` made it."""

import base64
from html import escape
from typing import TypeAlias

VOID = frozenset({"meta", "img", "source", "br", "hr", "col"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = "Markup | str | int | float | None"


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """An element; children that are not `Markup` are escaped, None is left out.

    Attributes: `class_` for class, `aria_label` for aria-label; True is written without a value,
    False and None not at all.
    """
    opening = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            opening.append(key)
        elif value is not None and value is not False:
            opening.append(f'{key}="{escape(str(value), quote=True)}"')
    if name in VOID:
        return Markup(f"<{' '.join(opening)}>")
    return Markup(f"<{' '.join(opening)}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Children one after the other, without an element around them."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else escape(str(child), quote=False)
            for child in children
            if child is not None
        )
    )


def data_uri(data: bytes, kind: str = "image/png") -> str:
    """Bytes as an address within the page itself."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
