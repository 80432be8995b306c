"""The command that repeats a run: its names, and every setting that its preset does not give."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from labelgap.core.errors import UnknownName
from labelgap.core.values import parse_value
from labelgap.session.presets import resolve

Tree = Mapping[str, Any]

# Settings that have a flag of their own; the others go through `--set`.
FLAGS = {
    "loop.initial": "--initial",
    "loop.budget": "--budget",
    "loop.rounds": "--rounds",
    "loop.pool_subset": "--pool-subset",
    "training.steps": "--steps",
    "training.epochs": "--epochs",
    "network.name": "--network",
    "network.weights": "--weights",
    "data.imbalance": "--imbalance",
    "data.open_set": "--open-set",
    "data.label_noise": "--label-noise",
    "data.redundancy": "--redundancy",
    "data.image_size": "--image-size",
    "precision": "--precision",
}
# Said by flags always, or by the names of the pair.
_NAMES = (
    "preset", "method", "method_sha256", "objective_name", "acquisition_name", "seed", "data.name",
)  # fmt: skip


def command(config: Tree, threads: int | None = None, own: str = "FILE.py") -> str:
    """The `labelgap run` line that resolves to exactly this configuration.

    threads: of the run, where they are known: sums in another order end in other last digits.
    Device and the data's place are the machine's own and are not in it.
    own: where the file of a user's method is.
    """
    words = ["labelgap", "run", "--dataset", config["data"]["name"]]
    if config["method_sha256"]:
        words += ["--method", own]
    elif config["method"]:
        words += ["--method", config["method"]]
    if not config["method"]:
        words += ["--objective", config["objective_name"]]
        words += ["--acquisition", config["acquisition_name"]]
    words += ["--preset", config["preset"], "--seed", str(config["seed"])]
    for key, value in overrides(config):
        if key in FLAGS and value is not None:
            words += [FLAGS[key], str(value)]
        else:
            words += ["--set", f"{key}={_text(value)}"]
    if threads is not None:
        words += ["--threads", str(threads)]
    return shlex.join(words)


def overrides(config: Tree) -> list[tuple[str, Any]]:
    """Leaves of the configuration that differ from what preset, data set and pair alone give."""
    names = {"data": {"name": config["data"]["name"]}}
    pair = {key: config[key] for key in ("objective_name", "acquisition_name")}
    given = {"method": config["method"]} if config["method"] else pair
    try:
        plain = resolve({**names, **given}, preset=config["preset"]).model_dump(mode="json")
    except UnknownName:
        plain = {}  # a method or preset that is not registered here: every key is spelt out
    known = dict(leaves(plain))
    missing = object()
    different = [
        (key, value)
        for key, value in leaves(config)
        if key not in _NAMES and known.get(key, missing) != value
    ]
    # Steps and epochs exclude each other: giving one takes the other back.
    chosen = {key for key, value in different if value is not None}
    return [
        (key, value)
        for key, value in different
        if value is not None or not chosen & _exclusive(key)
    ]


def leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and values of a tree of settings, in its order."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _exclusive(key: str) -> set[str]:
    other = {"training.steps": "training.epochs", "training.epochs": "training.steps"}
    return {other[key]} if key in other else set()


def _text(value: Any) -> str:
    """As `--set` reads it: TOML values; a string without quotes unless it would be misread."""
    if isinstance(value, str) and parse_value(value) == value:
        return value
    return json.dumps(value, separators=(",", ":"))
