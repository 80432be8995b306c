"""`labelgap methods` and `labelgap config`: what there is, with sources."""

from pathlib import Path
from typing import Any

import typer

from labelgap.cli import app
from labelgap.cli.scripts import JSON, method_facts, needs_of, print_json
from labelgap.cli.values import PRESETS
from labelgap.core.terminal import console


@app.command()
def methods(json_: bool = JSON) -> None:
    """List methods, objectives and acquisitions."""
    if json_:
        print_json(method_facts())
        return
    from rich.markup import escape
    from rich.table import Table

    from labelgap.methods import ACQUISITIONS, METHODS, OBJECTIVES

    screen = console(soft_wrap=False)
    screen.print("[bold]methods[/]: objective × acquisition")
    table = Table.grid(padding=(0, 2))
    for m in sorted(METHODS.values(), key=lambda m: m.name):
        trains = "; trains on unlabelled items" if OBJECTIVES[m.objective].uses_unlabelled else ""
        table.add_row(f"[bold]{m.name}[/]", f"[cyan]{m.objective} × {m.acquisition}[/]")
        table.add_row("", f"needs {', '.join(needs_of(m)) or 'nothing'}{trains}")
        table.add_row("", escape(f"training {m.training_cost}; query {m.query_cost}"))
        table.add_row("", f"[dim]{escape(m.citation)}[/]")
    screen.print(table)
    for title, classes in (("objectives", OBJECTIVES), ("acquisitions", ACQUISITIONS)):
        screen.print(f"\n[bold]{title}[/]")
        table = Table.grid(padding=(0, 2))
        for name in sorted(classes):
            if getattr(classes[name], "upper_line", False):
                continue  # no method
            first = (classes[name].__doc__ or "").splitlines()[0]
            table.add_row(f"[bold]{name}[/]", escape(first))
        screen.print(table)


@app.command()
def check(
    file: Path = typer.Argument(help="A Python file that registers a method."),
) -> None:
    """Run the contract suite on your own method."""
    from labelgap.check.contract import CONTRACTS
    from labelgap.check.file import check_file

    screen, failed, unsaid = console(soft_wrap=False), 0, False
    for told in check_file(file, list(CONTRACTS)):
        mark = "[red]✗[/]" if told.problem else "[green]✓[/]"
        if told.kind == "method":
            screen.print(told.name, style="bold", markup=False)
        elif told.kind == "check":
            screen.print(f"  {mark} {told.name}")
            failed += bool(told.problem)
        else:
            unsaid = True
        if told.problem:
            screen.print(f"      {told.problem}", markup=False)
    if failed:
        screen.print(f"{failed} contracts broken; `labelgap.check.contract` says what each asks.")
    if unsaid:
        screen.print("Not all was checked, so it counts as failed.")
    if failed or unsaid:
        raise typer.Exit(1)


@app.command()
def config(
    method: str = typer.Option("daal", help="Whose objective and acquisition to list."),
    preset: str = typer.Option("smoke", help=PRESETS),
    dataset: str = typer.Option("digits", help="The data set."),
    json_: bool = typer.Option(False, "--json", help="The resolved configuration as JSON."),
) -> None:
    """List every key with its value under the preset, meaning, source and evidence."""
    import json

    from rich.markup import escape
    from rich.table import Table

    from labelgap.axes.registry import tables_of
    from labelgap.core.config import RunConfig, describe
    from labelgap.methods import ACQUISITIONS, OBJECTIVES
    from labelgap.session.presets import resolve

    settings = resolve({"method": method, "data": {"name": dataset}}, preset=preset)
    values = settings.model_dump(mode="json")
    if json_:
        typer.echo(json.dumps(values, indent=1))
        return
    objective = OBJECTIVES[settings.objective_name]
    acquisition = ACQUISITIONS[settings.acquisition_name]
    rows = [
        *describe(RunConfig),
        *describe(objective.Options, "objective."),
        *describe(acquisition.Options, "acquisition."),
    ]
    for name, model in tables_of(objective, acquisition).items():
        rows += describe(model, f"{name}.")
    screen = console(soft_wrap=False)
    screen.print(f"[bold]{method}[/], preset {preset}: `--set KEY=VALUE` changes a key")
    table = Table.grid(padding=(0, 2))
    for row in rows:
        value: Any = values
        for part in row["key"].split("."):
            value = value.get(part, row["default"])  # some defaults are left out
        table.add_row(f"[bold]{row['key']}[/]", f"[cyan]{escape(str(value))}[/]")
        for name in ("description", "source", "evidence"):
            if row[name]:
                text = escape(row[name])
                table.add_row("", text if name == "description" else f"[dim]{name}: {text}[/]")
        if row["paper"]:
            theirs, reason = row["paper"]
            table.add_row("", f"[dim]the paper's own value is {theirs:g}: {escape(reason)}[/]")
    screen.print(table)
