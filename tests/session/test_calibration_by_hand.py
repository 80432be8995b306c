"""The second network, the share that is held out, and the note, put together by hand."""

from typing import Any

import numpy as np
import pytest
import torch

from labelgap.check.case import Case
from labelgap.core.types import NONE_OF_THESE, Query
from labelgap.learn.calibration import Calibration, fit_temperature, held_out
from labelgap.methods import METHODS
from labelgap.session.calibrating import calibrated
from labelgap.session.session import Session
from labelgap.session.weights import weights_hash


def fitted(**values: Any) -> Session:
    return Case(METHODS["margin"]).fitted(**values)


def hold_out(made: Session, number: int, none: int = 0) -> np.ndarray:
    """So many items of known class held out, and some that belong to none."""
    ids = made.candidate_ids(1)[: number + none][::-1].copy()
    made.ledger.asked(1, Query(ids).items())
    made.ledger.hold_out(ids.tolist())
    truth = {int(i): int(made.task.train.labels[i]) for i in ids[:number]}
    made.tell(truth | {int(i): NONE_OF_THESE for i in ids[number:]})
    return np.sort(ids[:number])


def test_a_share_of_each_class_is_drawn_class_by_class() -> None:
    labels = np.array([2] * 10 + [0] * 3 + [5] + [1] * 2 + [7] * 4)
    rng, expected = np.random.default_rng(3), np.zeros(20, dtype=bool)
    for k, number in ((0, 1), (1, 1), (2, 3), (5, 0), (7, 1)):
        order = rng.permutation(np.flatnonzero(labels == k))
        expected[order[:number]] = True
    found = held_out(labels, 0.3, np.random.default_rng(3))
    assert found.dtype == bool
    assert found.tolist() == expected.tolist()
    most = held_out(labels, 0.99, np.random.default_rng(3))
    assert [int(most[labels == k].sum()) for k in (0, 1, 2, 5, 7)] == [2, 1, 9, 0, 3]
    assert not held_out(np.arange(6), 0.5, np.random.default_rng(0)).any()


def test_a_network_that_knows_nothing_of_its_temperature_takes_one() -> None:
    assert (Calibration().temperature, Calibration().items) == (1.0, 0)
    found = fit_temperature(torch.empty(0, 3), torch.empty(0, dtype=torch.int64))
    assert found == 1.0
    logits = torch.tensor([[3.0, 0.0], [3.0, 0.0], [0.0, 3.0]], requires_grad=True)
    wrong = fit_temperature(logits, torch.tensor([1, 1, 0]))
    right = fit_temperature(logits, torch.tensor([0, 0, 1]))
    assert right < 1.0 < wrong


def test_the_second_network_is_trained_as_the_first_on_the_rest() -> None:
    made = fitted()
    made.tell({int(i): int(made.task.train.labels[i]) for i in made.ask(7).ids})
    made.fit()
    ids, labels = made.labelled()
    out = held_out(labels, 0.3, made.streams.numpy("calibration", 1))
    learner, objective = made.learner, made.objective
    network = learner.new_network(made.trained.build, 1)
    second = learner.training(network, objective, ids[~out], labels[~out], made.unlabelled_ids(), 1)
    learner.fit(second, objective)
    logits = learner.predict(network, ids[out], {"logits"})["logits"]
    expected = fit_temperature(logits, torch.from_numpy(labels[out]))
    calls: list[tuple[str, int, int]] = []
    found = calibrated(made.trained, lambda *facts: calls.append(facts))
    assert found == Calibration(expected, int(out.sum()))
    assert calls == [("supervised", step, 6) for step in range(1, 7)]
    (note,) = made.ledger.notes("calibrated")
    assert note.round == 1
    assert note.data == {
        "temperature": expected,
        "items": int(out.sum()),
        "weights_sha256": weights_hash(made.training.network),
    }


def test_a_temperature_is_of_one_networks_weights() -> None:
    made = fitted()
    weights = weights_hash(made.training.network)
    for temperature, items, of in ((2.0, 7, weights), (3.0, 8, weights), (4.0, 9, "another's")):
        facts = {"temperature": temperature, "items": items, "weights_sha256": of}
        made.ledger.note("calibrated", facts)
    assert calibrated(made.trained) == Calibration(3.0, 8)  # the latest of these weights
    assert len(made.ledger.notes("calibrated")) == 3


@pytest.mark.parametrize(("known", "shared"), [(19, False), (20, True), (21, True)])
def test_twenty_held_out_labels_of_known_class_are_enough(known: int, shared: bool) -> None:
    made = fitted(data={"open_set": 0.5})
    ids = hold_out(made, known, none=3)
    found = calibrated(made.trained)
    logits = made.learner.predict(made.training.network, ids, {"logits"})["logits"]
    truth = torch.from_numpy(made.task.train.labels[ids])
    if shared:
        assert found == Calibration(fit_temperature(logits, truth), known)
    else:
        assert found.items == int(held_out(made.labelled()[1], 0.3, np.random.default_rng(0)).sum())


def test_where_no_class_has_two_labels_the_temperature_is_one() -> None:
    made = Case(METHODS["margin"]).session()
    ids = np.array([int(np.flatnonzero(made.task.train.labels == k)[0]) for k in range(3)])
    made.start_with(ids)
    made.tell({int(i): int(made.task.train.labels[i]) for i in ids})
    made.fit()
    assert calibrated(made.trained) == Calibration(1.0, 0)
    assert made.ledger.notes("calibrated")[0].data["items"] == 0
