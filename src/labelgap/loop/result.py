"""The result of a run: `result.json` and `queries.jsonl`, made from the ledger."""

import json
from typing import Any

import numpy as np
from jaxtyping import Int64

from labelgap.core.area import area
from labelgap.core.config import LoopSettings
from labelgap.core.device import Machine
from labelgap.data.types import Task
from labelgap.learn.supervised import SUPERVISED
from labelgap.session.claim import machine_facts, source, versions
from labelgap.session.session import Session
from labelgap.session.weights import ids_hash

SCHEMA = 1
RESULT = "result.json"
QUERIES = "queries.jsonl"


def noted(session: Session, kind: str, round: int) -> dict[str, Any] | None:
    found = [e.data for e in session.ledger.notes(kind) if e.round == round]
    return dict(found[-1]) if found else None


def round_entry(session: Session, round: int) -> dict[str, Any]:
    """What result.json says of one round, from the ledger's notes alone."""
    fitted = noted(session, "fitted", round) or {}
    evaluated = noted(session, "evaluated", round) or {}
    scored = noted(session, "scored", round) or {}
    choosing = [e.data["seconds"] for e in session.ledger.notes("scored") if e.round == round]
    stages = fitted.get("seconds", {})
    labels = session.ledger.labels
    asked = [item.id for item in session.ledger.queries(round)]
    counts = np.bincount(
        [labels[i] for i in asked if labels.get(i, -1) >= 0], minlength=session.task.num_classes
    )
    so_far = [i for r in range(round + 1) for i in session.ledger.labelled_in_round(r)]
    seen = {labels[int(i)] for i in so_far}
    return {
        "round": round,
        "labels": len(so_far),
        "accuracy": evaluated.get("accuracy"),
        "balanced_accuracy": evaluated.get("balanced_accuracy"),
        "per_class": evaluated.get("per_class"),
        "absent_classes": [c for k, c in enumerate(session.task.classes) if k not in seen],
        "query_class_counts": counts.tolist(),
        "notes": scored.get("notes", {}),
        "seconds": {
            "train": stages.get(SUPERVISED, 0.0),
            "align": sum(v for k, v in stages.items() if k != SUPERVISED),
            **{k: sum(s[k] for s in choosing) for k in ("score", "select")},
            "evaluate": evaluated.get("seconds", 0.0),
        },
    }


def make_result(session: Session, task: Task, machine: Machine) -> dict[str, Any]:
    """The content of result.json."""
    config = session.config
    rounds = [round_entry(session, r) for r in range(session.round + 1)]
    asked = session.ledger.asked_ids()
    first = noted(session, "fitted", 0) or {}
    initial = np.array([i.id for i in session.ledger.queries(0)], dtype=np.int64)
    return {
        "schema": SCHEMA,
        "dataset": config.data.name,
        "classes": list(task.classes),
        "pool_class_counts": pool_counts(task),
        "method": config.method,
        "objective": config.objective_name,
        "acquisition": config.acquisition_name,
        "seed": config.seed,
        "preset": config.preset,
        "config": config.model_dump(mode="json"),
        "rounds": rounds,
        "aubc": area([r["labels"] for r in rounds], [r["accuracy"] for r in rounds]),
        "audit": {
            "claimed_labels": int(schedule(config.loop, task.num_classes)[-1]),
            "distinct_labels": len(np.unique(asked)),
            "task_fingerprint": task.fingerprint,
            "initial_set_sha256": ids_hash(initial),
            "pool_permutation_sha256": _offered(session),
            "initial_weights_sha256": first.get("initial_weights_sha256"),
            "round0_weights_sha256": first.get("weights_sha256"),
        },
        "machine": machine_facts(machine),
        "versions": versions(),
        "source": source(),
    }


def pool_counts(task: Task) -> list[int]:
    """Items of each class in the pool, for judging a benchmark afterwards; of an open-set pool
    without what belongs to none of the classes."""
    labels = task.train.labels[task.pool]
    counts = np.bincount(labels[labels >= 0], minlength=task.num_classes)
    return [int(count) for count in counts]


def schedule(loop: LoopSettings, num_classes: int) -> Int64[np.ndarray, " r"]:
    """Labels after each round, the initial set first, as the configuration claims them."""
    first = loop.initial
    if loop.initial_per_class is not None:
        first = loop.initial_per_class * num_classes
    return (first + loop.budget * np.arange(loop.rounds + 1)).astype(np.int64)


def _offered(session: Session) -> str:
    """Hash of the pool's permutations of all rounds, as far as the queries were offered by them.

    In place of a permutation that a round's candidates do not follow stands the hash of these
    candidates, so that such a run differs from all others of its seed.
    """
    used = []
    for round in range(1, session.config.loop.rounds + 1):
        asked = [i.id for r in range(round) for i in session.ledger.queries(r)]
        free = np.setdiff1d(session.task.pool, np.array(asked, dtype=np.int64))
        right = ids_hash(session.pool.subset_of(free, round))
        # Of a round that was asked in portions the first saw all candidates.
        notes = [e.data for e in session.ledger.notes("scored") if e.round == round]
        found = notes[0].get("subset_sha256", right) if notes else right
        used.append(ids_hash(session.pool.permutation(round)) if found == right else found)
    return ids_hash(np.frombuffer(bytes.fromhex("".join(used)), dtype="<i8").astype(np.int64))


def queries_text(session: Session) -> str:
    """queries.jsonl: one line an item, in the order asked; no times, so that runs compare."""
    lines = []
    for round in range(session.round + 1):
        for item in session.ledger.queries(round):
            line = {
                "id": item.id,
                "round": round,
                "score": item.score,
                "parts": dict(item.parts),
                "pseudo_label": item.pseudo_label,
            }
            lines.append(json.dumps(line, separators=(",", ":")) + "\n")
    return "".join(lines)
