"""A person's folder: init, add, ask, label, train, status, predict, import, export, and so on."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from labelgap.cli import app
from labelgap.cli.telling import (
    SHOWN,
    answered_meanwhile,
    bar,
    network_of,
    next_step,
    tell_accuracy,
    tell_conflicts,
    tell_held_out,
    tell_import,
    tell_places,
    tell_regions,
    tell_report,
    tell_unpacked,
)
from labelgap.cli.telling import console as _console
from labelgap.cli.values import DEVICE, PROJECT, THREADS, need_file, work_of
from labelgap.core.wording import counted
from labelgap.core.wording import plain as _plain

if TYPE_CHECKING:
    pass


VERBOSE = typer.Option(False, "--verbose", help="List every file that is left out.")


@app.command()
def init(
    folder: Path = typer.Argument(..., help="The folder of the images."),
    classes: str | None = typer.Option(
        None, help="Names, separated by commas. [default: those of sub-folders or labels]"
    ),
    manifest: Path | None = typer.Option(
        None, help="CSV or JSONL in the folder: path, and label where known."
    ),
    folder_labels: bool | None = typer.Option(
        None,
        "--folder-labels/--no-folder-labels",
        help="Label images in sub-folders by their names. [default: without --classes]",
    ),
    method: str | None = typer.Option(
        None, help="A method by name (`labelgap methods`). [default: daal]"
    ),
    weights: str | None = typer.Option(
        None, help="Pretrained weights: a file, or hub. Freezes the network; trains an adapter."
    ),
    network: str | None = typer.Option(
        None, help="resnet | mlp | timm:NAME. [with --weights: timm:tf_efficientnet_lite0]"
    ),
    holdout: float | None = typer.Option(
        None,
        min=0.0,
        max=0.9,
        help="Share of the questions that only measure accuracy. [default: 0.2]",
    ),
    image_size: int | None = typer.Option(
        None, min=4, max=1024, help="Side that images are packed at. [default: 128, or theirs]"
    ),
    flip: bool | None = typer.Option(
        None,
        "--flip/--no-flip",
        help="Mirror images in training; not for text or digits. [default: --flip]",
    ),
    seed: int | None = typer.Option(None, help="Seed of every draw. [default: 0]"),
    set_: list[str] = typer.Option([], "--set", help="key=value of `labelgap config`."),
    verbose: bool = VERBOSE,
) -> None:
    """Make a labelling project of a folder of images."""
    from labelgap.cli.values import tree_of
    from labelgap.project.exchange.begin import begin
    from labelgap.project.keep.settings import SETTINGS

    names = [n.strip() for n in classes.split(",")] if classes is not None else None
    if weights not in (None, "hub"):
        weights = str(Path(str(weights)).expanduser().resolve())
        need_file(Path(weights))
    config, _, _ = tree_of(None, {}, set_)
    # Only what was said: a repeated init refuses what contradicts the project.
    said = {
        "method": method,
        "weights": weights,
        "network": network,
        "holdout": holdout,
        "flip": flip,
        "seed": seed,
        "config": config or None,
    }
    begun = begin(
        folder.expanduser(),
        classes=names,
        manifest=manifest,
        folder_labels=folder_labels,
        image_size=image_size,
        **{key: value for key, value in said.items() if value is not None},
    )
    with begun.project as project:
        console = _console()
        shown = ", ".join(project.classes[:12]) + (", …" if len(project.classes) > 12 else "")
        console.print(
            f"[bold]{project.items.count()}[/] images, {len(project.classes)} classes "
            f"({_plain(shown)}), packed at {project.settings.image_size} pixels"
        )
        if len(project.classes) == 1:
            console.print(
                "[yellow]one class alone can be labelled, not trained:[/] separate names by "
                "commas, --classes cat,dog; a class for the rest can be one"
            )
        tell_places(console, begun.places, verbose)
        tell_report(console, begun.report)
        tell_import(console, begun.labels)
        hint = ""
        if not project.settings.weights:
            hint = (
                "; few labels go further with pretrained ones: `--weights FILE` in a new folder's "
                f'init, "weights" in {_plain(project.home / SETTINGS)} here'
            )
        console.print(f"network: {network_of(project)}{hint}")
        tell_held_out(console, begun.held_out)
        if project.settings.weights:
            from labelgap.project.asking.ahead import compute_features

            with bar(console) as progress:
                compute_features(project, progress=progress)
        console.print(next_step(project, folder))


@app.command()
def add(verbose: bool = VERBOSE, project: Path | None = PROJECT) -> None:
    """Take in new images of the folder; find moved ones; report vanished ones."""
    from labelgap.project.exchange.begin import hold_out_share, keep_labels
    from labelgap.project.keep.store import Project

    with Project.open(project) as p:
        console = _console()
        places = p.look()
        found = places.found
        report = p.add(found)
        console.print(f"{report.added} new images; {p.items.count()} in all")
        tell_places(console, places, verbose)
        tell_report(console, report)
        labels = keep_labels(p, found)
        tell_import(console, labels)
        tell_held_out(console, hold_out_share(p, labels))


@app.command()
def classes(
    add: str | None = typer.Option(None, help="Further names, separated by commas."),
    project: Path | None = PROJECT,
) -> None:
    """Show the classes, or add some: labels stay, and the next training knows them."""
    from labelgap.core.types import NONE_OF_THESE
    from labelgap.project.keep.store import Project

    with Project.open(project, "read" if add is None else "write") as p:
        console = _console()
        if add is not None:
            p.add_classes(add.split(","))
        console.print(
            f"{counted(len(p.classes), 'class', 'classes')}: {_plain(', '.join(p.classes))}"
        )
        none = list(p.ledger.labels.values()).count(NONE_OF_THESE)
        if add is not None and none:
            console.print(
                f"[yellow]{counted(none, 'image')} said to be none of these:[/] labels that are of "
                "a new class now must be given again (`labelgap export` lists them)"
            )


@app.command()
def ask(
    n: int = typer.Argument(..., min=1, help="How many images to label next."),
    method: str | None = typer.Option(None, help="Another method, from now on."),
    device: str = DEVICE,
    threads: int | None = THREADS,
    project: Path | None = PROJECT,
) -> None:
    """Choose the next images to label, training first if labels have come."""
    from labelgap.project.keep.store import Project

    with Project.open(project) as p:
        console = _console()
        with bar(console) as progress:
            asked = work_of(p, method, device, threads, progress).ask(n)
        if method is not None:
            p.change(method=method)
        new = f"{asked.new} new" if asked.new else "none new"
        console.print(
            f"[bold]{len(asked.items)}[/] images to label ({new}, {asked.held_out} of them drawn "
            "at random to measure accuracy)"
        )
        if len(asked.items) + asked.answered < n:
            console.print(f"[yellow]{n} were asked for; no more are left[/]")
        if asked.answered:
            console.print(answered_meanwhile(asked.answered))
        if asked.cold:
            console.print("nothing to learn from yet: typical images, as different as possible")
        for item in asked.items[:SHOWN]:
            path = p.items.get(item.id).path
            console.print(f"  {item.rank:>3}  {_plain(path)}  {_plain(item.explanation)}")
        if len(asked.items) > SHOWN:
            console.print("   …")
        console.print(next_step(p, project))


@app.command()
def train(
    device: str = DEVICE, threads: int | None = THREADS, project: Path | None = PROJECT
) -> None:
    """Train on all labels and estimate the accuracy."""
    from labelgap.project.asking.ready import need_labels
    from labelgap.project.keep.store import Project
    from labelgap.project.quality.status import status as status_of

    with Project.open(project) as p:
        need_labels(p)
        console = _console()
        with bar(console) as progress:
            seconds = sum(work_of(p, None, device, threads, progress).train().values())
        state = status_of(p)
        console.print(f"trained {network_of(p)} in {seconds:.1f} s")
        tell_unpacked(console, p)
        console.print(f"{state.labelled - state.held_out} labels, accuracy {state.accuracy}")
        console.print(state.verdict.sentence)
        console.print(next_step(p, project))


@app.command()
def status(
    quarantine: bool = typer.Option(False, "--quarantine", help="List quarantined files."),
    conflicts: bool = typer.Option(False, "--conflicts", help="List images people disagree on."),
    project: Path | None = PROJECT,
) -> None:
    """Where the project stands: counts, accuracy, learning curve, whether labelling helps."""
    from rich.table import Table

    from labelgap.project.keep.store import Project
    from labelgap.project.quality.status import status as status_of

    with Project.open(project, "read") as p:
        console = _console()
        if quarantine:
            for file in p.items.files("quarantined"):
                console.print(f"{_plain(file.path)}: {file.reason} {_plain(file.detail)}")
            return
        if conflicts:
            tell_conflicts(console, p)
            return
        s = status_of(p)
        console.print(
            f"[bold]{_plain(p.root)}[/]: {counted(s.items, 'image')}, {s.labelled} labelled "
            f"({s.held_out} of them held out), {s.outstanding} waiting to be labelled"
        )
        said = [f"{k} {reason}" for reason, k in sorted(s.skipped.items())]
        said += [f"{s.none_of_these} none of these"] * bool(s.none_of_these)
        said += [f"{s.missing} without their file"] * bool(s.missing)
        said += [f"{k} quarantined ({reason})" for reason, k in sorted(s.quarantined.items())]
        said += [f"{s.conflicts} in conflict"] * bool(s.conflicts)
        if said:
            console.print(", ".join(said))
        table = Table(title="classes", title_justify="left")
        for column in ("class", "labels", "recall (held out)"):
            table.add_column(column, justify="left" if column == "class" else "right")
        for name, count, share in zip(p.classes, s.per_class, s.recall, strict=True):
            table.add_row(_plain(name), str(count), str(share))
        console.print(table)
        if s.curve:
            table = Table(title="learning curve", title_justify="left")
            for column in ("labels", "accuracy (held out)"):
                table.add_column(column, justify="right")
            for point in s.curve:
                table.add_row(str(point.labels), str(point.accuracy))
            console.print(table)
            tell_accuracy(console, s)
            console.print(s.verdict.sentence)
        tell_regions(console, p, s.regions)
        tell_unpacked(console, p)
        console.print(next_step(p, project))


@app.command()
def label(
    port: int = typer.Option(0, min=0, max=65535, help="Port. [default: a free one]"),
    host: str = typer.Option("127.0.0.1", help="Other addresses let other machines in."),
    annotator: str = typer.Option("", help="Your name, kept with each answer."),
    browser: bool = typer.Option(True, "--browser/--no-browser", help="Open the page."),
    project: Path | None = PROJECT,
) -> None:
    """Label the asked images in the browser; Ctrl-C ends it."""
    from labelgap.project.keep.store import Project
    from labelgap.project.server.serve import serve

    with Project.open(project) as p:
        serve(p, host, port, annotator, browser, _console())
