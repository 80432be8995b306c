"""Commands that bring labels in and out: import, export, undo, predict."""

from pathlib import Path

import typer

from labelgap.cli import app
from labelgap.cli.classes import tell_classes_undone
from labelgap.cli.telling import (
    bar,
    next_step,
    tell_elsewhere,
    tell_gone,
    tell_import,
    tell_split,
    tell_unpacked,
)
from labelgap.cli.values import DEVICE, PROJECT, THREADS, work_of
from labelgap.core.terminal import console as _console
from labelgap.core.wording import counted
from labelgap.core.wording import plain as _plain


@app.command()
def predict(
    folder: Path | None = typer.Argument(
        None, help="A folder of other images. [default: the project's own images]"
    ),
    model: Path | None = typer.Option(
        None, help="The folder of an exported model. [default: the project's last training]"
    ),
    out: Path = typer.Option(Path("predictions.csv"), help="A .csv, .jsonl or .parquet file."),
    probabilities: bool = typer.Option(False, "--probabilities", help="A column for each class."),
    device: str = DEVICE,
    threads: int | None = THREADS,
    project: Path | None = PROJECT,
) -> None:
    """Write the classifier's prediction of every image: the project's, or those of a folder."""
    from labelgap.project.asking.ready import need_training
    from labelgap.project.exchange.predictions import refuse_predictions
    from labelgap.project.keep.store import Project

    if model is not None:
        _predict_by_file(folder, model, out, probabilities, device, threads)
        return
    with Project.open(project, "read") as p:
        refuse_predictions(p, out)
        need_training(p)
        console = _console()
        with bar(console) as progress:
            work = work_of(p, None, device, threads, progress)
            work.load()
            if work.is_stale():
                console.print("[yellow]labels have come since the last training[/]: labelgap train")
            if folder is not None and folder.expanduser().resolve() != p.root:
                from labelgap.project.exchange.elsewhere import predict_folder
                from labelgap.project.exchange.model import classifier, facts_of

                made = classifier(work)
                facts, where = facts_of(work, made), work.machine.device
                folder = folder.expanduser()
                done = predict_folder(made, facts, folder, out, probabilities, where)
                tell_elsewhere(console, done, out)
                return
            from labelgap.project.exchange.predictions import write_predictions

            number = write_predictions(work, out, probabilities)
        console.print(f"{counted(number, 'prediction')} → {_plain(out)}")
        tell_gone(console, "image", len(p.items.replaced()))
        tell_unpacked(console, p)


def _predict_by_file(
    folder: Path | None,
    model: Path,
    out: Path,
    probabilities: bool,
    device: str,
    threads: int | None,
) -> None:
    """By the folder of an exported model, which needs no project."""
    from labelgap.core.errors import ConfigError
    from labelgap.core.names import check_device
    from labelgap.project.exchange.outputs import refuse_any, table_format

    if folder is None:
        raise ConfigError(
            "--model says by which network, and not of which images.",
            f"Name their folder: labelgap predict FOLDER --model {model}",
        )
    table_format(out)
    refuse_any(out)
    check_device(device)
    from labelgap.core.device import machine, set_threads
    from labelgap.project.exchange.elsewhere import predict_folder
    from labelgap.project.exchange.model import load

    set_threads(threads)
    made, facts = load(model.expanduser())
    where = machine(device).device
    done = predict_folder(made, facts, folder.expanduser(), out, probabilities, where)
    tell_elsewhere(_console(), done, out)


@app.command(name="import")
def import_(
    file: Path = typer.Argument(
        ..., help="CSV, JSON lines or Parquet: path, label, [annotator, held_out]."
    ),
    annotator: str = typer.Option("import", help="Who labelled, where the file does not say."),
    holdout: bool = typer.Option(
        False,
        "--holdout",
        help="The file labels a random sample: use the reserve's share of it to measure accuracy.",
    ),
    verbose: bool = typer.Option(False, "--verbose", help="List every row that is left out."),
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
        tell_import(console, report, verbose)
        if report.without_label:
            console.print(f"{counted(report.without_label, 'row')} without a label")
        if report.stored and not (report.held_out or holdout):
            console.print(
                "they are trained on; if the file labels a random sample, the same command with "
                "--holdout keeps a share of it to measure the accuracy"
            )
        if holdout:
            from labelgap.project.asking.reserve import hold_out_imported

            console.print(f"{hold_out_imported(p, report.items)} labels are held out from now on")
        if report.stored:
            console.print(next_step(p, project))


@app.command(name="export")
def export_(
    format: str | None = typer.Option(
        None,
        help="Labels: csv | jsonl | parquet | coco | cvat | folders. For training elsewhere: "
        "imagefolder | yolo-cls | huggingface. The network: model (a folder that runs by itself) | "
        "onnx. [default: by --out, else csv]",
    ),
    out: Path | None = typer.Option(
        None,
        help="The file, or the folder. "
        "[default: labels.FORMAT; folders of images go beside the project's]",
    ),
    link: bool = typer.Option(
        False,
        "--link",
        help="Do not copy: symbolic links (folders), hard links (imagefolder, yolo-cls).",
    ),
    val: float | None = typer.Option(
        None,
        help="imagefolder, yolo-cls, huggingface: the share of the labels in val. "
        "[default: the held-out labels]",
    ),
    project: Path | None = PROJECT,
) -> None:
    """Write the labels for other tools, or the trained model."""
    from labelgap.project.asking.ready import need_training
    from labelgap.project.exchange.export import export, labels_of_gone
    from labelgap.project.exchange.outputs import (
        MODELS,
        TRAINING,
        default_out,
        format_of,
        refuse_flags,
        refuse_foreign,
        refuse_overwriting,
    )
    from labelgap.project.keep.store import Project

    format = format_of(out, format)
    refuse_flags(format, link, val)
    with Project.open(project, "read") as p:
        console = _console()
        named, out = out is not None, out or default_out(p, format)
        refuse_overwriting(p, out)
        if not named:
            refuse_foreign(out)
        if format in MODELS:
            need_training(p)
            from labelgap.project.exchange.model_folder import export_model

            work = work_of(p, None, "cpu", None, None)
            export_model(work, out, format)
            if work.is_stale():
                console.print("[yellow]labels have come since the last training[/]: labelgap train")
            console.print(f"model → {_plain(out)}")
            return
        if format in TRAINING:
            from labelgap.project.exchange.hugging_face import write_data_set
            from labelgap.project.exchange.splits import write_split

            if format == "huggingface":
                made = write_data_set(p, out, share=val)
            else:
                made = write_split(p, out, share=val, link=link)
            tell_split(console, made, out)
            tell_gone(console, "label", labels_of_gone(p))
            return
        number = export(p, out, format, link=link)
        console.print(f"{counted(number, 'label')} → {_plain(out)}")
        tell_gone(console, "label", labels_of_gone(p))


@app.command()
def undo(
    image: str | None = typer.Argument(
        None, help="Path, name or SHA-256; without it the last answer."
    ),
    annotator: str | None = typer.Option(None, help="Whose answer. [default: anybody's]"),
    classes: bool = typer.Option(
        False, "--classes", help="The last change of classes, whatever was answered since."
    ),
    project: Path | None = PROJECT,
) -> None:
    """Take back an answer or a change of classes, whichever came last; what was there before
    returns, and the undo is kept too."""
    from labelgap.core.errors import LedgerError
    from labelgap.project.exchange.exchange import name_of
    from labelgap.project.keep.classes import class_change_is_last
    from labelgap.project.keep.store import Project

    with Project.open(project) as p:
        if classes or (image is None and annotator is None and class_change_is_last(p.ledger)):
            tell_classes_undone(_console(), p, p.undo_classes())
            return
        answered = {*p.ledger.labels, *p.ledger.skipped}
        item = None if image is None else p.item_of(image, answered)
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
                raise LedgerError(
                    "There is no answer to take back.", "`labelgap status` counts them."
                )
        assert event.id is not None
        label = p.ledger.labels.get(event.id)
        now = "no label" if label is None else name_of(label, p.classes)
        _console().print(f"{_plain(p.items.get(event.id).path)} has now: {_plain(now)}")
