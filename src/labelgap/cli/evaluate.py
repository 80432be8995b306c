"""`labelgap evaluate`: how accurate, how sure of it, and what more labels would give."""

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from labelgap.cli import app
from labelgap.cli.scripts import print_json
from labelgap.cli.telling import bar
from labelgap.cli.values import DEVICE, PROJECT, THREADS, work_of
from labelgap.core.errors import ConfigError
from labelgap.core.terminal import console as _console
from labelgap.core.wording import counted, plain

if TYPE_CHECKING:
    from labelgap.project.asking.judging import Batched, Judged, Rated


@app.command()
def evaluate(
    folder: Path | None = typer.Argument(
        None, help="The project's folder. [default: this one or its nearest parent]"
    ),
    labels: int | None = typer.Option(
        None, "--labels", min=1, help="Say what so many more test labels would give."
    ),
    within: float | None = typer.Option(
        None, min=0.1, max=50, help="With --labels: the ± that is wanted, in points."
    ),
    ask: int | None = typer.Option(
        None, "--ask", min=1, help="Ask so many images that only measure accuracy."
    ),
    active: bool = typer.Option(
        False, "--active", help="With --ask: prefer images where the network may err."
    ),
    forecast: int | None = typer.Option(
        None, "--forecast", min=1, help="Say how accurate with so many more training labels."
    ),
    replay: bool = typer.Option(
        False, "--replay", help="Replay the method and random questions on the labels so far."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print everything as JSON."),
    device: str = DEVICE,
    threads: int | None = THREADS,
    project: Path | None = PROJECT,
) -> None:
    """How accurate the trained network is, how sure that is, and what more labels would give."""
    from labelgap.project.asking.ready import need_training
    from labelgap.project.keep.store import Project

    if folder is not None and project is not None:
        raise ConfigError(
            f"Both {folder} and --project {project} are given.", "Leave one of them out."
        )
    if active and ask is None:
        raise ConfigError("--active is for --ask.", "Say how many: `--ask 50 --active`.")
    if within is not None and labels is None:
        raise ConfigError("--within is for --labels.", "Say how many: `--labels 100`.")
    console = _console()
    said: dict[str, Any] = {}
    with Project.open(folder or project, "read" if ask is None else "write") as p:
        need_training(p)
        from labelgap.project.asking import judging, testing

        # Bars and warnings would break the JSON.
        with bar(_console(stderr=True) if as_json else console) as progress:
            work = work_of(p, None, device, threads, progress)
            judged = judging.judge(work)
            if labels is not None:
                said["plan"] = judged.plan(labels, None if within is None else within / 100)
            if forecast is not None:
                said["forecast"] = judging.forecast(work, forecast)
            if replay:
                said["replay"] = judging.replay(work)
            asked = None if ask is None else testing.ask_to_test(work, ask, active)
        if as_json:
            facts = {**_plain_facts(judged, p.classes), **{k: _facts(v) for k, v in said.items()}}
            if asked is not None:
                paths = [p.items.get(item.id).path for item in asked.items]
                facts["asked"] = {"new": asked.new, "images": paths}
            print_json(facts)
            return
        _tell(console, judged, p.classes)
        for name, value in said.items():
            console.print(f"[bold]{name}[/]: {value.sentence}")
        if asked is not None:
            number = counted(len(asked.items), "image")
            if asked.new:
                console.print(f"[bold]{number}[/] to label, only to measure accuracy")
            else:
                console.print(f"{number} for measuring wait already; no other is asked")
            console.print("next: labelgap label")


def _tell(console: Any, judged: "Judged", classes: tuple[str, ...]) -> None:
    from rich.table import Table

    if judged.stale:
        console.print("[yellow]labels have come since the last training[/]: labelgap train")
    console.print(f"a network trained on {counted(judged.trained, 'label')}")
    console.print(f"[bold]accuracy[/]: {_said(judged.accuracy)}")
    if judged.accuracy.improved is not None:
        console.print(f"  by test labels alone: {judged.accuracy.share}")
    table = Table(title="recall: how many of a class's images are found", title_justify="left")
    for column in ("class", "recall (held out)", "how"):
        table.add_column(column, justify="right" if column.startswith("recall") else "left")
    for name, rated in zip(classes, judged.recall, strict=True):
        how = "with confidences" if rated.improved is not None else ""
        table.add_row(plain(name), _said(rated, short=True), how)
    console.print(table)
    for number, batch in enumerate(judged.batches, 1):
        console.print(f"active test batch {number}: {_batch(batch)}")


def _said(rated: "Rated", short: bool = False) -> str:
    found = rated.improved
    if found is None:
        return str(rated.share)
    said = f"{100 * found.value:.1f} % ({100 * found.low:.0f}–{100 * found.high:.0f} %"
    said += f", n = {rated.share.total})"
    if short:
        return said
    return f"{said}, with the network's confidences: as exact as {found.labels:.0f} labels"


def _batch(batch: "Batched") -> str:
    claimed = (
        f"the network itself claims {100 * batch.claimed:.1f} % of the same images, which is off "
        "by as much as its confidences are"
    )
    found = batch.tested
    if found is None:
        return f"{batch.answered} of {batch.asked} answered, nothing to say yet; {claimed}"
    return (
        f"{100 * found.value:.1f} % ({100 * found.low:.0f}–{100 * found.high:.0f} %) of the "
        f"{found.pool} images that it was drawn from, n = {found.n}, as exact as "
        f"{found.labels:.0f} labels drawn uniformly; {claimed}"
    )


def _facts(value: Any) -> dict[str, Any]:
    made = asdict(value) if is_dataclass(value) and not isinstance(value, type) else {}
    return {**made, "sentence": value.sentence}


def _plain_facts(judged: "Judged", classes: tuple[str, ...]) -> dict[str, Any]:
    def rated(found: "Rated") -> dict[str, Any]:
        share = found.share
        low, high = share.interval
        made = {"right": share.right, "total": share.total, "low": low, "high": high}
        value = share.value
        improved = found.improved and asdict(found.improved)
        return {"value": value, **made, "with_confidences": improved}

    facts = asdict(judged)
    facts["accuracy"] = rated(judged.accuracy)
    facts["recall"] = {k: rated(v) for k, v in zip(classes, judged.recall, strict=True)}
    return facts
