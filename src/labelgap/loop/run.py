"""One run of the benchmark loop: a folder that can be killed at any instant and continued.

Everything that is true of a run is in its ledger: queries, answers, and notes on what was fitted,
evaluated and scored. `result.json` and `queries.jsonl` are derived from it.
"""

import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from labelgap.axes.stage import Stage
from labelgap.axes.training import Training
from labelgap.core.config import DataSettings, RunConfig
from labelgap.core.device import Machine
from labelgap.core.errors import ConfigError
from labelgap.core.files import write_atomically, write_text
from labelgap.core.streams import Streams
from labelgap.core.types import Progress
from labelgap.data import simulate
from labelgap.data.types import Task
from labelgap.ledger.ledger import LEDGER, Ledger
from labelgap.loop import asking, round0
from labelgap.loop.oracle import Oracle
from labelgap.loop.result import QUERIES, RESULT, make_result, noted, queries_text, round_entry
from labelgap.session.claim import (
    DATA,
    as_begun,
    claim_task,
    other_data,
    prepare,
    read_json,
    source,
)
from labelgap.session.own_data import Opened, own_data
from labelgap.session.presets import title_of
from labelgap.session.session import Session

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
    data: Task | None = None,
    extend: bool = False,
) -> dict[str, Any]:
    """Run or continue the loop of a prepared folder; returns the content of result.json.

    Parameters
    ----------
    listen: told of events: ("round", entry), ("absent", {...}), for the terminal.
    shared: a folder of trained first rounds, which runs that differ in nothing before their
        first query take from each other (`labelgap.loop.round0`); None trains every one.
    data: the data as they were loaded, where `task` has features of them, in the folder's order
        (`labelgap.session.own_data`); what the folder is of. None: `task` itself.
    extend: the data grew; for those whose `task` is given as loaded.

    Raises `FolderError` for a folder of another configuration or of other data.
    """
    tell = listen or (lambda kind, facts: None)
    source()  # kept from here on: the files may be edited while the run computes

    # Whoever prepared the folder has told the warnings; this refuses another configuration's.
    prepare(folder, config, machine)
    config = as_begun(folder, config)
    task, oracle = _claimed(folder, config, task, data, extend)
    if (folder / RESULT).exists():
        return read_json(folder / RESULT)
    with (
        Ledger.open(folder / LEDGER) as ledger,
        Session(
            task, config, folder=folder, machine=machine, ledger=ledger, progress=progress
        ) as session,
    ):
        loop = config.loop
        if session.round < 0:
            if loop.initial_per_class is not None:
                order = session.streams.permutation("initial set", len(task.train))
                session.start_with(oracle.balanced(loop.initial_per_class, order))
            else:
                session.ask(loop.initial)
        asking.answer(session, oracle)
        asking.give_judge(session, oracle)
        asking.finish_round(session, oracle)
        while True:
            round, last = session.round, session.round >= loop.rounds
            if not noted(session, "evaluated", round):
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
            asking.ask_round(session, oracle)
        result = make_result(session, task, machine)
        write_text(folder / QUERIES, queries_text(session))
        write_text(folder / RESULT, json.dumps(result, indent=1))
    return result


def _claimed(
    folder: Path, config: RunConfig, task: Task, data: Task | None, extend: bool
) -> tuple[Task, Oracle]:
    """The task as it is simulated, and its oracle, where the folder is of these data."""
    if (folder / DATA).exists():  # first, since it can say what differs
        task = _own(folder, config, task, data, extend)
        made, oracle = simulated(config, task)
        claim_task(folder, made)
        return made, oracle
    made, oracle = simulated(config, task)
    if (folder / RESULT).exists():
        before = read_json(folder / RESULT)["audit"]["task_fingerprint"]
        if before != made.fingerprint:
            raise other_data(folder, made)
    claim_task(folder, made)
    _own(folder, config, task, data, extend)
    return made, oracle


def _own(folder: Path, config: RunConfig, task: Task, data: Task | None, extend: bool) -> Task:
    opened = data_of(folder, config, data or task, extend)
    for notice in opened.notices:
        warnings.warn(notice, stacklevel=4)
    return task if data is not None else opened.task


def data_of(folder: Path, config: RunConfig, data: Task, extend: bool) -> Opened:
    """A run's data as its folder knows them (`own_data`).

    Raises `ConfigError` for an extension of what is simulated: the draws of a larger pool are
    others, and ids behind the old ones are taken by near-duplicates.
    """
    if extend and simulates(config):
        raise ConfigError(
            "--extend: this run simulates its pool (imbalance, open set, label noise or "
            "redundancy), and a larger one would be drawn anew.",
            "Begin another folder.",
        )
    return own_data(folder, data, extend=extend)


def simulates(config: RunConfig) -> bool:
    """Whether the pool or the oracle is not what the data say."""
    plain = DataSettings(name=config.data.name, image_size=config.data.image_size)
    return config.data != plain


def _restored(session: Session, round: int) -> bool:
    return session.restore() and session.fitted_round == round


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
    session.fit(on_stage=lambda stage, training: _keep_features(session, stage, training))


def _keep_features(session: Session, stage: Stage, training: Training) -> None:
    assert session.folder
    when = "before" if stage.supervised else "after"
    labelled, labels = session.labelled()
    rng = session.streams.numpy("embedding picture", session.round)
    shown = np.sort(rng.permutation(len(labelled))[:EMBEDDED])
    unlabelled = session.unlabelled_ids()
    others = np.sort(rng.choice(unlabelled, min(EMBEDDED, len(unlabelled)), replace=False))
    ids = np.concatenate([labelled[shown], others])
    out = session.learner.predict(training.network, ids, {"features", "logits"})
    arrays = {
        "features": out["features"].numpy(),
        "is_labelled": np.arange(len(ids)) < len(shown),
        "label": np.concatenate([labels[shown], np.full(len(others), -1)]),
        "pseudo_label": out["logits"].argmax(dim=1).numpy(),
    }
    path = session.folder / "cache" / f"embedding-{when}.npz"
    write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **arrays))
