"""Tuning without test data: random search, judged on training images kept outside the pool.

Every method gets the same number of trials, the first of them its defaults. What is found on
digits and Fashion-MNIST is then frozen for all data.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelgap.axes import lookup
from labelgap.bench.collect import Result
from labelgap.bench.grid import Cell
from labelgap.bench.store import Store
from labelgap.bench.tables import Table
from labelgap.config import Settings, TrainingSettings
from labelgap.errors import ConfigError
from labelgap.files import write_text
from labelgap.presets import Tree, merge, resolve
from labelgap.streams import Streams

DATA_SETS = {"digits": 300, "fashion-mnist": 2000}
"""Where tuning is allowed, and how many training images the development split takes."""
FIRST_SEED = 1000
"""Tuning's seeds begin here: those of a benchmark never do."""
TUNED = "tuned.json"


@dataclass(frozen=True)
class Trial:
    """One draw of a method's settings; number 0 is the defaults."""

    method: str
    number: int
    values: Tree

    @property
    def arm(self) -> str:
        return f"{self.method} #{self.number}"


def space(method: str) -> dict[str, tuple[Any, ...]]:
    """The ranges that a method's options declare, by dotted key.

    Plain training has no options: for `random` the learning rate and weight decay of training are
    searched, and what is found there holds for every method.
    """
    entry = lookup("method", method)
    found: dict[str, tuple[Any, ...]] = {}
    axes: list[tuple[str, type[Settings]]] = [
        ("objective", lookup("objective", entry.objective).Options),
        ("acquisition", lookup("acquisition", entry.acquisition).Options),
    ]
    if method == "random":
        axes.append(("training", TrainingSettings))
    for axis, model in axes:
        for name, info in model.model_fields.items():
            extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
            search = extra.get("search")
            if isinstance(search, list | tuple):
                found[f"{axis}.{name}"] = tuple(search)
    return found


def draw(search: tuple[Any, ...], rng: np.random.Generator) -> Any:
    """One value: (low, high, "log"), (low, high, "linear"), or one of several choices."""
    if len(search) == 3 and search[2] in ("log", "linear"):
        low, high, law = search
        if law == "log":
            value = math.exp(rng.uniform(math.log(low), math.log(high)))
        else:
            value = rng.uniform(low, high)
        # Three digits: nobody should read more into a tuned value.
        return float(f"{value:.3g}")
    return search[int(rng.integers(len(search)))]


def trials(method: str, number: int) -> Iterator[Trial]:
    """The defaults, then random draws; the draws of a method do not depend on how many there are.

    A method without ranges has its defaults alone.
    """
    ranges = space(method)
    yield Trial(method, 0, {})
    for k in range(1, number if ranges else 1):
        rng = Streams(FIRST_SEED).numpy(f"tune/{method}", k)
        values: Tree = {}
        for key, search in ranges.items():
            axis, name = key.split(".")
            values = merge(values, {axis: {name: draw(search, rng)}})
        yield Trial(method, k, values)


def cells(
    methods: Sequence[str],
    data: str,
    number: int,
    seeds: int,
    settings: Mapping[str, Any],
    preset: str,
) -> Iterator[Cell]:
    """The cells of all trials, judged on the development split.

    Raises
    ------
    ConfigError: a data set that tuning may not see; fewer than one trial.
    """
    if data not in DATA_SETS:
        raise ConfigError(
            f"Nothing is tuned on {data!r}: what is chosen there could not be tested there.",
            f"Tune on {' or '.join(DATA_SETS)}; the values are then used on all data.",
        )
    if number < 1 or seeds < 1:
        raise ConfigError(f"{number} trials with {seeds} seeds are none.", "Give at least 1.")
    for method in methods:
        for trial in trials(method, number):
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                values = merge(merge(dict(settings), trial.values), {"data": {"name": data}})
                config = resolve({**values, "method": method, "seed": seed}, preset=preset)
                yield Cell(config, trial.arm, development=DATA_SETS[data])


def check_equal(store: Store, number: int) -> None:
    """Refuse a folder whose methods had another number of trials.

    Raises ConfigError naming both numbers.
    """
    record = store.root / TUNED
    if record.exists():
        before = json.loads(record.read_text())["trials"]
        if before != number:
            raise ConfigError(
                f"{store.root} was tuned with {before} trials a method, {number} are asked for: "
                "more trials find higher maxima by luck.",
                "Give the same number, or another `--out`.",
            )


def write_tuned(store: Store, results: Sequence[Result], number: int) -> Table:
    """Record every trial beside the values it led to; returns the table of trials.

    A method's score is the mean over seeds of the area under its accuracy curve on the
    development split; between equal scores the earlier trial wins, the defaults first.
    """
    scores: dict[tuple[str, int], list[Result]] = {}
    for r in results:
        method, _, trial = r.cell.arm.rpartition(" #")
        scores.setdefault((method, int(trial)), []).append(r)
    lines: list[list[Any]] = []
    best: dict[str, Any] = {}
    for (method, k), runs in sorted(scores.items()):
        values = next(t.values for t in trials(method, number) if t.number == k)
        areas = [r.aubc for r in runs]
        sd = float(np.std(areas, ddof=1)) if len(areas) > 1 else float("nan")
        score = float(np.mean(areas))
        lines.append([method, k, score, sd, len(areas), json.dumps(values)])
        if method not in best or score > best[method]["score"]:
            best[method] = {"trial": k, "score": score, "sd": sd, "values": values}
    content = {
        "trials": number,
        "development": {r.cell.config.data.name: r.cell.development for r in results},
        "commands": store.commands,
        "search": {method: {k: list(v) for k, v in space(method).items()} for method in best},
        "best": best,
    }
    write_text(store.root / TUNED, json.dumps(content, indent=1))
    table = Table("trials", ("method", "trial", "score", "sd", "seeds", "values"), lines)
    write_text(store.root / "trials.csv", table.csv())
    return table
