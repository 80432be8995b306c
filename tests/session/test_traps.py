"""Ways in which a session once gave a wrong result without a word."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgap.check.case import INITIAL, Case
from labelgap.core.config import RunConfig
from labelgap.core.errors import BudgetError, ConfigError, LabelgapError, LedgerError
from labelgap.core.types import Answer
from labelgap.loop.oracle import Oracle
from labelgap.methods import METHODS
from labelgap.session.arguments import whole_budget
from labelgap.session.presets import pair_of, resolve
from labelgap.session.session import Session
from labelgap.session.weights import weights_file, weights_hash


class Stopped(Exception):
    """Ctrl-C, a full disk, a kernel that gives up."""


def labelled(folder: Path | None = None, **values: Any) -> Session:
    session = Case(METHODS["random"]).session(folder=folder, **values)
    session.tell(Oracle(session.task).answer(session.ask(INITIAL)))
    return session


def stop_after(steps: int) -> Callable[[str, int, int], None]:
    def stop(stage: str, step: int, of: int) -> None:
        if step == steps:
            raise Stopped

    return stop


def interrupted(folder: Path | None = None) -> Session:
    """A session with one whole training, and a second one stopped half way."""
    session = labelled(folder)
    session.fit()
    session.tell(Oracle(session.task).answer(session.ask(5)))
    session.progress = stop_after(2)
    with pytest.raises(Stopped):
        session.fit()
    session.progress = None
    return session


def test_a_method_that_is_not_its_pair_cannot_be_configured() -> None:
    with pytest.raises(ConfigError, match=r"cross-entropy × random.*daal × daal"):
        RunConfig(method="random")
    with pytest.raises(ConfigError, match="margin"):
        RunConfig(method="margin", objective_name="cross-entropy", acquisition_name="entropy")
    assert RunConfig(method=None, objective_name="daal", acquisition_name="random").method is None
    for name in METHODS:
        assert resolve({"method": name}).method == name


def test_a_users_method_that_is_not_its_pair_is_refused_when_it_is_made() -> None:
    own = replace(METHODS["random"], name="mine")
    METHODS["mine"] = own
    try:
        config = resolve({"method": "random"}).model_copy(update={"method": "mine"})
        pair_of(config)
        with pytest.raises(ConfigError, match="mine"):
            pair_of(config.model_copy(update={"acquisition_name": "margin"}))
    finally:
        del METHODS["mine"]


def test_keywords_beside_a_configuration_are_refused() -> None:
    task, config = Case(METHODS["random"]).session().task, resolve({"method": "random"})
    for keywords in ({"seed": 7}, {"nonsense": 3}, {"preset": "cpu"}):
        with pytest.raises(ConfigError, match=next(iter(keywords))):
            Session(task, config, **keywords)  # type: ignore[arg-type]


def test_a_folder_is_not_opened_with_another_seed(tmp_path: Path) -> None:
    session = labelled(tmp_path / "run")
    session.close()
    with pytest.raises(TypeError, match="seed"):
        Session.open(tmp_path / "run", session.task, seed=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("kept", [False, True])
def test_a_half_trained_network_answers_nothing(kept: bool, tmp_path: Path) -> None:
    session = interrupted(tmp_path / "run" if kept else None)
    for use in (lambda: session.ask(3), session.evaluate, lambda: session.training):
        with pytest.raises(LabelgapError, match=r"interrupted.*fit\(\)"):
            use()
    session.fit()
    assert len(session.ask(3)) == 3
    assert 0 <= session.evaluate().accuracy <= 1


def test_a_continued_training_starts_from_the_last_whole_one() -> None:
    session = labelled(training={"start": "continue"})
    session.fit()
    last = weights_hash(session.training.network)
    session.tell(Oracle(session.task).answer(session.ask(5)))
    session.progress = stop_after(2)
    with pytest.raises(Stopped):
        session.fit()
    assert weights_hash(session.new_training(1).network) == last


def test_a_continued_training_refuses_to_begin_from_scratch(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    session = labelled(folder, training={"start": "continue"})
    session.fit()
    last = weights_hash(session.training.network)
    session.tell(Oracle(session.task).answer(session.ask(5)))
    task, config = session.task, session.config
    session.close()
    with Session(task, config, folder=folder, machine=session.machine) as again:
        assert weights_hash(again.new_training(1).network) == last
    weights_file(folder, 0).unlink()
    with (
        Session(task, config, folder=folder, machine=session.machine) as bare,
        pytest.raises(LabelgapError, match=r"round 0.*start=scratch"),
    ):
        bare.fit()


def test_answers_are_stored_all_or_none() -> None:
    session = Case(METHODS["random"]).session()
    ids = session.ask(3).ids.tolist()
    wrong = [Answer(ids[0], 0), Answer(ids[1], None, "unsure"), Answer(ids[2], 99)]
    with pytest.raises(LedgerError, match="99"):
        session.tell(wrong)
    assert not session.ledger.labels
    assert not session.ledger.skipped
    session.tell([*wrong[:2], Answer(ids[2], 1)])
    assert session.ledger.labels == {ids[0]: 0, ids[2]: 1}
    assert session.ledger.skipped == {ids[1]: "unsure"}


@pytest.mark.parametrize("n", [0, -3])
def test_a_query_of_nothing_is_refused(n: int) -> None:
    session = Case(METHODS["random"]).session()
    with pytest.raises(BudgetError, match="whole number"):
        session.ask(n)
    assert session.round == -1
    assert len(session.ask(np.int64(2))) == 2


@pytest.mark.parametrize("n", [0, -3, 2.5, "4", np.float64(4), None])
def test_a_number_of_items_is_whole_and_above_zero(n: Any) -> None:
    with pytest.raises(BudgetError, match="whole number"):
        whole_budget(n)
