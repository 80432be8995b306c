"""Names that people misspell, checked before torch is imported, which takes seconds."""

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from labelgap.core.errors import ConfigError, DeviceError, UnknownName
from labelgap.core.place import Place

NETWORKS = ("resnet", "mlp", "timm:NAME", "embedding")
TIMM = "timm:"
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?|mps")


@cache
def _registered() -> dict[str, dict[str, tuple[tuple[str, ...], Place]]]:
    """Kind → name → (names after it, place), read from the files that register them.

    Reading takes milliseconds; running them would import torch.
    """
    package = Path(__file__).parents[1]
    kinds = ("objective", "acquisition", "method")
    found: dict[str, dict[str, tuple[tuple[str, ...], Place]]] = {kind: {} for kind in kinds}
    for file in sorted((package / "methods").rglob("*.py")):
        module = ".".join((package.name, *file.relative_to(package).with_suffix("").parts))
        for line in ast.parse(file.read_text(encoding="utf-8")).body:
            calls, of = [], ""
            if isinstance(line, ast.ClassDef):
                calls, of = line.decorator_list, line.name
            elif isinstance(line, ast.Expr):
                calls = [line.value]
            for call in calls:
                match call:
                    case ast.Call(ast.Name(kind), [ast.Constant(str(name)), *rest]) if (
                        kind in found
                    ):
                        names = tuple(str(a.value) for a in rest if isinstance(a, ast.Constant))
                        found[kind][name] = names, Place(module, str(file), call.lineno, of)
    return found


def built_in_places(kind: str) -> Mapping[str, Place]:
    """Where each built-in objective, acquisition or method is registered, by name."""
    return {name: place for name, (_, place) in _registered()[kind].items()}


def pairs() -> dict[str, tuple[str, str]]:
    """Built-in method -> (objective, acquisition)."""
    found = _registered()["method"]
    return {name: (names[0], names[1]) for name, (names, _) in found.items()}


def check_method_pair(method: str, registered: tuple[str, str], found: tuple[str, str]) -> None:
    """Raises `ConfigError` for a method beside another pair than its own."""
    if found != registered:
        raise ConfigError(
            f"The method {method!r} is {registered[0]} × {registered[1]}, and this configuration "
            f"says {found[0]} × {found[1]}.",
            f"Let `labelgap.session.presets.resolve({{'method': {method!r}}})` make it, or set "
            "method=None for a free pair.",
        )


def method_names() -> tuple[str, ...]:
    """The built-in methods."""
    return tuple(_registered()["method"])


def check_method(name: str) -> None:
    """Raises `UnknownName` for another than a built-in method."""
    if name not in method_names():
        raise UnknownName("method", name, method_names())


def check_network(name: str, *others: str) -> None:
    """Raises `UnknownName` for what is neither a network's name nor one of timm's, which only
    timm can tell.

    others: further names that are valid here.
    """
    if name not in ("auto", *NETWORKS, *others) and not name.startswith(TIMM):
        raise unknown_network(name, *others)


def unknown_network(name: str, *others: str) -> UnknownName:
    return UnknownName("network", name, (*others, *NETWORKS), "network.name")


def check_device(name: str) -> None:
    """Raises `DeviceError` for what names no device; whether it is there only torch can tell."""
    if not _DEVICE.fullmatch(name):
        raise DeviceError(
            f"--device {name!r} is not a device.", "Valid: auto, cpu, cuda, cuda:N, mps."
        )
