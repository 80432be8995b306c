"""`labelgap run`: one method on one data set with one seed."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from labelgap.cli import app
from labelgap.cli.values import FREEZE, IMAGE_SIZE, NETWORK, PRESETS, WEIGHTS, tree_of

if TYPE_CHECKING:
    from labelgap.core.config import RunConfig
    from labelgap.core.device import Machine
    from labelgap.data.types import Task


@app.command()
def run(
    dataset: str | None = typer.Option(
        None,
        help="digits, fashion-mnist, cifar10, cifar100, svhn, or a folder.",
    ),
    method: str | None = typer.Option(
        None, help="A method by name (`labelgap methods`), or a .py file. [default: daal]"
    ),
    objective: str | None = typer.Option(
        None, help="What is optimised, of a free pair. [default: cross-entropy]"
    ),
    acquisition: str | None = typer.Option(
        None, help="How items are chosen, of a free pair. [default: random]"
    ),
    preset: str | None = typer.Option(None, help=f"{PRESETS} [default: smoke]"),
    network: str | None = NETWORK,
    freeze: bool = FREEZE,
    weights: Path | None = WEIGHTS,
    initial: int | None = typer.Option(None, help="Initial labels."),
    budget: int | None = typer.Option(None, help="Labels a round."),
    rounds: int | None = typer.Option(None, help="Queries."),
    pool_subset: int | None = typer.Option(None, help="Candidates a round, drawn from the pool."),
    steps: int | None = typer.Option(None, help="Steps a round."),
    epochs: float | None = typer.Option(None, help="Epochs a round."),
    seed: int | None = typer.Option(None, help="Seed of every stream. [default: 0]"),
    imbalance: float | None = typer.Option(
        None, help="Alternate classes keep 1/R of their images."
    ),
    open_set: float | None = typer.Option(None, help="Share of the classes outside the task."),
    label_noise: float | None = typer.Option(None, help="Share of wrong answers of the oracle."),
    redundancy: int | None = typer.Option(None, help="Near-duplicates of each image in the pool."),
    image_size: int | None = IMAGE_SIZE,
    data_root: Path | None = typer.Option(
        None, help="Folder of the data set's files, or its parent."
    ),
    download: bool = typer.Option(
        False,
        "--download",
        help="Download the data set.",
    ),
    device: str = typer.Option("auto", help="auto | cpu | cuda | mps."),
    precision: str | None = typer.Option(None, help="auto | float32 | bfloat16."),
    compile_: str = typer.Option(
        "auto",
        "--compile",
        help="auto | on | off: compile the network. [auto: long CUDA trainings]",
    ),
    threads: int | None = typer.Option(None, min=1, help="CPU threads."),
    out: Path | None = typer.Option(
        None, help="Folder. [default: runs/<dataset>-<method>-s<seed>-<hash>]"
    ),
    extend: bool = typer.Option(
        False, "--extend", help="The folder's data grew: go on, new items behind the old ones."
    ),
    track: list[str] = typer.Option(
        [], "--track", help="tensorboard | mlflow | wandb (offline): told each round; repeatable."
    ),
    baseline: bool | None = typer.Option(
        None,
        "--baseline/--no-baseline",
        help="Random's curve with the same seed beside it. [default: where it takes minutes at "
        "most, and the preset is not paper]",
    ),
    config: Path | None = typer.Option(None, help="TOML file of settings."),
    set_: list[str] = typer.Option(
        [], "--set", help="key=value for any key of `labelgap config`; repeatable."
    ),
) -> None:
    """Run the whole loop: train, ask, label by the oracle, repeat; then draw what happened."""
    flags = {
        "data.name": dataset,
        "method": method,
        "objective_name": objective,
        "acquisition_name": acquisition,
        "preset": preset,
        "network.name": network,
        "network.freeze": freeze or None,
        "network.weights": str(weights) if weights else None,
        "loop.initial": initial,
        "loop.budget": budget,
        "loop.rounds": rounds,
        "loop.pool_subset": pool_subset,
        "training.steps": steps,
        "training.epochs": epochs,
        "seed": seed,
        "data.imbalance": imbalance,
        "data.open_set": open_set,
        "data.label_noise": label_noise,
        "data.redundancy": redundancy,
        "data.image_size": image_size,
        "precision": precision,
    }
    values, chosen, where = tree_of(config, flags, set_)
    if method is not None and method.endswith(".py"):
        from labelgap.loop import own

        values.update(own.settings(Path(method)))
    if method is None and (objective or acquisition):
        values.setdefault("objective_name", "cross-entropy")
        values.setdefault("acquisition_name", "random")

    from labelgap.data import one_name
    from labelgap.session.presets import resolve

    named = values.get("data")
    if isinstance(named, dict) and isinstance(named.get("name"), str):
        named["name"] = one_name(named["name"])
    settings = resolve(values, preset=chosen, where=where)
    _run(settings, device, compile_, threads, out, data_root, download, extend, baseline, track)


def _run(
    config: "RunConfig",
    device: str,
    compile_: str,
    threads: int | None,
    out: Path | None,
    data_root: Path | None,
    download: bool,
    extend: bool,
    baseline: bool | None,
    track: list[str],
) -> None:
    from labelgap.cli.screen import Screen
    from labelgap.core.device import machine as machine_of
    from labelgap.core.device import set_threads
    from labelgap.data import load
    from labelgap.frozen.freeze import load_task_for
    from labelgap.ledger.ledger import LEDGER
    from labelgap.loop import baseline as beside
    from labelgap.loop import run as runs
    from labelgap.loop.begin import begin
    from labelgap.loop.result import RESULT
    from labelgap.report.names import REPORT
    from labelgap.report.track import check_trackers, tracking

    if track:
        check_trackers(track)
    machine, used = machine_of(device, config.precision, compile_), set_threads(threads)
    folder = out or runs.default_folder(config)
    data = load(
        config.data.name, root=data_root, image_size=config.data.image_size, download=download
    )
    begun = begin(folder, config, data, machine, extend)
    config, data = begun.config, begun.data
    screen = Screen(config, machine, used, folder)
    task = load_task_for(config, data, machine, None)
    shown = runs.simulated(config, task)[0]
    if begun.finished:
        screen.warn(begun.notices)
    else:
        screen.begin(shown, begun.notices)
    if not (folder / LEDGER).exists():
        screen.cost(*_costs(config, task, machine))
    random = beside.config_of(config)
    planned = beside.plan(random, folder, task, machine, baseline)
    screen.say(planned.said)

    def listen(kind: str, facts: Mapping[str, Any]) -> None:
        if planned.drawn and random and kind == "round":  # a killed run goes on as it was planned
            beside.claim(random, folder, machine)
        screen.listen(kind, facts)
        tracked.listen(kind, facts)

    with tracking(track, folder, config) as tracked, screen.live():
        result = runs.run(
            config,
            task,
            folder,
            machine,
            progress=screen.progress,
            listen=listen,
            data=data,
        )
        tracked.finish(result)
    other = None
    if planned.drawn and random:
        other = _baseline(random, task, folder, machine, used, data, extend)
    if _outdated(folder / REPORT, folder / beside.FOLDER / RESULT if other else None):
        from labelgap.report.folder import write_report  # what draws takes seconds to load

        write_report(folder, shown, other)
    screen.finished(result, other)


def _baseline(
    config: "RunConfig",
    task: "Task",
    folder: Path,
    machine: "Machine",
    threads: int,
    data: "Task",
    extend: bool,
) -> dict[str, Any]:
    """Random's result, its rounds on the terminal as they are computed."""
    from labelgap.cli.screen import Screen
    from labelgap.loop import baseline as beside

    screen = Screen(config, machine, threads, folder / beside.FOLDER)
    if not beside.finished(folder):
        screen.say(f"{config.method} with the same seed, for comparison → {screen.folder}")
        screen.warn(beside.claim(config, folder, machine))
    with screen.live():
        return beside.draw(
            config,
            task,
            folder,
            machine,
            data=data,
            extend=extend,
            progress=screen.progress,
            listen=screen.listen,
        )


def _outdated(page: Path, other: Path | None) -> bool:
    """Whether the page is missing, or older than Random's result that belongs on it."""
    if not page.exists():
        return True
    return other is not None and page.stat().st_mtime_ns < other.stat().st_mtime_ns


def _costs(config: "RunConfig", task: "Task", machine: Any) -> tuple[str, str | None]:
    from labelgap.loop.estimate import estimate
    from labelgap.session.presets import resolve

    cost = estimate(config, task, machine)
    if cost.total < 3600 or config.preset == "cpu":
        return str(cost), None
    values: Mapping[str, Any] = {
        "objective_name": config.objective_name,
        "acquisition_name": config.acquisition_name,
        "data": config.data.model_dump(),
    }
    return str(cost), str(estimate(resolve(values, preset="cpu"), task, machine))
