"""The classifier's prediction of every image, as a table."""

from pathlib import Path
from typing import TYPE_CHECKING

from labelgap.project.exchange.exchange import name_of
from labelgap.project.exchange.outputs import refuse_overwriting, table_format
from labelgap.project.images.tables import Row, write_table
from labelgap.project.keep.store import Project

if TYPE_CHECKING:  # torch is not needed to refuse
    from labelgap.project.asking.work import Work

COLUMNS = ("path", "sha256", "predicted", "probability", "label", "held_out")


def refuse_predictions(project: Project, out: Path) -> str:
    """The table's format, by its suffix; before anything is computed.

    Raises `UnknownName` for a suffix other than .csv, .jsonl, .parquet; `FolderError` for a place
    that holds a part of the project.
    """
    format = table_format(out)
    refuse_overwriting(project, out)
    return format


def write_predictions(work: "Work", out: Path, probabilities: bool = False) -> int:
    """Write path, sha256, predicted, probability, label (empty without one), held_out (whether
    the label was never trained on) of every item that has pixels; how many.

    Not of contents that are gone and whose path has others now.

    probabilities: a further column for each class, "p(name)".

    Raises what `refuse_predictions` does, and `LabelgapError` where nothing is trained.
    """
    project = work.project
    format = refuse_predictions(project, out)
    ids, p = work.predict()
    labels, held_out = project.ledger.labels, project.ledger.held_out
    of = dict(zip(ids.tolist(), p, strict=True))
    rows: list[Row] = []
    replaced = project.items.replaced()
    for item in project.items.all():
        if item.id not in of or item.id in replaced:
            continue
        values = of[item.id].tolist()
        k = int(of[item.id].argmax())
        row: Row = {
            "path": item.path,
            "sha256": item.sha256,
            "predicted": project.classes[k],
            "probability": round(values[k], 6),
            "label": name_of(labels[item.id], project.classes) if item.id in labels else None,
            "held_out": item.id in held_out,
        }
        if probabilities:
            named = zip(project.classes, values, strict=True)
            row.update({f"p({name})": round(v, 6) for name, v in named})
        rows.append(row)
    more = tuple(f"p({name})" for name in project.classes) if probabilities else ()
    write_table(out, rows, (*COLUMNS, *more), format)
    return len(rows)
