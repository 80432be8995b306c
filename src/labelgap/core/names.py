"""Names that people misspell, checked before torch is imported, which takes seconds."""

import ast
import re
from functools import cache
from pathlib import Path

from labelgap.core.errors import DeviceError, UnknownName

NETWORKS = ("resnet", "mlp", "timm:NAME", "embedding")
TIMM = "timm:"
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?|mps")


@cache
def pairs() -> dict[str, tuple[str, str]]:
    """Built-in method -> (objective, acquisition), read from the files that register them."""
    found = {}
    for file in sorted((Path(__file__).parents[1] / "methods").rglob("*.py")):
        for line in ast.parse(file.read_text(encoding="utf-8")).body:
            match line:
                case ast.Expr(
                    ast.Call(
                        ast.Name("method"),
                        [
                            ast.Constant(str(name)),
                            ast.Constant(str(objective)),
                            ast.Constant(str(acquisition)),
                            *_,
                        ],
                    )
                ):
                    found[name] = (objective, acquisition)
    return found


def method_names() -> tuple[str, ...]:
    """The built-in methods, in the order of their files."""
    return tuple(pairs())


def check_method(name: str) -> None:
    """Raises `UnknownName` for another than a built-in method."""
    if name not in method_names():
        raise UnknownName("method", name, method_names())


def check_network(name: str) -> None:
    """Raises `UnknownName` for what is neither a network's name nor one of timm's, which only
    timm can tell."""
    if name not in ("auto", *NETWORKS) and not name.startswith(TIMM):
        raise unknown_network(name)


def unknown_network(name: str) -> UnknownName:
    return UnknownName("network", name, NETWORKS, "network.name")


def check_device(name: str) -> None:
    """Raises `DeviceError` for what names no device; whether it is there only torch can tell."""
    if not _DEVICE.fullmatch(name):
        raise DeviceError(
            f"--device {name!r} is not a device.", "Valid: auto, cpu, cuda, cuda:N, mps."
        )
