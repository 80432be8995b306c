"""A person's folder: init, add, ask, label, train, status, predict, import, export, and so on."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from labelgap.cli import app
from labelgap.cli.telling import (
    SHOWN,
    bar,
    network_of,
    next_step,
    tell_accuracy,
    tell_conflicts,
    tell_gone,
    tell_held_out,
    tell_import,
    tell_regions,
    tell_report,
    tell_restored,
    tell_unpacked,
)
from labelgap.cli.telling import console as _console
from labelgap.core.wording import counted
from labelgap.core.wording import plain as _plain

if TYPE_CHECKING:
    from labelgap.learn.learner import Progress
    from labelgap.project.asking.work import Work
    from labelgap.project.keep.store import Project

PROJECT = typer.Option(
    None, "--project", help="The project's folder. [default: this one or its nearest parent]"
)
DEVICE = typer.Option("auto", help="auto | cpu | cuda | mps.")
THREADS = typer.Option(None, min=1, help="CPU threads.")


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
) -> None:
    """Make a labelling project of a folder of images."""
    from labelgap.cli.values import tree_of
    from labelgap.project.exchange.begin import begin
    from labelgap.project.keep.store import SETTINGS

    names = [n.strip() for n in classes.split(",")] if classes is not None else None
    if weights not in (None, "hub"):
        weights = str(Path(str(weights)).expanduser().resolve())
        _need_file(Path(weights))
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
        console.print(next_step(project, folder))


def _need_file(path: Path) -> None:
    from labelgap.core.errors import DataError

    if not path.is_file():
        raise DataError(f"The weights file {path} does not exist.", "Correct `--weights`.")


@app.command()
def add(project: Path | None = PROJECT) -> None:
    """Take in new images of the folder; find moved ones; report vanished ones."""
    from labelgap.project.exchange.begin import hold_out_share, keep_labels
    from labelgap.project.keep.store import Project

    with Project.open(project) as p:
        console = _console()
        found = p.find()
        report = p.add(found)
        console.print(f"{report.added} new images; {p.items.count()} in all")
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
    from labelgap.ledger.ledger import NONE_OF_THESE
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
            asked = _work(p, method, device, threads, progress).ask(n)
        if method is not None:
            p.change(method=method)
        new = f"{asked.new} new" if asked.new else "none new"
        console.print(
            f"[bold]{len(asked.items)}[/] images to label ({new}, {asked.held_out} of them drawn "
            "at random to measure accuracy)"
        )
        if len(asked.items) < n:
            console.print(f"[yellow]{n} were asked for; no more are left[/]")
        if asked.cold:
            console.print("nothing to learn from yet: typical images, as different as possible")
        for item in asked.items[:SHOWN]:
            path = p.items.get(item.id).path
            console.print(f"  {item.rank:>3}  {_plain(path)}  {_plain(item.explanation)}")
        if len(asked.items) > SHOWN:
            console.print("   …")
        console.print(next_step(p, project))


def _work(
    p: "Project",
    method: str | None,
    device: str,
    threads: int | None,
    progress: "Progress | None",
) -> "Work":
    from labelgap.core.names import check_device, check_method
    from labelgap.project.asking.ready import need_images

    check_device(device)
    if method is not None:
        check_method(method)
    need_images(p)
    from labelgap.core.device import set_threads
    from labelgap.project.asking.work import Work

    set_threads(threads)
    return Work(p, method=method, device=device, progress=progress)


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
            seconds = sum(_work(p, None, device, threads, progress).train().values())
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
def predict(
    out: Path = typer.Option(Path("predictions.csv"), help="A .csv, .jsonl or .parquet file."),
    probabilities: bool = typer.Option(False, "--probabilities", help="A column for each class."),
    device: str = DEVICE,
    threads: int | None = THREADS,
    project: Path | None = PROJECT,
) -> None:
    """Write the classifier's prediction of every image."""
    from labelgap.project.asking.ready import need_training
    from labelgap.project.exchange.predictions import refuse_predictions, write_predictions
    from labelgap.project.keep.store import Project

    with Project.open(project, "read") as p:
        refuse_predictions(p, out)
        need_training(p)
        console = _console()
        with bar(console) as progress:
            work = _work(p, None, device, threads, progress)
            number = write_predictions(work, out, probabilities)
        if work.is_stale():
            console.print("[yellow]labels have come since the last training[/]: labelgap train")
        console.print(f"{number} predictions → {_plain(out)}")
        tell_gone(console, "image", len(p.items.replaced()))
        tell_unpacked(console, p)


@app.command(name="import")
def import_(
    file: Path = typer.Argument(..., help="CSV or JSONL: path or id, label, [annotator]."),
    annotator: str = typer.Option("import", help="Who labelled, where the file does not say."),
    holdout: bool = typer.Option(
        False,
        "--holdout",
        help="The file labels a random sample: use the reserve's share of it to measure accuracy.",
    ),
    project: Path | None = PROJECT,
) -> None:
    """Take labels from a file; repeating it changes nothing."""
    from labelgap.project.exchange.exchange import Imported, import_file
    from labelgap.project.keep.store import Project

    with Project.open(project) as p:
        console = _console()
        report = import_file(p, file, annotator)
        if report == Imported():
            console.print(f"[yellow]no row in {_plain(file)}[/]: nothing to take")
        tell_import(console, report)
        if report.without_label:
            console.print(f"{counted(report.without_label, 'row')} without a label")
        if report.stored and not holdout:
            console.print(
                "they are for training; where they are of a random sample, `--holdout` makes a "
                "share of them measure the accuracy"
            )
        if holdout:
            from labelgap.project.asking.work import hold_out_imported

            console.print(f"{hold_out_imported(p, report.items)} labels are held out from now on")


@app.command(name="export")
def export_(
    format: str | None = typer.Option(
        None,
        help="csv | jsonl | parquet | folders | coco | model | onnx. [default: by --out, else csv]",
    ),
    out: Path | None = typer.Option(
        None,
        help="The file, or the folder for folders and model. "
        "[default: labels.FORMAT; for folders ../NAME-labels beside the project]",
    ),
    link: bool = typer.Option(False, "--link", help="folders: symbolic links, not copies."),
    project: Path | None = PROJECT,
) -> None:
    """Write the labels for other tools, or the trained model."""
    from labelgap.project.asking.ready import need_training
    from labelgap.project.exchange.exchange import export, labels_of_gone
    from labelgap.project.exchange.outputs import MODELS, default_out, format_of, refuse_overwriting
    from labelgap.project.keep.store import Project

    format = format_of(out, format)
    with Project.open(project, "read") as p:
        console = _console()
        out = out or default_out(p, format)
        if format in MODELS:
            refuse_overwriting(p, out)
            need_training(p)
            from labelgap.project.exchange.model import export_model

            export_model(_work(p, None, "cpu", None, None), out, format)
            console.print(f"model → {_plain(out)}")
            return
        number = export(p, out, format, link=link)
        console.print(f"{counted(number, 'label')} → {_plain(out)}")
        tell_gone(console, "label", labels_of_gone(p))


@app.command()
def undo(
    image: str | None = typer.Argument(None, help="Path or id; without it the last answer."),
    annotator: str | None = typer.Option(None, help="Whose answer. [default: anybody's]"),
    project: Path | None = PROJECT,
) -> None:
    """Take back an answer; what was there before returns, and the undo is kept too."""
    from labelgap.core.errors import LedgerError
    from labelgap.project.exchange.exchange import name_of
    from labelgap.project.keep.store import Project

    with Project.open(project) as p:
        item = None if image is None else p.item_of(image)
        if annotator is not None:
            event = p.ledger.undo(item, person=annotator)
        else:
            # Newest first, so that an undo comes before the answer that it took back.
            undone: set[int] = set()
            for past in p.ledger.history(limit=10_000, id=item):
                if past.kind == "undone":
                    undone.add(past.data["undoes"])
                elif past.seq not in undone:
                    event = p.ledger.undo(seq=past.seq, person=past.person)
                    break
            else:
                raise LedgerError("There is no answer to take back.", "labelgap status")
        assert event.id is not None
        label = p.ledger.labels.get(event.id)
        now = "no label" if label is None else name_of(label, p.classes)
        _console().print(f"{_plain(p.items.get(event.id).path)} has now: {_plain(now)}")


@app.command()
def backup(
    out: Path | None = typer.Option(None, help="A .zip. [default: .labelgap/backups/<time>.zip]"),
    project: Path | None = PROJECT,
) -> None:
    """Write labels, items and settings to one file (also while `labelgap label` runs)."""
    from labelgap.project.keep.backup import backup as make
    from labelgap.project.keep.store import Project

    with Project.open(project, "read") as p:
        _console().print(f"backup → {_plain(make(p, out))}")


@app.command()
def doctor(
    repack: bool = typer.Option(False, "--repack", help="Pack all images anew first."),
    restore: str | None = typer.Option(
        None,
        metavar="FILE|newest",
        help="Put a snapshot in the ledger's place first; newest: the last sound one.",
    ),
    project: Path | None = PROJECT,
) -> None:
    """Check that everything is whole; exit status 1 where it is not."""
    from labelgap.core.errors import FolderError
    from labelgap.project.keep.doctor import examine
    from labelgap.project.keep.doctor import repack as pack_anew
    from labelgap.project.keep.store import Project, find_root, is_project

    root = find_root(Path.cwd()) if project is None else project
    if root is None or not is_project(root):
        raise FolderError("There is no labelling project here.", "Name its folder by --project.")
    console = _console()
    if restore is not None:
        from labelgap.project.keep.restore import restore as put_back

        chosen = None if restore == "newest" else Path(restore).expanduser()
        tell_restored(console, put_back(root, chosen))
    if repack:
        with Project.open(root) as p:
            rows, failed = pack_anew(p)
        packed = counted(rows - len(failed), "image")
        console.print(f"{packed} packed, {len(failed)} more without their file")
    colours = {"ok": "green", "warning": "yellow", "error": "bold red"}
    findings = examine(root)
    for f in findings:
        cure = f" → {f.cure}" if f.cure else ""
        console.print(
            f"[{colours[f.state]}]{f.state:>7}[/]  {f.check}: {_plain(f.text)}{_plain(cure)}"
        )
    if any(f.state == "error" for f in findings):
        raise typer.Exit(1)


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
