"""From flags, `--set` and a TOML file to one tree of settings."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from labelgap.core.errors import ConfigError
from labelgap.core.values import parse_value

if TYPE_CHECKING:
    from labelgap.core.types import Progress
    from labelgap.project.asking.work import Work
    from labelgap.project.keep.store import Project


Tree = dict[str, Any]

PRESETS = (
    "smoke | cpu | linear-probe (one layer on frozen features) | paper: the paper's numbers, but "
    "for mixture.temperature and objective.reg_start of daal (`labelgap config --preset paper` "
    "says why)."
)
"""The presets of a run, for help."""


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


def read_toml(file: Path) -> Tree:
    """A configuration file."""
    try:
        with open(file, "rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError as error:
        raise ConfigError(f"--config {file}: no such file.", "Check the path.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"--config {file}: {error}.", "Correct the file.") from error


PROJECT = typer.Option(
    None, "--project", help="The project's folder. [default: this one or its nearest parent]"
)
NETWORK = typer.Option(None, help="resnet | mlp | timm:NAME | embedding.")
FREEZE = typer.Option(
    False, "--freeze", help="Train only an adapter on the frozen network's features."
)
WEIGHTS = typer.Option(
    None, help="File with the backbone's weights. [default: with --freeze those that came along]"
)
IMAGE_SIZE = typer.Option(
    None,
    help="Side that images are packed at; a frozen network resizes these to network.input_size.",
)
DEVICE = typer.Option("auto", help="auto | cpu | cuda | mps.")
THREADS = typer.Option(None, min=1, help="CPU threads.")
PROJECT_WEIGHTS = typer.Option(
    None, help="Other pretrained weights of a timm network: a file, or hub."
)
PROJECT_NETWORK = typer.Option(
    None,
    help="small (from scratch) | resnet | mlp | timm:NAME. [default: timm:tf_efficientnet_lite0, "
    "pretrained, comes with labelgap]",
)


def names_of(classes: str | None) -> list[str] | None:
    """Names that were separated by commas; None where none were given."""
    return None if classes is None else [name.strip() for name in classes.split(",")]


def weights_of(given: str | None) -> str | None:
    """--weights as a project keeps it: the whole path of a file that is there, or "hub".

    Raises `DataError` for a file that is missing.
    """
    from labelgap.networks.weights_file import HUB, existing

    if given is None or given == HUB:
        return given
    return str(existing(given).resolve())


def work_of(
    p: "Project",
    method: str | None,
    device: str,
    threads: int | None,
    progress: "Progress | None",
) -> "Work":
    from labelgap.core.names import check_device, check_method
    from labelgap.project.asking.ready import need_images

    check_device(device)
    if method is not None:
        check_method(method)
    need_images(p)
    from labelgap.core.device import set_threads
    from labelgap.project.asking.work import Work

    set_threads(threads)
    return Work(p, method=method, device=device, progress=progress)
