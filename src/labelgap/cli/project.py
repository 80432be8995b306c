"""A person's folder: init, add, classes, ask, train, status."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from labelgap.cli import app
from labelgap.cli.scripts import JSON, print_json, status_facts
from labelgap.cli.telling import (
    SHOWN,
    answered_meanwhile,
    bar,
    next_step,
    quarantine_of,
    tell_accuracy,
    tell_begun,
    tell_conflicts,
    tell_held_out,
    tell_import,
    tell_places,
    tell_regions,
    tell_report,
    tell_unpacked,
)
from labelgap.cli.values import (
    DEVICE,
    PROJECT,
    PROJECT_NETWORK,
    PROJECT_WEIGHTS,
    THREADS,
    names_of,
    weights_of,
    work_of,
)
from labelgap.core.terminal import console as _console
from labelgap.core.wording import counted
from labelgap.core.wording import plain as _plain

if TYPE_CHECKING:
    from labelgap.project.keep.store import Project


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
        None, help="A method by name (`labelgap methods`). [default: gap]"
    ),
    weights: str | None = PROJECT_WEIGHTS,
    network: str | None = PROJECT_NETWORK,
    holdout: float | None = typer.Option(
        None,
        min=0.0,
        max=0.9,
        help="Share of the questions that only measure accuracy. [default: 0.2]",
    ),
    image_size: int | None = typer.Option(
        None,
        min=4,
        max=1024,
        help="Side that images are packed at; --set network.input_size is what a frozen "
        "network sees. [default: 128, or theirs]",
    ),
    flip: bool | None = typer.Option(
        None,
        "--flip/--no-flip",
        help="Mirror images in training; not for text or digits. [default: --flip]",
    ),
    scaling: str | None = typer.Option(
        None,
        help="Range of 16-bit and float pixels: type (all values of the type), own (the data's "
        "0.1 to 99.9 percentiles), auto (own where the data span less than a quarter of the type). "
        "[default: auto]",
    ),
    seed: int | None = typer.Option(None, help="Seed of every draw. [default: 0]"),
    set_: list[str] = typer.Option([], "--set", help="key=value of `labelgap config`."),
    verbose: bool = VERBOSE,
) -> None:
    """Make a labelling project of a folder of images."""
    from labelgap.cli.values import tree_of
    from labelgap.project.asking.meanwhile import load_meanwhile
    from labelgap.project.exchange.begin import begin

    config, _, _ = tree_of(None, {}, set_)
    # Only what was said: a repeated init refuses what contradicts the project.
    said = {
        "method": method,
        "weights": weights_of(weights),
        "network": network,
        "holdout": holdout,
        "flip": flip,
        "scaling": scaling,
        "seed": seed,
        "config": config or None,
    }
    begun = begin(
        folder.expanduser(),
        classes=names_of(classes),
        manifest=manifest,
        folder_labels=folder_labels,
        image_size=image_size,
        meanwhile=load_meanwhile,
        **{key: value for key, value in said.items() if value is not None},
    )
    with begun.project as project:
        console = _console()
        tell_begun(console, begun, verbose)
        _features_ahead(console, project)
        console.print(next_step(project, folder))


@app.command()
def add(verbose: bool = VERBOSE, project: Path | None = PROJECT) -> None:
    """Take in new images of the folder; find moved ones; report vanished ones."""
    from labelgap.project.asking.meanwhile import load_meanwhile
    from labelgap.project.exchange.begin import hold_out_share, keep_labels
    from labelgap.project.keep.store import Project

    with Project.open(project) as p:
        console = _console()
        places = p.look()
        found = places.found
        if p.settings.weights and not {place.path for place in found} <= p.items.paths().keys():
            load_meanwhile()
        report = p.add(found)
        console.print(f"{counted(report.added, 'new image')}; {p.items.count()} in all")
        tell_places(console, places, verbose)
        tell_report(console, p, report)
        labels = keep_labels(p, found)
        tell_import(console, labels)
        tell_held_out(console, hold_out_share(p, labels))
        if report.added or report.packed:
            _features_ahead(console, p)


def _features_ahead(console: Any, p: "Project") -> None:
    """What the next question would wait for, where the network is frozen."""
    if p.settings.weights:
        from labelgap.project.asking.ahead import compute_features

        with bar(console) as progress:
            compute_features(p, progress=progress)


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
            f"[bold]{counted(len(asked.items), 'image')}[/] to label ({new}, {asked.held_out} of "
            "them drawn at random to measure accuracy)"
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
    from labelgap.project.keep.network import network_of
    from labelgap.project.keep.store import Project
    from labelgap.project.quality.status import status as status_of

    with Project.open(project) as p:
        need_labels(p)
        console = _console()
        with bar(console) as progress:
            seconds = sum(work_of(p, None, device, threads, progress).train().values())
        state = status_of(p)
        learned = counted(state.labelled - state.held_out, "label")
        console.print(f"trained {_plain(network_of(p.settings))} on {learned} in {seconds:.1f} s")
        tell_unpacked(console, p)
        tell_accuracy(console, state)
        console.print(state.verdict.sentence)
        console.print(next_step(p, project))


@app.command()
def status(
    quarantine: bool = typer.Option(False, "--quarantine", help="List quarantined files."),
    conflicts: bool = typer.Option(False, "--conflicts", help="List images people disagree on."),
    json_: bool = JSON,
    project: Path | None = PROJECT,
) -> None:
    """Where the project stands: counts, accuracy, learning curve, whether labelling helps."""
    from rich.table import Table

    from labelgap.project.asking.reserve import trained_on_instead
    from labelgap.project.keep.store import Project
    from labelgap.project.quality.status import status as status_of

    with Project.open(project, "read") as p:
        console = _console()
        if json_:
            print_json(status_facts(p))
            return
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
        said += quarantine_of(s.quarantined)
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
        if by_hand := trained_on_instead(p):
            console.print(
                f"{counted(by_hand, 'label')} given unasked to images that were kept aside to "
                "measure accuracy: trained on like others, not used for measuring"
            )
        tell_regions(console, p, s.regions)
        tell_unpacked(console, p)
        console.print(next_step(p, project))
