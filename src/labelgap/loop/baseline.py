"""Random's curve beside a run's own: what the run's labels would have been worth drawn blindly.

The baseline is a run of its own in a folder inside the run's. It has the run's data, network,
training, loop and seed; its pair alone is another. So its initial set and its first weights are
those of the run, it can be killed and continued like any run, and it reads nothing of the run's.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelgap.axes.registry import lookup
from labelgap.core.config import TABLES, RunConfig, build
from labelgap.core.device import Machine
from labelgap.core.types import Progress
from labelgap.core.wording import duration
from labelgap.data.types import Task
from labelgap.loop import run as runs
from labelgap.loop.estimate import estimate
from labelgap.loop.result import RESULT
from labelgap.session.claim import CONFIG, prepare, read_json
from labelgap.session.presets import pair_options

FOLDER = "baseline"
METHOD = "random"
LONGEST = 180.0
"""Seconds that a comparison may take unasked: about what somebody waits for at a terminal."""
ASK = "`--baseline` draws it."


@dataclass(frozen=True)
class Plan:
    """Whether Random's curve is drawn, and one line for people: its cost, or why it is left out."""

    drawn: bool
    said: str | None = None


def config_of(config: RunConfig) -> RunConfig | None:
    """The run's configuration with Random in the place of its method; None where it is Random."""
    entry = lookup("method", METHOD)
    pair = (entry.objective, entry.acquisition)
    if pair == (config.objective_name, config.acquisition_name):
        return None
    classes = lookup("objective", pair[0]), lookup("acquisition", pair[1])
    tree = {k: v for k, v in config.model_dump(mode="json").items() if k not in TABLES}
    tree |= {"method": METHOD, "method_sha256": None}
    tree |= {"objective_name": pair[0], "acquisition_name": pair[1], "objective": {}}
    tree |= {"acquisition": {}}
    return build(RunConfig, tree | pair_options(*classes, tree, config.preset), FOLDER)


def plan(
    random: RunConfig | None, folder: Path, task: Task, machine: Machine, asked: bool | None
) -> Plan:
    """What to do about Random's curve; nothing is written.

    Parameters
    ----------
    random: the baseline's configuration (`config_of`).
    folder: the run's.
    task: as the network sees it.
    asked: yes, no, or None: then a comparison that was begun goes on, one of a finished run is
        not begun, and a new one is where it takes at most `LONGEST` seconds and the preset is
        not `paper`, whose runs take days each.
    """
    if asked is False:
        return Plan(False)
    if random is None:
        return Plan(False, "This run is Random's own: no curve to draw beside it." * bool(asked))
    if asked or (folder / FOLDER / CONFIG).exists():
        return Plan(True)
    if (folder / RESULT).exists():
        return Plan(False)
    if random.preset == "paper":
        return Plan(False, f"Random's curve beside it is left out under preset paper; {ASK}")
    seconds = estimate(random, task, machine).total
    if seconds > LONGEST:
        cost = duration(seconds)
        return Plan(
            False, f"Random's curve beside it would take about {cost} and is left out; {ASK}"
        )
    cost = f"Random's curve beside it: about {duration(seconds)} more"
    return Plan(True, f"{cost} (`--no-baseline` leaves it out)")


def claim(random: RunConfig, folder: Path, machine: Machine) -> list[str]:
    """Make or recognise the baseline's folder inside the run's; returns warnings.

    Done while the run itself goes on, it keeps a plan: a killed run goes on with its baseline.
    """
    return prepare(folder / FOLDER, random, machine)


def finished(folder: Path) -> bool:
    """Whether the baseline of the run in `folder` has its result."""
    return (folder / FOLDER / RESULT).exists()


def draw(
    random: RunConfig,
    task: Task,
    folder: Path,
    machine: Machine,
    *,
    data: Task,
    extend: bool,
    progress: Progress | None = None,
    listen: runs.Listener | None = None,
) -> dict[str, Any]:
    """Random's result: read where it is finished, else computed or continued.

    Parameters
    ----------
    random: the baseline's configuration (`config_of`).
    folder: the run's; the rest is as for `labelgap.loop.run.run`.
    """
    if finished(folder):
        return read_json(folder / FOLDER / RESULT)
    return runs.run(
        random,
        task,
        folder / FOLDER,
        machine,
        progress=progress,
        listen=listen,
        data=data,
        extend=extend,
    )
