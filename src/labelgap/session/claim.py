"""A folder that belongs to one configuration, and says so before anything is overwritten."""

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from labelgap._version import __version__
from labelgap.axes.registry import ACQUISITIONS, OBJECTIVES
from labelgap.core.config import RunConfig, build, refuse_moved_keys
from labelgap.core.device import Machine
from labelgap.core.disk import not_the_disk
from labelgap.core.errors import FolderError
from labelgap.core.files import write_text
from labelgap.data.types import Task

CONFIG = "config.json"
DATA = "data.npz"
"""What the folder's data are (`labelgap.data.identity`), where they are known."""
_NOT_COMPUTING = ("bench/", "check/", "cli/", "project/", "report/")


def prepare(folder: Path, config: RunConfig, machine: Machine) -> list[str]:
    """Make or recognise the run's folder; returns warnings. `own_data` recognises its data.

    Raises
    ------
    ConfigError: the folder was begun before a key of its configuration was called what it is now.
    FolderError: the folder holds another configuration (the difference is named), something
        else, or cannot be written.
    """
    facts = {"config": config.model_dump(mode="json"), "machine": machine_facts(machine)}
    file = folder / CONFIG
    if file.exists():
        saved = read_json(file)
        difference = differing(saved.get("config", {}), facts["config"])
        if begun(folder) and ((folder / DATA).exists() or "task" in saved):
            difference.pop("data.name", None)  # the content counts, which `own_data` looks at
        if difference and not begun(folder):
            write_text(file, json.dumps(facts, indent=1))
            return []
        if difference:
            refuse_moved(saved.get("config", {}), str(folder))
            key, (old, new) = next(iter(difference.items()))
            raise FolderError(
                f"{folder} belongs to another configuration: {key} is {old!r} there and {new!r} "
                f"here ({len(difference)} keys differ).",
                "Choose another `--out`, or repeat the folder's own command.",
            )
        then = saved.get("machine", {})
        return [
            f"This folder was begun with {key} {then[key]!r}, now it is {value!r}: the rest of "
            "the run will not be bit-identical."
            for key, value in facts["machine"].items()
            if key in then and then[key] != value
        ]
    if folder.exists() and begun(folder):
        raise FolderError(
            f"{folder} is not empty and is no run of labelgap.", "Choose another `--out`."
        )
    write_text(file, json.dumps(facts, indent=1))
    return []


def claim_task(folder: Path, task: Task) -> None:
    """Note in a run's prepared folder what its network sees, or recognise it: features of the
    data, a simulated pool, or the data as they are.

    A folder from before this note is given it.

    Raises
    ------
    FolderError: what was begun there is of others: its labels and results are not of these.
    """
    facts = read_json(folder / CONFIG)
    theirs = facts.get("task")
    if theirs == task.fingerprint:
        return
    if theirs is not None and begun(folder):
        raise other_data(folder, task)
    write_text(folder / CONFIG, json.dumps(facts | {"task": task.fingerprint}, indent=1))


def other_data(folder: Path, task: Task) -> FolderError:
    """The refusal of a folder whose ids are rows of other data than the task's."""
    return FolderError(
        f"{folder} was begun with other data than these of {task.name!r}: inputs, labels or class "
        "names differ.",
        "Choose another folder, or give the data that it was begun with.",
    )


def begun(folder: Path) -> bool:
    """Whether there is more than a configuration and what the data are: a start that was refused
    leaves just that.

    A process killed before it gave a file its name leaves it under a hidden one.
    """
    return any(
        entry.name not in (CONFIG, DATA) and not entry.name.startswith((f".{CONFIG}.", f".{DATA}."))
        for entry in folder.iterdir()
    )


def differing(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ between two configuration trees, by dotted path."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted(set(old) | set(new)):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found.update(differing(a, b, f"{prefix}{key}."))
        elif a != b:
            found[f"{prefix}{key}"] = (a, b)
    return found


def as_begun(folder: Path, config: RunConfig) -> RunConfig:
    """The configuration under the name that the folder's data have there, whatever the path by
    which they were given now."""
    name = read_json(folder / CONFIG)["config"]["data"]["name"]
    data = config.data.model_copy(update={"name": name})
    return config.model_copy(update={"data": data})


def refuse_moved(config: Mapping[str, Any], folder: str) -> None:
    """ConfigError for a folder's configuration in keys of before, with what they are now."""
    for axis, table in (("objective", OBJECTIVES), ("acquisition", ACQUISITIONS)):
        cls = table.get(config.get(f"{axis}_name", ""))
        if cls is not None:
            refuse_moved_keys(cls.Options, config.get(axis, {}), f"{axis} in {folder}")


def read_config(folder: Path) -> RunConfig:
    """The configuration of a run's folder."""
    file = folder / CONFIG
    if not file.exists():
        raise FolderError(f"{folder} is no run of labelgap: {CONFIG} is missing.")
    facts = read_json(file)
    if "config" not in facts:
        raise FolderError(f"{folder} is no run of labelgap: {CONFIG} holds no configuration.")
    config = build(RunConfig, facts["config"], str(file))
    refuse_moved(config.model_dump(), str(folder))
    return config


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file of a run's folder; FolderError if it is damaged."""
    try:
        content = json.loads(file.read_text())
        if not isinstance(content, dict):
            raise ValueError("it holds no table of keys")
    except (OSError, ValueError) as error:
        not_the_disk(error, file)
        raise FolderError(
            f"{file} cannot be read: {error}.", "Remove the folder and run again."
        ) from error
    return content


def machine_facts(machine: Machine) -> dict[str, Any]:
    """What must be equal for bit-identical results, besides the configuration."""
    return {
        "device": str(machine.device),
        "precision": machine.precision,
        # Named only where it is on: folders of before know no such key.
        **({"compile": machine.compile} if machine.compile != "off" else {}),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


@cache
def source() -> str:
    """Which state of labelgap's own code computes, as 12 hex digits: a version lasts for many.

    Of the modules that a result can depend on; a changed comment changes it too.
    """
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root).as_posix()
        if not name.startswith(_NOT_COMPUTING):
            digest.update(f"{name}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def versions() -> dict[str, str]:
    """Versions of what computes."""
    found = {"labelgap": __version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "scipy", "scikit-learn", "timm", "torchvision"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # an extra that is not installed has no version to record
    return found
