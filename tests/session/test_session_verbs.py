"""Fit, ask, tell, evaluate: what each of them does, notes, refuses and leaves alone."""

import hashlib
import inspect
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from labelgap.axes.stage import Stage
from labelgap.axes.training import Training
from labelgap.check.case import INITIAL, Case, tiny_task
from labelgap.core.config import NetworkSettings
from labelgap.core.device import Machine
from labelgap.core.errors import (
    BudgetError,
    ConfigError,
    DataError,
    FolderError,
    LabelgapError,
    LedgerError,
    PairError,
)
from labelgap.core.types import NONE_OF_THESE, Answer, Query
from labelgap.data.difference import difference
from labelgap.data.identity import Record, record_of
from labelgap.data.types import Augment, Split, Task
from labelgap.ledger import Ledger
from labelgap.loop.oracle import Oracle
from labelgap.methods import METHODS
from labelgap.networks.mlp import MLP
from labelgap.session import predicting
from labelgap.session.arguments import configuration, given_task, whole_budget
from labelgap.session.own_data import own_data, refusal
from labelgap.session.presets import resolve
from labelgap.session.session import Session
from labelgap.session.weights import (
    ids_hash,
    keep_only,
    load_weights,
    save_weights,
    weights_file,
    weights_hash,
)

PLACE = Machine(torch.device("cpu"), "float32")


def vectors(items: int = 60, test: int = 9) -> Task:
    """Points around three centres."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, items + test)
    x = (3 * np.eye(3, 5)[y] + rng.standard_normal((items + test, 5))).astype(np.float32)
    cut = (Split(x[:items], y[:items]), Split(x[items:], y[items:]))
    return Task.of("points", ("a", "b", "c"), *cut, Augment())


def session(task: Task | None = None, method: str = "random", **values: Any) -> Session:
    """On points, with a small network and few steps."""
    network = {"name": "mlp", "hidden": [8]} | values.pop("network", {})
    training = {"steps": 4, "batch_size": 8} | values.pop("training", {})
    values |= {"network": network, "training": training}
    return Session(vectors() if task is None else task, machine=PLACE, method=method, **values)


def answer(made: Session, n: int) -> Query:
    query = made.ask(n)
    made.tell({int(i): int(made.task.train.labels[i]) for i in query.ids})
    return query


def fitted(labels: int = 20, **values: Any) -> Session:
    made = session(**values)
    answer(made, labels)
    made.fit()
    return made


# ---------------------------------------------------------------------- begun


def test_a_session_begins_with_what_its_configuration_says(tmp_path: Path) -> None:
    with session(folder=tmp_path / "run", data={"open_set": 0.5}, seed=7) as made:
        assert made.ledger.path == (tmp_path / "run" / "ledger.sqlite").resolve()
        assert made.ledger.classes == {"num_classes": 3, "none_of_these": True}
        assert (made.round, made.next_round, made.fitted_round) == (-1, 0, -1)
        assert made.streams.seed == 7
        assert made.config.preset == made.learner.preset == "smoke"
    with pytest.raises(LedgerError, match="closed"):
        made.ledger.note("fit", {})
    with session(preset="cpu", loop={"pool_subset": 5}) as made:
        assert made.ledger.path is None
        assert made.ledger.classes == {"num_classes": 3, "none_of_these": False}
        assert made.config.preset == made.learner.preset == "cpu"
        assert made.pool.subset == 5
        assert len(made.candidate_ids(0)) == 5
        assert len(made.unlabelled_ids()) == 60


def test_a_ledger_that_is_given_is_used_as_it_is(tmp_path: Path) -> None:
    with Ledger.open() as ledger:
        ledger.set_classes(3, none_of_these=True)
        ledger.answer(4, -1)
        made = session(ledger=ledger, folder=tmp_path / "new", without=[5, 6])
        assert made.ledger is ledger
        assert made.pool.without == {5, 6}
        assert made.pool.rejected().tolist() == [4]
        assert not (tmp_path / "new").exists()
        assert ledger.seq == 2


def test_a_session_that_cannot_begin_lets_its_ledger_go(tmp_path: Path) -> None:
    folder, labels = tmp_path / "run", np.full(60, -1)
    task = vectors(test=0)
    bare = replace(task, classes=(), train=Split(task.train.inputs, labels))
    with pytest.raises(LedgerError, match="num_classes is 0"):
        session(task=bare, folder=folder)
    with Ledger.open(folder / "ledger.sqlite") as ledger:  # which nobody holds
        assert ledger.classes is None
        ledger.set_classes(2, names=["x", "y"])
    with session(task=bare, folder=folder) as made:  # classes that are set stay
        assert made.ledger.classes == {
            "num_classes": 2,
            "none_of_these": False,
            "names": ["x", "y"],
        }


def test_what_is_handed_over_is_a_task_and_a_whole_number() -> None:
    task = vectors()
    assert given_task(task) is task
    with pytest.raises(DataError, match="this is of type list") as caught:
        given_task([1])
    assert caught.value.cure == (
        "Make one: `labelgap.Task.from_arrays(x, y)`, `.from_dataset(…)` or `labelgap.load`."
    )
    found = [whole_budget(n) for n in (1, np.int64(2))]
    assert found == [1, 2]
    assert type(found[1]) is int
    for n in (0, True, False):
        with pytest.raises(BudgetError, match=f"{n} items asked for"):
            whole_budget(n)


def test_pairs_and_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(PairError, match="mc_logits"):
        session(method="mc-dropout", network={"dropout": 0.0})
    with pytest.raises(LabelgapError, match="'fixmatch' needs images; 'points' has vectors"):
        session(method="fixmatch")


def test_a_whole_configuration_stands_alone() -> None:
    config = resolve({"method": "margin", "network": {"name": "mlp"}})
    assert Session(vectors(), config).config is config
    said = r"a whole configuration and seed, preset besides"
    with pytest.raises(ConfigError, match=said):
        Session(vectors(), config, seed=1, preset="cpu")
    for precision in ("bfloat16", "float32"):
        made = Session(vectors(), config.model_copy(update={"precision": precision}))
        assert made.machine.precision == precision


def test_only_a_folder_of_ones_own_has_data_that_grow(tmp_path: Path) -> None:
    with Ledger.open() as ledger:
        for options in ({}, {"ledger": ledger, "folder": tmp_path}):
            with pytest.raises(ConfigError, match=r"extend=True is for a session's own folder"):
                session(extend=True, **options)


def test_a_tree_is_no_configuration() -> None:
    unchecked = inspect.unwrap(configuration)  # as people call it, without the suite's type checks
    with pytest.raises(ConfigError, match="The configuration is of type dict") as caught:
        unchecked({"method": "random"}, None, {})
    assert caught.value.cure.startswith("Give keywords (`method=")


def test_a_folder_is_opened_as_it_was_left(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with session(folder=folder) as made:
        answer(made, 20)
        made.fit()
        expected = made.predict(made.task.test.inputs)
        config = made.config
    calls: list[tuple[str, int, int]] = []
    with Session.open(
        folder, vectors(), machine=PLACE, progress=lambda *facts: calls.append(facts)
    ) as again:
        assert again.config == config
        assert again.machine is PLACE
        assert again.fitted_round == again.round == again.training.round == 0
        assert np.array_equal(again.predict(again.task.test.inputs), expected)
        assert calls == [("predict", 9, 9)]
    with pytest.raises(FolderError, match="is no run of labelgap"):
        Session.open(tmp_path, vectors())
    facts = json.loads((folder / "config.json").read_text())
    facts["machine"]["threads"] = 99
    (folder / "config.json").write_text(json.dumps(facts))
    with pytest.warns(UserWarning, match="begun with threads 99"):
        Session.open(folder, vectors(), machine=PLACE).close()


def test_a_network_of_ones_own_is_built_in_the_rounds_weights(tmp_path: Path) -> None:
    def build() -> MLP:
        return MLP(5, 3, hidden=(4,))

    folder = tmp_path / "run"
    with session(folder=folder, build=build) as made:
        answer(made, 20)
        made.fit()
        first = made.new_training(0).network
        assert weights_hash(first) == weights_hash(made.new_training(0).network)
        assert weights_hash(first) != weights_hash(made.new_training(1).network)
        assert first.feature_dim == 4
        expected = weights_hash(made.training.network)
    with Session.open(folder, vectors(), machine=PLACE, build=build) as again:
        assert weights_hash(again.training.network) == expected


# ---------------------------------------------------------------------- ask


def test_outstanding_items_come_first_and_new_ones_behind_them() -> None:
    made = session()
    first = made.ask(4)
    assert made.ask(4).ids.tolist() == first.ids.tolist()
    assert made.ask(2).ids.tolist() == first.ids[:2].tolist()
    assert made.ledger.round == 0
    more = made.ask(6)
    assert more.ids[:4].tolist() == first.ids.tolist()
    assert len(set(more.ids.tolist())) == 6
    assert made.ledger.outstanding_ids().tolist() == more.ids.tolist()
    order = made.streams.numpy("initial set").permutation(60)
    assert more.ids.tolist() == order[:6].tolist()
    made.tell({int(i): 0 for i in more.ids[1:]})
    assert made.next_round == 0
    made.ledger.skip(int(more.ids[0]))
    assert made.next_round == 1


def test_without_a_label_there_is_no_network_to_ask() -> None:
    made = session(method="margin")
    first = made.ask(5)
    for id in first.ids.tolist():
        made.ledger.skip(id)
    again = made.ask(5)  # nothing was learned: uniform again, in a round of its own
    assert made.round == 1
    assert not set(again.ids.tolist()) & set(first.ids.tolist())
    for id in again.ids.tolist():
        made.ledger.skip(id)
    with pytest.raises(LabelgapError, match="no trained network"):
        made.ask(5)


def test_more_than_there_is_cannot_be_asked_for() -> None:
    made = session(task=replace(vectors(), pool=np.arange(30, dtype=np.int64)))
    made.ask(20)
    said = "15 items asked for in round 0, 10 candidates left of 30 in the pool"
    with pytest.raises(BudgetError, match=said):
        made.ask(35)
    assert len(made.ask(30)) == 30


def test_a_given_initial_set_is_asked_in_its_order() -> None:
    made = session()
    query = made.start_with(np.array([9, 2, 5], dtype=np.int64))
    assert query.ids.tolist() == [9, 2, 5]
    assert [(i.id, i.round, i.rank) for i in made.ledger.queries(0)] == [
        (9, 0, 1), (2, 0, 2), (5, 0, 3),
    ]  # fmt: skip


def test_what_a_query_cost_and_saw_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = fitted(method="margin", loop={"pool_subset": 25})
    clock = iter([10.0, 12.5, 13.25])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    query = made.choose(3, 1)
    monkeypatch.undo()
    assert not made.ledger.queries(1)  # chosen, not asked
    (note,) = made.ledger.notes("scored")
    assert note.round == 1
    assert note.data == {
        "seconds": {"score": 2.5, "select": 0.75},
        "notes": dict(query.notes),
        "candidates": 25,
        "subset_sha256": ids_hash(made.candidate_ids(1)),
    }
    assert made.ledger.notes("memory") == []


def test_a_view_knows_what_comes_later_and_who_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = fitted(), []

    def select(view: Any, n: int) -> Query:
        seen.append((view.round, n, view.later, view.judge))
        return Query(view.candidate_ids[:n])

    def judge(ids: Any) -> float:
        return 0.5

    monkeypatch.setattr(made.acquisition, "select", select)
    made.choose(2, 1)
    made.ask(3)
    made.judge = judge
    made.ask(5, later=4)
    made.choose(1, 2, later=7)
    assert seen == [(1, 2, 0, None), (1, 3, 0, None), (1, 2, 4, judge), (2, 1, 7, judge)]


def test_ids_of_no_item_are_told_refused_and_set_aside() -> None:
    with Ledger.open() as ledger:
        ledger.set_classes(3)
        ledger.answers({1: 0, 2: 1, 60: 2, 99: 0})
        ledger.hold_out([77])
        said = (
            "The ledger  has 3 ids of no item of 'points', whose 60 items have the ids 0 to 59: "
            "60, 77, 99."
        )
        with pytest.warns(UserWarning, match=said):
            made = session(ledger=ledger)
        assert made.pool.strange() is not None
        for use in (made.fit, lambda: made.ask(2), made.labelled):
            with pytest.raises(LedgerError, match=said) as caught:
                use()
            assert caught.value.cure.startswith("If this is the right data, `session.set_aside_")
        assert made.set_aside_unknown() == [60, 77, 99]
        assert list(ledger.events())[-1].data == {"reason": "no item of points has this id"}
        assert made.pool.strange() is None
        assert made.labelled()[0].tolist() == [1, 2]
        assert made.set_aside_unknown() == []
        made.fit()
        ledger.answer(88, 1)  # by another program
        with pytest.raises(LedgerError, match="has 1 id of no item"):
            made.evaluate()


def test_a_given_initial_set_is_of_the_pool() -> None:
    made = session(task=replace(vectors(), pool=np.arange(30, dtype=np.int64)))
    with pytest.raises(LedgerError, match="1 id that is not in the pool of 30 items: 31"):
        made.start_with(np.array([2, 31], dtype=np.int64))
    assert made.round == -1
    assert made.start_with(np.array([2, 29], dtype=np.int64)).ids.tolist() == [2, 29]


def test_a_folder_takes_data_that_grew_where_that_is_said(tmp_path: Path) -> None:
    folder, small = tmp_path / "run", vectors()
    few = replace(small, train=small.train.subset(np.arange(40)), pool=np.arange(40))
    few = Task.of("points", few.classes, few.train, few.test, Augment())
    with session(task=few, folder=folder) as made:
        answer(made, 20)
    with pytest.raises(FolderError, match="20 training rows added") as caught:
        Session.open(folder, small, machine=PLACE)
    assert caught.value.cure.startswith("`--extend` of `labelgap run`, or ")
    with pytest.raises(FolderError):
        own_data(folder, small)
    assert str(other_rows(folder, small, few)) == "Choose another folder, or give the data"
    with pytest.warns(UserWarning, match="20 rows added behind the 40 of the folder"):
        again = Session.open(folder, small, machine=PLACE, extend=True)
    with again:
        assert len(again.task.train) == 60
        assert len(again.labelled()[0]) == 20
    assert (folder / "config.json").read_text().startswith('{\n "config"')


def other_rows(folder: Path, task: Task, before: Task) -> str:
    """How the cure begins for who cannot make the data grow."""
    found = difference(record_of(before), record_of(task))
    assert found.only_grew
    return refusal(folder, task, found, grow=False).cure[:39]


def test_data_of_a_folder_that_was_not_begun_are_recorded_anew(tmp_path: Path) -> None:
    folder, task = tmp_path / "run", vectors()
    folder.mkdir()
    for given in (task, vectors(50), task):
        opened = own_data(folder, given)
        assert (opened.task, opened.notices) == (given, ())
        assert Record.load(folder / "data.npz").fingerprint == given.fingerprint
    (folder / "data.npz").unlink()
    (folder / "ledger.sqlite").touch()
    (notice,) = own_data(folder, task).notices
    assert notice.startswith("This folder is of a version that kept no record of its data")


def test_what_a_query_wants_to_remember_is_noted_row_by_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = fitted()

    def select(view: Any, n: int) -> Query:
        ids = view.candidate_ids[:n]
        scores = np.arange(2.0 * n).reshape(n, 2)
        return Query(ids, notes={"share": 0.5}, memory={"scores": scores})

    monkeypatch.setattr(made.acquisition, "select", select)
    query = made.choose(3, 4)
    (note,) = made.ledger.notes("memory")
    assert note.round == 4
    assert note.data == {"ids": query.ids.tolist(), "scores": [[0, 1], [2, 3], [4, 5]]}
    assert made.ledger.notes("scored")[-1].data["notes"] == {"share": 0.5}
    monkeypatch.setattr(made.acquisition, "select", lambda view, n: Query(view.labelled_ids[:n]))
    with pytest.raises(LabelgapError, match="Acquisition 'random' returned 3 ids"):
        made.choose(3, 5)


# ---------------------------------------------------------------------- fit


def test_a_fit_is_noted_with_all_that_it_was_of(tmp_path: Path) -> None:
    made = session(folder=tmp_path / "run")
    answer(made, 20)
    ended: list[tuple[str, int]] = []

    def on_stage(stage: Stage, training: Training) -> None:
        ended.append((stage.name, len(training.labelled_ids)))

    seconds = made.fit(on_stage)
    assert ended == [("supervised", 20)]
    (note,) = made.ledger.notes("fitted")
    assert note.round == 0
    assert note.data == {
        "seconds": seconds,
        "labels": 20,
        "initial_weights_sha256": weights_hash(made.new_training(0).network),
        "weights_sha256": weights_hash(made.training.network),
    }
    assert set(seconds) == {"supervised"}
    assert weights_file(tmp_path / "run", 0).exists()
    answer(made, 5)
    made.fit()
    assert made.fitted_round == 1
    left = {f.name for f in (tmp_path / "run").iterdir()} - {
        "ledger.sqlite-wal", "ledger.sqlite-shm",
    }  # fmt: skip
    assert left == {
        "config.json", "data.npz", "ledger.sqlite", "ledger.sqlite.lock", "weights-1.safetensors",
    }  # fmt: skip
    made.close()


def test_progress_is_told_step_by_step() -> None:
    calls: list[tuple[str, int, int]] = []
    made = session(progress=lambda *facts: calls.append(facts))
    answer(made, 20)
    made.fit()
    assert calls == [("supervised", step, 4) for step in (1, 2, 3, 4)]
    calls.clear()
    made.evaluate()
    assert calls == [("predict", 9, 9)]


def test_nothing_to_train_on_is_said() -> None:
    made = session()
    with pytest.raises(BudgetError, match="no item has a label"):
        made.fit()
    with pytest.raises(LabelgapError, match="no trained network yet"):
        _ = made.training
    assert not made.trained.is_there


def test_a_training_knows_its_round_labels_and_what_is_unlabelled() -> None:
    made = session(loop={"pool_subset": 5})
    answer(made, 5)
    training = made.new_training(3)
    assert training.round == 3
    ids, labels = made.labelled()
    assert training.labelled_ids.tolist() == ids.tolist()
    assert training.labels.tolist() == labels.tolist()
    assert training.unlabelled_ids.tolist() == made.unlabelled_ids().tolist()
    assert len(training.unlabelled_ids) == 55


def test_what_a_continued_training_needs_is_named(tmp_path: Path) -> None:
    folder, start = tmp_path / "run", {"start": "continue"}
    with session(folder=folder, training=start) as made:
        answer(made, 20)
        made.fit()
    weights_file(folder, 0).unlink()
    said = rf"weights of round 0, from which it would start, are not in {re.escape(str(folder))}\."
    with session(folder=folder, training=start) as again, pytest.raises(LabelgapError, match=said):
        again.fit()
    with Ledger.open() as ledger:
        made = session(ledger=ledger, training=start)
        answer(made, 20)
        made.fit()
        again = session(ledger=ledger, training=start)
        with pytest.raises(LabelgapError, match=r"round 0, .* were in memory and are gone\."):
            again.fit()


def test_a_continued_training_starts_where_the_last_one_ended() -> None:
    made = fitted(training={"start": "continue"})
    answer(made, 5)
    made.fit()
    first, second = (note.data for note in made.ledger.notes("fitted"))
    assert second["initial_weights_sha256"] == first["weights_sha256"]
    assert second["initial_weights_sha256"] != second["weights_sha256"]
    assert made.fitted_round == 1


@pytest.mark.parametrize("start", ["scratch", "continue"])
def test_a_trial_is_a_rounds_training_that_leaves_no_trace(start: str) -> None:
    made = fitted(training={"start": start})
    before, seq = weights_hash(made.training.network), made.ledger.seq
    extra = made.unlabelled_ids()[:3]
    ids = np.sort(np.concatenate([made.labelled()[0], extra]))
    labels = made.task.train.labels[ids]
    found = made.trained.trial(ids, labels, 2)
    network = made.learner.new_network(made.trained.build, 2)
    if start == "continue":
        network.load_state_dict(made.training.network.state_dict())
    rest = np.setdiff1d(made.unlabelled_ids(), extra)
    by_hand = made.learner.training(network, made.objective, ids, labels, rest, 2)
    made.learner.fit(by_hand, made.objective)
    assert weights_hash(found.network) == weights_hash(network)
    assert found.labelled_ids.tolist() == ids.tolist()
    assert found.unlabelled_ids.tolist() == rest.tolist()
    assert made.ledger.seq == seq
    assert made.fitted_round == 0
    assert weights_hash(made.training.network) == before


def test_weights_are_restored_of_the_latest_fit_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with session(folder=folder) as made:
        assert not made.restore()
        answer(made, 20)
        made.fit()
        answer(made, 5)
    with session(folder=folder) as again:
        assert again.restore()
        assert (again.fitted_round, again.round) == (0, 1)
        assert not again.training.network.training
        assert len(again.training.labelled_ids) == 25  # what is known by now
        assert again.training.round == 1
        again.fit()
    with session(folder=folder) as again:
        assert again.restore()
        assert again.fitted_round == 1
    weights_file(folder, 1).unlink()
    with session(folder=folder) as again:
        assert not again.restore()
        assert not again.trained.is_there
    assert not fitted().restore()  # there is no folder


class Stopped(Exception):
    """Ctrl-C."""


def test_older_weights_do_not_stand_in_for_a_training_that_was_interrupted(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with session(method="margin", folder=folder) as made:
        answer(made, 20)
        made.fit()
        answer(made, 5)

    def stop(stage: str, step: int, of: int) -> None:
        raise Stopped

    with session(method="margin", folder=folder, progress=stop) as again:
        with pytest.raises(Stopped):
            again.fit()
        assert again.fitted_round == -1
        with pytest.raises(LabelgapError, match="The training of round 1 was interrupted"):
            again.choose(3, 2)
        assert weights_file(folder, 0).exists()


def test_a_clock_is_read_when_the_device_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(Machine, "synchronise", lambda self: seen.append("done"))
    made = fitted()
    assert seen == ["done"]  # once a stage
    clock = time.perf_counter
    monkeypatch.setattr(time, "perf_counter", lambda: seen.append("clock") or clock())
    made.choose(3, 1)
    assert seen == ["done", "clock", "done", "clock", "clock"]


# ---------------------------------------------------------------------- tell, evaluate, predict


def test_answers_are_told_in_either_form() -> None:
    made = session(data={"open_set": 0.5})
    made.start_with(np.array([1, 2, 3, 4], dtype=np.int64))
    made.tell({1: 2, 2: 0})
    made.tell([Answer(3, None, "unsure", "anna", "r3"), Answer(4, NONE_OF_THESE)])
    assert made.ledger.labels == {1: 2, 2: 0, 4: -1}
    assert made.ledger.skipped == {3: "unsure"}
    (event,) = made.ledger.history(id=3)
    assert (event.person, event.request) == ("anna", "r3")

    class Table(list[Any]):
        iloc = None

    with pytest.raises(DataError, match="A Table was told: it is not clear which item") as caught:
        made.tell(Table([(1, 2)]))
    assert caught.value.cure.startswith("Give `tell({id: label})`, ")

    class Row:
        item = "a method of tables, and not a number's"

    with pytest.raises(DataError, match=r"The id .*Row object.* is no whole number"):
        made.tell([(Row(), 1)])


def test_without_test_images_the_held_out_labels_are_the_test() -> None:
    made = fitted(task=vectors(test=0))
    with pytest.raises(LabelgapError, match="no test images and no held-out labels"):
        made.evaluate()
    held = [int(i) for i in made.unlabelled_ids()[[7, 3, 5, 20]]]
    made.ledger.hold_out(held)
    truth = {held[0]: 0, held[1]: 1, held[2]: 2}
    made.tell(truth, allow_unasked=True)
    ids = np.array(sorted(truth), dtype=np.int64)
    out = made.learner.predict(made.training.network, ids, {"logits"})["logits"].argmax(dim=1)
    right = [int(y) == truth[int(i)] for i, y in zip(ids, out, strict=True)]
    assert made.evaluate().accuracy == pytest.approx(np.mean(right))


def test_evaluation_counts_the_test_images_and_leaves_the_network_alone() -> None:
    task = vectors(test=50)
    # Trained long enough that other rows get other answers; with labels that few of them share.
    turned = Split(task.test.inputs, (task.test.labels + 1) % 3)
    made = fitted(task=replace(task, test=turned), training={"steps": 80})
    before = weights_hash(made.training.network)
    p = made.predict(turned.inputs)
    found = made.evaluate()
    right = p.argmax(axis=1) == turned.labels
    assert found.accuracy == right.mean()
    assert found.per_class == tuple(right[turned.labels == k].mean() for k in range(3))
    on_train = made.predict(task.train.inputs[:50]).argmax(axis=1) == turned.labels
    assert right.tolist() != on_train.tolist()
    assert right.mean() != on_train.mean()
    assert weights_hash(made.training.network) == before
    assert p.dtype == np.float32
    assert np.allclose(p.sum(axis=1), 1.0, atol=1e-6)


def test_images_go_through_the_frozen_backbone_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made, images = fitted(), np.zeros((4, 9, 9, 3), np.uint8)
    network, seen = made.training.network, []
    features = made.task.test.inputs[:4]

    def features_of(*given: Any, **options: Any) -> Any:
        seen.append((given, options))
        return features

    monkeypatch.setattr(predicting, "features_of", features_of)
    told: list[Any] = []

    def progress(*facts: Any) -> None:
        told.append(facts)

    def ask(inputs: Any, name: str, freeze: bool) -> Any:
        settings = NetworkSettings(name=name, freeze=freeze)
        return predicting.probabilities(inputs, network, made.learner, settings, progress)

    found = ask(images, "timm:mine", True)
    ((given, options),) = seen
    assert given[0] is images
    assert given[1:] == (NetworkSettings(name="timm:mine", freeze=True), PLACE)
    assert options == {"progress": progress}
    assert told == [("predict", 4, 4)]
    assert np.array_equal(found, made.predict(features))
    assert np.array_equal(ask(features, "timm:mine", True), found)  # features are taken as such
    said = r"The inputs are uint8 \[4, 9, 9, 3\].*items of 'points' have the shape \[5\]"
    for name, freeze in (("timm:mine", False), ("embedding", True)):
        with pytest.raises(DataError, match=said) as caught:
            ask(images, name, freeze)
        assert caught.value.cure == "Give float32 [n, 5]."
    assert len(seen) == 1
    with pytest.raises(DataError, match=r"^The inputs "):
        ask(np.zeros((3, 4, 4), np.uint8), "mlp", False)
    nothing = ask(features[:0], "mlp", False)
    assert nothing.shape == (0, 3)
    assert nothing.dtype == np.float32


# ---------------------------------------------------------------------- weights


def test_a_hash_of_weights_is_of_names_and_bytes_in_the_order_of_names() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))  # with a count, a scalar of int64
    text = b"".join(
        name.encode() + value.numpy().tobytes()
        for name, value in sorted(module.state_dict().items())
    )
    assert weights_hash(module) == hashlib.sha256(text).hexdigest()
    turned = nn.Linear(2, 3, bias=False)
    turned.weight.data = torch.arange(6.0).reshape(2, 3).T  # not in the order of its memory
    plain = nn.Linear(2, 3, bias=False)
    plain.weight.data = turned.weight.data.contiguous()
    assert weights_hash(turned) == weights_hash(plain)


def test_a_hash_of_ids_is_of_their_numbers_in_their_order() -> None:
    ids = np.array([3, 1, 2], dtype=np.int64)
    assert ids_hash(ids) == hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest()
    assert ids_hash(ids.astype(">i8")) == ids_hash(ids)  # whatever the machine's order of bytes
    assert ids_hash(np.arange(6, dtype=np.int64)[::2]) == ids_hash(np.array([0, 2, 4]))


def test_weights_are_kept_by_player_and_come_back_in_evaluation_mode(tmp_path: Path) -> None:
    made = Case(METHODS["daal"]).fitted()
    training = made.training
    save_weights(tmp_path, 3, training)
    file = tmp_path / "weights-3.safetensors"
    assert weights_file(tmp_path, 3) == file
    players = {"network": training.network, **training.modules}
    with safe_open(file, "pt") as opened:  # type: ignore[no-untyped-call]
        assert opened.metadata() == {"round": "3"}
        assert set(opened.keys()) == {
            f"{p}/{k}" for p, m in players.items() for k in m.state_dict()
        }
    other = made.new_training(1)
    other.network.train()
    assert load_weights(file, other, weights_hash(training.network))
    for name, module in {"network": other.network, **other.modules}.items():
        assert weights_hash(module) == weights_hash(players[name])
        assert not any(part.training for part in module.modules())
    with pytest.warns(UserWarning, match=r"anew: they are not those that the last fit noted\."):
        assert not load_weights(file, made.new_training(1), "0" * 64)
    file.write_bytes(b"damaged")
    with pytest.warns(UserWarning, match=r"weights-3\.safetensors are not used.*[^.]\.$"):
        assert not load_weights(file, made.new_training(1), weights_hash(training.network))


def test_only_the_last_rounds_weights_are_kept(tmp_path: Path) -> None:
    for name in ("weights-1.safetensors", "weights-12.safetensors", "weights-2.safetensors",
                 "checkpoint.pt", "result.json", "weights.txt"):  # fmt: skip
        (tmp_path / name).touch()
    for _ in range(2):  # also where there is nothing to remove
        keep_only(tmp_path, 2)
        assert {f.name for f in tmp_path.iterdir()} == {
            "weights-2.safetensors", "result.json", "weights.txt",
        }  # fmt: skip


def test_a_task_of_images_is_asked_as_one_of_vectors() -> None:
    made = Case(METHODS["margin"]).fitted(tiny_task())
    query = made.ask(7)
    assert made.round == 1
    assert [note.round for note in made.ledger.notes("scored")] == [1]  # chosen, not drawn
    assert len(np.unique(query.ids)) == 7
    assert [item.rank for item in made.ledger.queries(1)] == list(range(1, 8))
    made.tell(Oracle(made.task).answer(query))
    assert len(made.labelled()[0]) == INITIAL + 7
