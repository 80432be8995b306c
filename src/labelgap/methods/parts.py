"""An acquisition that is a part of another one: made by its name, its needs taken over."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labelgap.axes.acquisition import Acquisition, check_query
from labelgap.axes.registry import lookup, options
from labelgap.core.errors import LabelgapError
from labelgap.core.types import Query

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


def part(name: str, values: Mapping[str, Any], preset: str, where: str) -> Acquisition:
    """The registered acquisition of that name, with options as if it stood alone.

    Parameters
    ----------
    preset: whose defaults its options start from; "" for the defaults of all presets.
    where: the key that names its options, for messages.

    Raises
    ------
    UnknownName: there is no such acquisition, or it has no such key.
    ConfigError: a value out of range.
    """
    cls = lookup("acquisition", name)
    made: Acquisition = cls(options(cls, values, preset, where))
    return made


def take_over(whole: Acquisition, parts: Sequence[Acquisition]) -> None:
    """Give the whole what its parts need and use: its pair is refused where theirs would be."""
    whole.needs = frozenset[str]().union(*(p.needs for p in parts))
    whole.uses = frozenset[str]().union(*(p.uses for p in parts)) - whole.needs
    networks = [p for p in parts if p.needs_network]
    whole.needs_network = bool(networks)
    whole.needs_head = bool(networks) and all(p.needs_head for p in networks)
    whole.deterministic = all(p.deterministic for p in parts)


def asked(member: Acquisition, view: "PoolView", n: int, whole: str) -> Query:
    """A member's own query, checked; whatever goes wrong in it is told with its name."""
    try:
        query = member.select(view, n)
        check_query(query, view, n, member.name)
    except Exception as error:
        raise LabelgapError(
            f"{member.name!r}, a part of `{whole}`, failed in round {view.round}: "
            f"{type(error).__name__}: {error}",
            "Take it out of `acquisition.members`, or set `acquisition.failing=leave-out`.",
        ) from error
    return query
