"""The latest query as a section of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labelgap.core.errors import DataError
from labelgap.data.types import Task
from labelgap.report.explain import GLOSSARY, explain, number
from labelgap.report.page import data_uri
from labelgap.report.sections import MOST_ITEMS, Facts
from labelgap.report.style import percent
from labelgap.report.thumbnail import thumbnail


def latest_query(
    result: Mapping[str, Any], queries: Sequence[Mapping[str, Any]], task: Task | None
) -> Facts | None:
    """Items of the last query with the reasons for which they were chosen."""
    last = max((q["round"] for q in queries), default=0)
    items = [q for q in queries if q["round"] == last]
    if last == 0:
        return None  # the initial set was drawn at random: there is no reason to show
    shown = items[:MOST_ITEMS]
    notes = dict(result["rounds"][-1].get("notes") or {})
    lead = f"Round {last} asked for {len(items):,} items"
    if len(shown) < len(items):
        lead += f"; the first {len(shown)} are shown"
    if "candidate_set" in notes and "candidate_share" in notes:
        lead += (
            f". They were chosen from a candidate set of {notes['candidate_set']:,}, "
            f"{percent(notes['candidate_share'], 0)} of the scored pool"
        )
    wrong = _surprises(items, task)
    if wrong is not None:
        lead += f". The network was wrong about {wrong[0]:,} of {wrong[1]:,}"
    terms = {name for q in shown for name in q.get("parts") or {}}
    meaning = " ".join(text for name, text in GLOSSARY.items() if name in terms)
    return {
        "lead": f"{lead}.",
        "items": [_item(result, q, task) for q in shown],
        "meaning": meaning,
    }


def _surprises(items: Sequence[Mapping[str, Any]], task: Task | None) -> tuple[int, int] | None:
    """(wrong, all) predictions about the items of a query, where both are known."""
    if task is None:
        return None
    known = [
        (q["pseudo_label"], int(task.train.labels[q["id"]]))
        for q in items
        if q.get("pseudo_label") is not None and 0 <= q["id"] < len(task.train)
    ]
    return (sum(a != b for a, b in known), len(known)) if known else None


def _item(result: Mapping[str, Any], query: Mapping[str, Any], task: Task | None) -> Facts:
    picture, truth = None, None
    if task is not None:
        if not 0 <= query["id"] < len(task.train):
            raise DataError(
                f"queries.jsonl names item {query['id']}, but {task.name!r} has "
                f"{len(task.train):,} training items.",
                "Give the data set that the run was made with.",
            )
        label = int(task.train.labels[query["id"]])
        truth = result["classes"][label] if label >= 0 else "none of the classes"
        if task.train.is_images:
            pixels = np.asarray(task.train.inputs[query["id"]])
            picture = {
                "address": data_uri(thumbnail(pixels)),
                "alt": f"Item {query['id']}" + (f", {truth}" if truth else ""),
                "small": max(pixels.shape[:2]) <= 64,
            }
    said, wrong = None, False
    guess = query.get("pseudo_label")
    if guess is not None:
        name = result["classes"][guess]
        wrong = truth is not None and name != truth
        said = "as predicted" if name == truth else f"predicted {name}"
    reasons = explain(query.get("parts") or {}, len(result["classes"]))
    facts = []
    if query.get("score") is not None:
        facts.append(f"score {number(query['score'])}")
    if truth is not None:
        facts.append(f"item {query['id']}")
    return {
        "picture": picture,
        "name": truth if truth is not None else f"Item {query['id']}",
        "guess": said,
        "wrong": wrong,
        "reasons": reasons[0].upper() + reasons[1:] if reasons else None,
        "facts": facts,
    }
