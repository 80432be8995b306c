"""Tuning without test data: random search, judged on training images kept outside the pool.

Every method gets the same number of trials, the first of them its defaults. What is found on
digits and Fashion-MNIST is then frozen for all data.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelgap.axes.registry import lookup, tables_of
from labelgap.bench.evidence import audit
from labelgap.bench.evidence.results import Result
from labelgap.bench.grid.arms import method_values
from labelgap.bench.grid.grid import Cell
from labelgap.bench.grid.store import Store
from labelgap.bench.report.tables import Table
from labelgap.core.config import Settings, TrainingSettings
from labelgap.core.errors import ConfigError, FolderError, UnknownName
from labelgap.core.files import write_text
from labelgap.core.streams import Streams
from labelgap.session.claim import differing, read_json
from labelgap.session.presets import Tree, merge, resolve

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
    objective = lookup("objective", entry.objective)
    acquisition = lookup("acquisition", entry.acquisition)
    axes: list[tuple[str, type[Settings]]] = [
        ("objective", objective.Options),
        ("acquisition", acquisition.Options),
        *tables_of(objective, acquisition).items(),
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
    earlier: "Earlier | None" = None,
) -> Iterator[Cell]:
    """The cells of all trials, judged on the development split.

    Parameters
    ----------
    earlier: a tuning of another data set, whose best trials alone are judged again.

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
    for named in map(method_values, methods):
        for trial in trials(named["method"], number):
            if earlier is not None and trial.number not in earlier.kept(named["method"]):
                continue
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                values = merge(merge(dict(settings), trial.values), {"data": {"name": data}})
                config = resolve({**values, **named, "seed": seed}, preset=preset)
                yield Cell(config, trial.arm, development=DATA_SETS[data])


@dataclass(frozen=True)
class Earlier:
    """A finished tuning of a cheaper data set, whose best trials are judged again on another.

    gains: method → trial → mean area above that of the defaults.
    """

    trials: int
    keep: int
    gains: Mapping[str, Mapping[int, float]]

    @classmethod
    def read(cls, folder: Path, keep: int) -> "Earlier":
        """Raises FolderError if there is no finished tuning in the folder."""
        content = read_json(folder / TUNED)
        gains = {
            # NaN: a record of trials whose defaults had failed.
            method: {int(k): gain for k, gain in found.items() if math.isfinite(gain)}
            for method, found in content["gains"].items()
        }
        return cls(content["trials"], keep, gains)

    def kept(self, method: str) -> list[int]:
        """The defaults and the `keep` best other trials.

        Raises UnknownName for a method that was not tuned there, FolderError where its defaults
        were not judged.
        """
        if method not in self.gains:
            raise UnknownName("method", method, self.gains, "the earlier tuning")
        found = self.gains[method]
        self.gain(method, 0)
        others = sorted((k for k in found if k), key=lambda k: (-found[k], k))
        return [0, *others[: self.keep]]

    def gain(self, method: str, trial: int) -> float:
        """Raises FolderError naming a trial that was not judged there."""
        found = self.gains.get(method, {})
        if trial not in found:
            raise FolderError(
                f"Trial {trial} of {method} has no gain in the earlier tuning, so its gains "
                "cannot be added up.",
                "Finish the earlier tuning, or tune its best trials into a new `--out`.",
            )
        return found[trial]


def check_equal(store: Store, cells: Sequence[Cell], number: int) -> None:
    """Refuse a folder whose trials would not be judged alike: tuned on another data set or with
    other settings, or with another number of trials.

    Raises ConfigError naming what differs.
    """
    known: dict[str, Tree] = {}
    for cell in [*store.cells, *cells]:
        config = cell.config.model_dump(mode="json", exclude={"seed"})
        everyone = {"data": config["data"], "preset": config["preset"]}
        first = known.setdefault(cell.arm, {**config, **known.setdefault("", everyone)})
        difference = next(iter(differing(first, config).items()), None)
        if difference:
            key, (before, now) = difference
            raise ConfigError(
                f"{cell.arm} in {store.root} has {key} = {before}, and now {now}: their gains "
                "cannot stand in one table.",
                "Give the same settings and data set, or another `--out`.",
            )
    record = store.root / TUNED
    if record.exists():
        before = json.loads(record.read_text())["trials"]
        if before != number:
            raise ConfigError(
                f"{store.root} was tuned with {before} trials a method, {number} are asked for: "
                "more trials find higher maxima by luck.",
                "Give the same number, or another `--out`.",
            )


def write_tuned(
    store: Store, results: Sequence[Result], number: int, earlier: Earlier | None = None
) -> Table:
    """Record every trial beside the values it led to; returns the table of trials.

    A trial's gain is its area under the accuracy curve on the development split above that of the
    defaults, paired by seed; between equal gains the earlier trial wins, the defaults first. With
    an earlier tuning the gains on both data sets are added up.

    Raises
    ------
    FolderError: a trial that cannot be judged, since no seed of the defaults is finished beside
        it, or since the earlier tuning lacks it; nothing is written then.
    AuditError: trials of several versions or machines.
    """
    mixed = audit.one_machine(results)
    if mixed:
        raise audit.AuditError(mixed)
    areas: dict[str, dict[int, dict[int, float]]] = {}
    for r in results:
        method, _, trial = r.cell.arm.rpartition(" #")
        runs = areas.setdefault(method, {}).setdefault(int(trial), {})
        runs[r.cell.config.seed] = r.aubc
    lines: list[list[Any]] = []
    best: dict[str, Any] = {}
    gains: dict[str, dict[int, float]] = {}
    for method, found in sorted(areas.items()):
        values = {t.number: t.values for t in trials(method, number)}
        for k, runs in sorted(found.items()):
            gain = _gain(store, Trial(method, k, values[k]), runs, found.get(0, {}))
            gains.setdefault(method, {})[k] = gain
            before = earlier.gain(method, k) if earlier else 0.0
            total, area = gain + before, list(runs.values())
            sd = float(np.std(area, ddof=1)) if len(area) > 1 else math.nan
            score = float(np.mean(area))
            lines.append([method, k, score, sd, gain, total, len(area), json.dumps(values[k])])
            if method not in best or total > best[method]["gain"]:
                best[method] = {"trial": k, "score": score, "gain": total, "values": values[k]}
    content = {
        "trials": number,
        "kept": earlier.keep if earlier else None,
        "development": {r.cell.config.data.name: r.cell.development for r in results},
        "commands": store.commands,
        "search": {method: {k: list(v) for k, v in space(method).items()} for method in best},
        "gains": gains,
        "best": best,
    }
    write_text(store.root / TUNED, json.dumps(content, indent=1))
    headers = ("method", "trial", "score", "sd", "gain", "all gains", "seeds", "values")
    table = Table("trials", headers, lines)
    write_text(store.root / "trials.csv", table.csv())
    write_text(store.root / "effects.csv", effects(gains, number).csv())
    return table


def _gain(
    store: Store, trial: Trial, runs: Mapping[int, float], defaults: Mapping[int, float]
) -> float:
    """The mean area above that of the defaults, over the seeds that both have."""
    both = sorted(set(runs) & set(defaults))
    if not both:
        raise FolderError(
            f"{store.root}: {trial.arm} cannot be judged: the defaults ({trial.method} #0) are "
            f"finished with {'none of its seeds' if defaults else 'no seed'}.",
            f"Put right what is said in {store.root / 'failed'}, then repeat the command: it runs "
            "what is missing.",
        )
    return float(np.mean([runs[s] - defaults[s] for s in both]))


def effects(gains: Mapping[str, Mapping[int, float]], number: int) -> Table:
    """What each key seems to do, over random trials: mean gain of each choice, or of the lower and
    the upper half of a range, with its standard error. A screening, no test: the other keys vary
    too.
    """
    lines: list[list[Any]] = []
    for method, found in sorted(gains.items()):
        drawn = [t for t in trials(method, number) if t.number and t.number in found]
        for key in space(method):
            axis, name = key.split(".")
            pairs = [(t.values[axis][name], found[t.number]) for t in drawn]
            for level, members in _levels(pairs).items():
                spread = np.std(members, ddof=1) if len(members) > 1 else math.nan
                error = float(spread / math.sqrt(len(members)))
                lines.append([method, key, level, len(members), float(np.mean(members)), error])
    return Table("effects", ("method", "key", "value", "trials", "gain", "error"), lines)


def _levels(pairs: Sequence[tuple[Any, float]]) -> dict[str, list[float]]:
    values = [value for value, _ in pairs]
    continuous = values and isinstance(values[0], float) and len(set(values)) > 2
    middle = float(np.median(values)) if continuous else 0.0
    found: dict[str, list[float]] = {}
    for value, gain in sorted(pairs, key=lambda pair: str(pair[0])):
        level = f"{'<' if value < middle else '≥'} {middle:.3g}" if continuous else str(value)
        found.setdefault(level, []).append(gain)
    return found
