"""One run of the benchmark loop: a folder that can be killed at any instant and continued.

Everything that is true of a run is in its ledger: queries, answers, and notes on what was fitted,
evaluated and scored. `result.json` and `queries.jsonl` are derived from it.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from labelgap.core.config import LoopSettings, RunConfig
from labelgap.core.device import Machine
from labelgap.core.files import write_atomically, write_text
from labelgap.core.streams import Streams
from labelgap.data import simulate
from labelgap.data.types import Task
from labelgap.learn.learner import Progress
from labelgap.loop import round0
from labelgap.loop.oracle import Oracle
from labelgap.methods.cross_entropy import SUPERVISED
from labelgap.session.claim import machine_facts, read_json, source, versions
from labelgap.session.presets import title_of
from labelgap.session.session import Session, ids_hash

SCHEMA = 1
RESULT = "result.json"
QUERIES = "queries.jsonl"
EMBEDDED = 1000
"""At most this many labelled and this many unlabelled features go into the embedding picture."""

Listener = Callable[[str, Mapping[str, Any]], None]


def default_folder(config: RunConfig) -> Path:
    """runs/<dataset>-<method>-s<seed>-<hash>."""
    data = Path(config.data.name).name
    name = f"{data}-{title_of(config)}-s{config.seed}-{config.identity()[:8]}"
    return Path("runs") / name


def simulated(config: RunConfig, task: Task) -> tuple[Task, Oracle]:
    """The task with what the configuration simulates, and the oracle that answers for it."""
    streams, data = Streams(config.seed), config.data
    if data.open_set > 0:
        task = simulate.open_set(task, data.open_set, streams.numpy("simulate/open set"))
    if data.redundancy > 0:
        task = simulate.redundancy(task, data.redundancy, streams.numpy("simulate/redundancy"))
    if data.imbalance > 1:
        task = simulate.imbalance(task, data.imbalance, streams.numpy("simulate/imbalance"))
    labels = task.train.labels
    if data.label_noise > 0:
        labels = simulate.label_noise(
            labels, task.num_classes, data.label_noise, streams.numpy("simulate/label noise")
        )
    return task, Oracle(task, labels)


def run(
    config: RunConfig,
    task: Task,
    folder: Path,
    machine: Machine,
    *,
    progress: Progress | None = None,
    listen: Listener | None = None,
    shared: Path | None = None,
) -> dict[str, Any]:
    """Run or continue the loop of a prepared folder; returns the content of result.json.

    Parameters
    ----------
    listen: told of events: ("round", entry), ("absent", {...}), for the terminal.
    shared: a folder of trained first rounds, which runs that differ in nothing before their
        first query take from each other (`labelgap.loop.round0`); None trains every one.
    """
    tell = listen or (lambda kind, facts: None)
    source()  # kept from here on: the files may be edited while the run computes

    task, oracle = simulated(config, task)
    if (folder / RESULT).exists():
        return read_json(folder / RESULT)
    with Session(task, config, folder=folder, machine=machine, progress=progress) as session:
        loop = config.loop
        if session.round < 0:
            if loop.initial_per_class is not None:
                order = session.streams.permutation("initial set", len(task.train))
                session.start_with(oracle.balanced(loop.initial_per_class, order))
            else:
                session.ask(loop.initial)
        _answer(session, oracle)
        while True:
            round, last = session.round, session.round >= loop.rounds
            if not _noted(session, "evaluated", round):
                _fit(session, last, shared)
                started = time.perf_counter()
                quality = session.evaluate()
                facts = quality.as_dict() | {"seconds": time.perf_counter() - started}
                session.ledger.note("evaluated", facts, round=round)
            tell("round", round_entry(session, round))
            if last:
                break
            if session.fitted_round != round and not _restored(session, round):
                _fit(session, last, shared)  # the cached weights are gone: train them again
            session.ask(loop.budget)
            _answer(session, oracle)
        result = make_result(session, task, machine)
        write_text(folder / QUERIES, queries_text(session))
        write_text(folder / RESULT, json.dumps(result, indent=1))
    return result


def _answer(session: Session, oracle: Oracle) -> None:
    waiting = session.ledger.outstanding()
    if waiting:
        session.tell(oracle.answer(session.ask(len(waiting))))


def _restored(session: Session, round: int) -> bool:
    return session.restore() and session.fitted_round == round


def _noted(session: Session, kind: str, round: int) -> dict[str, Any] | None:
    found = [e.data for e in session.ledger.notes(kind) if e.round == round]
    return dict(found[-1]) if found else None


def _fit(session: Session, last: bool, shared: Path | None = None) -> None:
    """Fit, keeping the features of the last round before and after alignment for the picture."""
    if _restored(session, session.round):
        return
    if not last:
        if shared is not None and session.round == 0:
            round0.fit(session, shared)
        else:
            session.fit()
        return
    session.fit(on_stage=lambda name, s: _keep_features(s, name))


def _keep_features(session: Session, stage: str) -> None:
    assert session.folder
    when = "before" if stage == SUPERVISED else "after"
    labelled, labels = session.labelled()
    rng = session.streams.numpy("embedding picture", session.round)
    shown = np.sort(rng.permutation(len(labelled))[:EMBEDDED])
    unlabelled = session.unlabelled_ids()
    others = np.sort(rng.choice(unlabelled, min(EMBEDDED, len(unlabelled)), replace=False))
    ids = np.concatenate([labelled[shown], others])
    out = session.learner.predict(session.training.network, ids, {"features", "logits"})
    arrays = {
        "features": out["features"].numpy(),
        "is_labelled": np.arange(len(ids)) < len(shown),
        "label": np.concatenate([labels[shown], np.full(len(others), -1)]),
        "pseudo_label": out["logits"].argmax(dim=1).numpy(),
    }
    path = session.folder / "cache" / f"embedding-{when}.npz"
    write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def round_entry(session: Session, round: int) -> dict[str, Any]:
    """What result.json says of one round, from the ledger's notes alone."""
    fitted = _noted(session, "fitted", round) or {}
    evaluated = _noted(session, "evaluated", round) or {}
    scored = _noted(session, "scored", round) or {}
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
            **{k: scored.get("seconds", {}).get(k, 0.0) for k in ("score", "select")},
            "evaluate": evaluated.get("seconds", 0.0),
        },
    }


def aubc(labels: list[int], accuracy: list[float]) -> float:
    """Area under the budget curve: trapezoids over labels, divided by the range of labels."""
    if len(labels) < 2:
        return accuracy[0]
    return float(np.trapezoid(accuracy, labels) / (labels[-1] - labels[0]))


def make_result(session: Session, task: Task, machine: Machine) -> dict[str, Any]:
    """The content of result.json."""
    config = session.config
    rounds = [round_entry(session, r) for r in range(session.round + 1)]
    asked = session.ledger.asked_ids()
    first = _noted(session, "fitted", 0) or {}
    initial = np.array([i.id for i in session.ledger.queries(0)], dtype=np.int64)
    return {
        "schema": SCHEMA,
        "dataset": config.data.name,
        "classes": list(task.classes),
        "method": config.method,
        "objective": config.objective_name,
        "acquisition": config.acquisition_name,
        "seed": config.seed,
        "preset": config.preset,
        "config": config.model_dump(mode="json"),
        "rounds": rounds,
        "aubc": aubc([r["labels"] for r in rounds], [r["accuracy"] for r in rounds]),
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
        right = ids_hash(session.pool_subset(free, round))
        found = (_noted(session, "scored", round) or {}).get("subset_sha256", right)
        used.append(ids_hash(session.pool_permutation(round)) if found == right else found)
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
