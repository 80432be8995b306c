"""The classifier's prediction of every image, as a table."""

from pathlib import Path

from labelgap.errors import UnknownName
from labelgap.project.exchange import name_of
from labelgap.project.tables import Row, write_table
from labelgap.project.work import Work

COLUMNS = ("path", "id", "predicted", "probability", "label")


def write_predictions(work: Work, out: Path, probabilities: bool = False) -> int:
    """Write path, id, predicted, probability, label (empty without one) of every item that has
    pixels.

    probabilities: a further column for each class, "p(name)".

    Raises `UnknownName` for a suffix other than .csv, .jsonl, .parquet; `LabelgapError` where
    nothing is trained.
    """
    format = out.suffix.lower().lstrip(".")
    if format not in ("csv", "jsonl", "parquet"):
        raise UnknownName("format", format, ("csv", "jsonl", "parquet"), str(out))
    project = work.project
    ids, p = work.predict()
    labels = project.ledger.labels
    of = dict(zip(ids.tolist(), p, strict=True))
    rows: list[Row] = []
    for item in project.items.all():
        if item.id not in of:
            continue
        values = of[item.id].tolist()
        k = int(of[item.id].argmax())
        row: Row = {
            "path": item.path,
            "id": item.id,
            "predicted": project.classes[k],
            "probability": round(values[k], 6),
            "label": name_of(labels[item.id], project.classes) if item.id in labels else None,
        }
        if probabilities:
            named = zip(project.classes, values, strict=True)
            row.update({f"p({name})": round(v, 6) for name, v in named})
        rows.append(row)
    more = tuple(f"p({name})" for name in project.classes) if probabilities else ()
    write_table(out, rows, (*COLUMNS, *more), format)
    return len(ids)
