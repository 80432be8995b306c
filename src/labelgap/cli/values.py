"""From flags, `--set` and a TOML file to one tree of settings."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labelgap.core.errors import ConfigError

Tree = dict[str, Any]


def tree_of(
    file: Path | None, flags: Mapping[str, Any], sets: Sequence[str]
) -> tuple[Tree, str, str]:
    """(settings, preset, where they came from); later wins: file, flags, `--set`.

    Raises
    ------
    ConfigError: a file that is missing or no TOML (with its line), a `--set` without "=".
    """
    from labelgap.core.config import set_path

    tree: Tree = read_toml(file) if file else {}
    for key, value in flags.items():
        if value is not None:
            set_path(tree, key, value)
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {text!r} has no value.", "Write `--set key=value`.")
        set_path(tree, key.strip(), parse_value(value.strip()))
    preset = tree.pop("preset", "smoke")
    return tree, str(preset), str(file) if file else "the command line"


def parse_value(text: str) -> Any:
    """A TOML value (number, true, "text", [1, 2]); anything else is text itself; none is None."""
    if text.lower() in ("none", "null"):
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def read_toml(file: Path) -> Tree:
    """A configuration file."""
    try:
        with open(file, "rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError as error:
        raise ConfigError(f"--config {file}: no such file.", "Check the path.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"--config {file}: {error}.", "Correct the file.") from error
