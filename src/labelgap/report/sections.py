"""The parts of a run's page, one function each: what `run.html` shows of them."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labelgap.data.types import Task
from labelgap.report import beside
from labelgap.report.command import command, leaves
from labelgap.report.curve import curve_figure, has_balanced
from labelgap.report.names import data_name, method_name
from labelgap.report.page import Bars, Cell, Meter, Picture, Table, picture
from labelgap.report.scatter import MOST_LOOKS, Panel, describe, embedding_figure
from labelgap.report.style import percent
from labelgap.session.presets import departing

Facts = dict[str, Any]
"""What a part of the template names."""
STAGES = ("train", "align", "score", "select", "evaluate")
MOST_ITEMS = 24
"""Items of the latest query that are shown; more would make a page of a megabyte."""
SIMULATED = {"imbalance": 1, "open_set": 0, "label_noise": 0, "redundancy": 0}
"""Changes to the data set, and the values that mean none."""
ONE_SEED = "One seed: another may save more or fewer."
_UNCHANGED = 0.05  # of a distance: about what other random directions would do to it
_SIDE_BY_SIDE = 14  # classes that fit beside the curve


def title(result: Mapping[str, Any]) -> str:
    """The page's title and first heading."""
    return f"{method_name(result)} on {data_name(result)}"


def headline(
    result: Mapping[str, Any], task: Task | None, random: Mapping[str, Any] | None = None
) -> Facts:
    """What was saved against Random, method, data, what was reached and what it cost."""
    rounds = result["rounds"]
    first, last = rounds[0], rounds[-1]
    said = f"{percent(last['accuracy'])} test accuracy with {last['labels']:,} labels"
    if len(rounds) > 1:
        said += f", from {percent(first['accuracy'])} with {first['labels']:,}"
    error = None
    if task is not None:
        a, n = last["accuracy"], len(task.test)
        error = f"± {100 * math.sqrt(a * (1 - a) / n):.1f} by the test set’s {n:,} items"
    shown: list[tuple[str, str, str | None]] = [("Accuracy", percent(last["accuracy"]), error)]
    if has_balanced(result):
        shown.append(("Balanced accuracy", percent(last["balanced_accuracy"]), "mean over classes"))
    shown.append(("Labels", f"{last['labels']:,}", f"{first['labels']:,} to begin with"))
    if len(rounds) > 1:
        shown.append(("AUBC", f"{result['aubc']:.3f}", "mean accuracy along the curve"))
    shown.append(("Time", duration(total_seconds(rounds)), f"{len(rounds)} trainings"))
    kind = ["labelgap run", f"preset {result['preset']}", f"seed {result['seed']}"]
    data = result["config"]["data"]
    # What was simulated on the data set makes it another problem: it belongs at the top.
    kind += [
        f"{name.replace('_', ' ')} {data[name]:g}"
        for name, nothing in SIMULATED.items()
        if data.get(name, nothing) != nothing
    ]
    saved = None if random is None else f"{beside.in_words(result, random)} {ONE_SEED}"
    return {"kind": " · ".join(kind), "saved": saved, "said": f"{said}.", "tiles": shown}


def warnings(result: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the figures: an audit that fails, what is not
    the paper's under its preset, absent classes."""
    found = []
    audit = result["audit"]
    if audit["claimed_labels"] != audit["distinct_labels"]:
        found.append(
            f"The configuration allows {audit['claimed_labels']:,} labels, but "
            f"{audit['distinct_labels']:,} distinct items were labelled: do not compare this run."
        )
    departures = departing({**result["config"], "preset": result["preset"]})
    if departures:
        found.append(departures)
    absent = result["rounds"][-1].get("absent_classes") or []
    if absent:
        names = ", ".join(_class(result, c) for c in absent)
        found.append(f"No item of these classes was ever labelled: {names}.")
    return found


def progress(result: Mapping[str, Any], random: Mapping[str, Any] | None = None) -> Facts:
    """The curve, Random's beside it, and what each class got and reached."""
    rounds = result["rounds"]
    alt = f"Test accuracy against labels: {_points(rounds)}."
    if random is not None:
        alt += f" Random: {_points(random['rounds'])}."
    curve = picture(
        lambda theme: curve_figure(result, theme, heading=False, random=random),
        alt,
        narrow=lambda theme: curve_figure(result, theme, heading=False, width=4.2, random=random),
    )
    number = len(result["classes"])
    return {
        "curve": curve,
        "classes": class_table(result),
        "beside": number <= _SIDE_BY_SIDE,
        "many": number > 2 * _SIDE_BY_SIDE,
    }


def _points(rounds: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{percent(r['accuracy'])} at {r['labels']:,}" for r in rounds)


def class_table(result: Mapping[str, Any]) -> Table:
    """Labels so far and accuracy in the last round, per class."""
    counts = np.sum([r["query_class_counts"] for r in result["rounds"]], axis=0)
    reached = result["rounds"][-1].get("per_class")
    most = max(1, int(counts.max()))
    rows: list[list[Cell]] = []
    for k, name in enumerate(result["classes"]):
        row: list[Cell] = [name, Meter(counts[k] / most, f"{int(counts[k]):,}")]
        if reached is not None:
            row.append(Meter(reached[k], percent(reached[k]), second=True))
        rows.append(row)
    headers = ["Class", "Labels"] + (["Accuracy"] if reached is not None else [])
    return Table("Labels and accuracy per class", headers, rows, text_columns=range(3))


def features(result: Mapping[str, Any], shown: Sequence[Panel]) -> Facts:
    """The embedding, a picture for each panel so that they stack on a phone."""
    marks = "filled marks are labelled, hollow ones unlabelled"
    if len(result["classes"]) <= MOST_LOOKS:
        marks = (
            "filled marks are labelled, in the colour and shape of their class; hollow ones "
            "unlabelled, in those of the class that the network predicts"
        )
    note = (
        f"t-SNE of the features of the last round: {marks}. The sliced Wasserstein distance is "
        "measured in all dimensions, in units of the features’ standard deviation; random splits "
        "of the same points show how far apart two equal sets of these sizes lie."
    )
    drawn = [_panel(result, panel) for panel in shown]
    return {"lead": gap_in_words(shown), "pictures": drawn, "note": note}


def _panel(result: Mapping[str, Any], panel: Panel) -> Picture:
    return picture(
        lambda theme: embedding_figure([panel], result, theme, heading=False),
        describe(panel),
        form="png",
    )


def gap_in_words(shown: Sequence[Panel]) -> str | None:
    """What happened to the gap, in one sentence."""
    excess = [p.gap - p.chance for p in shown if p.gap is not None and p.chance is not None]
    if len(excess) < 2 or len(shown) < 2:
        return None
    before, after = shown[0].gap, shown[-1].gap
    chance = max(p.chance for p in shown if p.chance is not None)
    if max(excess) < _UNCHANGED * chance:
        return (
            "What is labelled and what is not lie no further apart than random splits of them: "
            f"{before:.3f} before alignment, {after:.3f} after."
        )
    change = excess[-1] - excess[0]
    if abs(change) < _UNCHANGED * max(*excess, chance):
        verb = "hardly changed"
    else:
        verb = "narrowed" if change < 0 else "widened"
    return (
        f"Alignment {verb} the gap between what is labelled and what is not: "
        f"{before:.3f} before, {after:.3f} after."
    )


def rounds_table(result: Mapping[str, Any]) -> Table:
    """One line a round: labels, quality, seconds per stage, and the classes of its query."""
    entries = result["rounds"]
    # A stage that this method does not have gets no column.
    stages = [s for s in STAGES if any(_seconds(r, s) for r in entries)]
    most = max((max(r["query_class_counts"], default=0) for r in entries[1:]), default=0)
    most = most or max(entries[0]["query_class_counts"], default=0)
    balanced = has_balanced(result)
    rows: list[Sequence[Cell]] = []
    for r in entries:
        row: list[Cell] = [r["round"], f"{r['labels']:,}", percent(r["accuracy"])]
        if balanced:
            row.append(percent(r["balanced_accuracy"]))
        row.extend(seconds(_seconds(r, s)) for s in stages)
        row.append(seconds(sum(_seconds(r, s) for s in STAGES)))
        row.append(_class_bars(result, r, most))
        rows.append(row)
    headers = ["Round", "Labels", "Accuracy"] + (["Balanced"] if balanced else [])
    headers += [f"{s.capitalize()}, s" for s in stages] + ["Total, s", "Classes of the query"]
    per_stage: list[Cell] = [seconds(sum(_seconds(r, s) for r in entries)) for s in stages]
    totals: list[Cell] = ["All", *([""] * (3 if balanced else 2))]
    totals += [*per_stage, seconds(total_seconds(entries)), ""]
    return Table(
        "Rounds: labels, accuracy and seconds per stage",
        headers,
        rows,
        totals=totals,
        text_columns=(0, len(headers) - 1),
    )


def repeat(result: Mapping[str, Any]) -> Facts:
    """The command, the audit, the versions and the configuration."""
    audit = {name.replace("_", " "): _fact(value) for name, value in result["audit"].items()}
    versions = {name: _fact(value) for name, value in result["versions"].items()}
    if "source" in result:  # older runs did not record it
        versions["labelgap's code"] = result["source"]
    machine = {
        name: _fact(value)
        for name, value in leaves(_tree(result.get("machine")))
        if not name.startswith("versions.")
    }
    config = {key: _fact(value) for key, value in leaves(result["config"])}
    threads = _tree(result.get("machine")).get("threads")
    return {
        "command": command(result["config"], threads),
        "audit": audit,
        "versions": versions | machine,
        "config": config,
    }


def _tree(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    return value if isinstance(value, Mapping) else {"machine": value}


def _fact(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return json.dumps(value)


def _class(result: Mapping[str, Any], which: int | str) -> str:
    return which if isinstance(which, str) else str(result["classes"][which])


def _class_bars(result: Mapping[str, Any], entry: Mapping[str, Any], most: float | int) -> Bars:
    counts = entry["query_class_counts"]
    words = ", ".join(
        f"{name} {count}" for name, count in zip(result["classes"], counts, strict=True)
    )
    return Bars(counts, max(most, max(counts, default=0)), words)


def _seconds(entry: Mapping[str, Any], stage: str) -> float:
    return float(entry["seconds"].get(stage) or 0.0)


def total_seconds(entries: Sequence[Mapping[str, Any]]) -> float:
    """Seconds of all stages of all rounds."""
    return sum(_seconds(r, s) for r in entries for s in STAGES)


def seconds(value: float | int) -> str:
    """Seconds with as many digits as matter in a table; a dash for none."""
    if not value:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def duration(value: float | int) -> str:
    """Seconds as a person says them."""
    if value < 60:
        return f"{value:.0f}\u00a0s"
    if value < 3600:
        return f"{value // 60:.0f}\u00a0min {value % 60:.0f}\u00a0s"
    return f"{value // 3600:.0f}\u00a0h {value % 3600 / 60:.0f}\u00a0min"
