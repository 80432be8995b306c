"""What commands say to scripts (`--json`), and what this machine is."""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from labelgap.core.terminal import console
from labelgap.core.wording import plain

if TYPE_CHECKING:
    from labelgap.methods import Method
    from labelgap.project.keep.store import Project
    from labelgap.project.quality.quality import Share

JSON = typer.Option(False, "--json", help="As JSON, for scripts.")


def print_json(value: Any) -> None:
    """One JSON value on standard output, its keys in the order in which they are told.

    NaN and infinity, which JSON does not have, become null.
    """
    typer.echo(json.dumps(_known(value), indent=1, ensure_ascii=True, allow_nan=False))


def _known(value: Any) -> Any:
    """The value of what JSON has: objects, lists, text, finite numbers, null."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _known(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_known(inner) for inner in value]
    if hasattr(value, "tolist"):  # a number or an array of numpy
        return _known(value.tolist())
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if isinstance(value, int | str | None) else str(value)


def _share(found: "Share") -> dict[str, Any]:
    low, high = found.interval
    return {**asdict(found), "value": found.value, "low": low, "high": high}


def status_facts(project: "Project") -> dict[str, Any]:
    """All that `labelgap status` says, as data."""
    from labelgap.project.quality.status import status

    found = status(project)
    return {
        "project": str(project.root),
        "classes": list(project.classes),
        **asdict(found),
        "accuracy": _share(found.accuracy),
        "recall": [_share(share) for share in found.recall],
        "curve": [{**asdict(p), "accuracy": _share(p.accuracy)} for p in found.curve],
    }


def needs_of(method: "Method") -> list[str]:
    """What must be there: outputs, the network beside its outputs, images rather than vectors."""
    from labelgap.methods import ACQUISITIONS, OBJECTIVES

    cls = ACQUISITIONS[method.acquisition]
    acquisition = cls(cls.Options())  # one that is made of others needs what its parts need
    found = sorted(acquisition.needs)
    if acquisition.needs_network:
        found.append("the network itself")
    if OBJECTIVES[method.objective].needs_images:
        found.append("images")
    return found


def method_facts() -> dict[str, Any]:
    """All that `labelgap methods` says, as data."""
    from labelgap.methods import ACQUISITIONS, METHODS, OBJECTIVES

    def first_line(cls: type) -> str:
        return (cls.__doc__ or "").splitlines()[0]

    return {
        "methods": [
            {
                "name": m.name,
                "title": m.title,
                "objective": m.objective,
                "acquisition": m.acquisition,
                "needs": needs_of(m),
                "uses_unlabelled": OBJECTIVES[m.objective].uses_unlabelled,
                "training_cost": m.training_cost,
                "query_cost": m.query_cost,
                "citation": m.citation,
            }
            for m in sorted(METHODS.values(), key=lambda m: m.name)
        ],
        "objectives": {name: first_line(OBJECTIVES[name]) for name in sorted(OBJECTIVES)},
        "acquisitions": {
            name: first_line(cls)
            for name, cls in sorted(ACQUISITIONS.items())
            if not cls.upper_line
        },
    }


def tell_system(folder: Path, as_json: bool) -> None:
    """Versions, devices, threads, BLAS and disk."""
    from labelgap.core.system import system

    facts = system(folder)
    if as_json:
        print_json(facts)
        return
    screen = console()
    versions = {name: v for name, v in facts["versions"].items() if v is not None}
    absent = [name for name, v in facts["versions"].items() if v is None]
    for name, found in versions.items():
        screen.print(f"{name:<16}{plain(found)}")
    if absent:
        screen.print(f"{'not installed':<16}{', '.join(absent)}")
    about, chosen, disk = facts["machine"], facts["chosen"], facts["disk"]
    screen.print(f"{'system':<16}{plain(about['system'])}, {about['cores']} cores")
    for device in facts["devices"]:
        screen.print(f"{'device':<16}{device['name']}: {plain(device['description'])}")
    screen.print(f"{'chosen':<16}{chosen['device']}, {chosen['precision']}")
    screen.print(f"{'threads':<16}{', '.join(f'{k} {v}' for k, v in facts['threads'].items())}")
    for pool in facts["blas"]:
        told = " ".join(str(v) for k, v in pool.items() if k != "num_threads")
        screen.print(f"{'thread pool':<16}{plain(told)}, {pool['num_threads']} threads")
    screen.print(
        f"{'disk':<16}{disk['free'] / 2**30:.1f} GiB free of {disk['total'] / 2**30:.1f} GiB at "
        f"{plain(disk['folder'])}"
    )
