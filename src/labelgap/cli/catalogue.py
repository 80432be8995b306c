"""`labelgap methods` and `labelgap config`: what there is, with sources."""

from pathlib import Path
from typing import Any

import typer

from labelgap.cli import app


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False)


@app.command()
def methods() -> None:
    """List methods, objectives and acquisitions."""
    from rich.table import Table

    from labelgap.methods import ACQUISITIONS, METHODS, OBJECTIVES

    console = _console()
    table = Table(title="methods: objective × acquisition", title_justify="left")
    for column in ("name", "objective", "acquisition", "needs", "training", "query", "paper"):
        table.add_column(column)
    for m in sorted(METHODS.values(), key=lambda m: m.name):
        needs = ", ".join(sorted(ACQUISITIONS[m.acquisition].needs)) or "–"
        table.add_row(
            m.name, m.objective, m.acquisition, needs, m.training_cost, m.query_cost, m.citation
        )
    console.print(table)
    for title, classes in (("objectives", OBJECTIVES), ("acquisitions", ACQUISITIONS)):
        table = Table(title=title, title_justify="left", show_header=False)
        for name in sorted(classes):
            table.add_row(name, (classes[name].__doc__ or "").splitlines()[0])
        console.print(table)


@app.command()
def check(
    file: Path = typer.Argument(help="A Python file that registers a method."),
) -> None:
    """Run the contract suite on your own method."""
    from labelgap.contract import run_contract
    from labelgap.device import set_threads
    from labelgap.own import load_methods

    set_threads(1)  # the cases are tiny
    console, failed = _console(), 0
    for entry in load_methods(file):
        console.print(f"[bold]{entry.name}[/]: {entry.objective} × {entry.acquisition}")
        for sentence, problem in run_contract(entry):
            console.print(f"  {'[red]✗[/]' if problem else '[green]✓[/]'} {sentence}")
            if problem:
                failed += 1
                console.print(f"      {problem}", markup=False)
    if failed:
        console.print(f"{failed} contracts broken; docs/own-method.md explains each.")
        raise typer.Exit(1)


@app.command()
def config(
    method: str = typer.Option("daal", help="Whose objective and acquisition to list."),
    preset: str = typer.Option("smoke", help="smoke | cpu | paper."),
    dataset: str = typer.Option("digits", help="The data set."),
    json_: bool = typer.Option(False, "--json", help="The resolved configuration as JSON."),
) -> None:
    """List every key with its value under the preset, meaning, source and evidence."""
    import json

    from rich.table import Table

    from labelgap.config import RunConfig, describe
    from labelgap.methods import ACQUISITIONS, OBJECTIVES
    from labelgap.presets import resolve

    settings = resolve({"method": method, "data": {"name": dataset}}, preset=preset)
    values = settings.model_dump(mode="json")
    if json_:
        typer.echo(json.dumps(values, indent=1))
        return
    rows = [
        *describe(RunConfig),
        *describe(OBJECTIVES[settings.objective_name].Options, "objective."),
        *describe(ACQUISITIONS[settings.acquisition_name].Options, "acquisition."),
    ]
    table = Table(title=f"{method}, preset {preset}", title_justify="left")
    for column in ("key", "value", "meaning", "source", "evidence"):
        table.add_column(column, overflow="fold")
    for row in rows:
        value: Any = values
        for part in row["key"].split("."):
            value = value[part]
        table.add_row(row["key"], str(value), row["description"], row["source"], row["evidence"])
    _console().print(table)
