"""The temperature: of known logits, with few labels, and what a session makes of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from labelgap.check.case import Case
from labelgap.core.types import Query
from labelgap.learn.calibration import PRIOR_WIDTH, RANGE, fit_temperature, held_out
from labelgap.methods import METHODS
from labelgap.session.calibrating import ENOUGH, NOTE, calibrated
from labelgap.session.session import Session


@pytest.mark.parametrize("truth", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(truth: float) -> None:
    """Labels drawn from softmax(z / T): at n = 20,000 the standard error is below 2 %."""
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(3 * rng.standard_normal((20_000, 5)))
    p = (logits / truth).softmax(1).numpy()
    labels = (p.cumsum(1) > rng.random((len(p), 1))).argmax(1)
    assert fit_temperature(logits, torch.from_numpy(labels)) == pytest.approx(truth, rel=0.08)


@given(st.integers(0, 1000), st.integers(1, 40), st.sampled_from([0.3, 4.0, 30.0]))
def test_it_is_what_scipy_finds(seed: int, n: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(scale * rng.standard_normal((n, 3)))
    labels = torch.from_numpy(rng.integers(0, 3, n))

    def loss(log_t: float) -> float:
        scaled = logits / np.exp(log_t)
        lost = torch.nn.functional.cross_entropy(scaled, labels, reduction="sum")
        return float(lost) + 0.5 * (log_t / PRIOR_WIDTH) ** 2

    options = {"xatol": 1e-9}
    found = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded", options=options)
    # SciPy looks at values: they are flat within the root of float64's rounding.
    assert fit_temperature(logits, labels) == pytest.approx(np.exp(found.x), rel=1e-6)


@given(st.integers(1, 4), st.booleans(), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_few_labels_leave_it_near_one(n: int, right: bool, seed: int) -> None:
    """However sure the network was: three labels are no reason for a temperature of twenty."""
    logits = 50 * torch.eye(4, dtype=torch.float64)[np.random.default_rng(seed).integers(0, 4, n)]
    labels = logits.argmax(1) if right else (logits.argmax(1) + 1) % 4
    assert RANGE[0] < fit_temperature(logits, labels) < RANGE[1]
    assert fit_temperature(logits[:0], labels[:0]) == 1.0


@pytest.mark.parametrize(("gap", "bound"), [(-1000.0, 20.0), (0.05, 0.05)])
def test_no_temperature_is_below_a_twentieth_or_above_twenty(gap: float, bound: float) -> None:
    """Logits that are far off every time, and logits that are right by next to nothing."""
    logits = torch.tensor([[gap, 0.0]], dtype=torch.float64).expand(500, 2)
    found = fit_temperature(logits, torch.zeros(500, dtype=torch.int64))
    assert found == pytest.approx(bound, rel=1e-9)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0.05, 0.95))
@settings(max_examples=60, deadline=None)
def test_every_class_keeps_labels_and_gives_some_where_it_has_two(
    labels: list[int], share: float
) -> None:
    y = np.array(labels, dtype=np.int64)
    out = held_out(y, share, np.random.default_rng(0))
    for k in np.unique(y):
        gone, all_ = int(out[y == k].sum()), int((y == k).sum())
        assert gone < all_
        assert gone >= (all_ > 1)
        assert abs(gone - share * all_) <= 1


def session() -> Session:
    return Case(METHODS["u-herding"]).fitted()


def test_a_session_trains_once_more_and_notes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    s = session()
    before = {k: v.clone() for k, v in s.training.network.state_dict().items()}
    found = calibrated(s.trained)
    assert found.items > 0
    (note,) = s.ledger.notes(NOTE)
    assert note.data["temperature"] == found.temperature
    monkeypatch.setattr(s.learner, "fit", None)  # a second training would fail
    assert calibrated(s.trained) == found
    assert s.view(1).temperature() == found.temperature
    for name, value in s.training.network.state_dict().items():
        assert torch.equal(value, before[name])


def test_held_out_labels_do_instead_of_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    s = session()
    ids = s.candidate_ids(1)[: ENOUGH + 5]
    s.ledger.asked(1, Query(ids).items())
    s.ledger.hold_out(ids)
    s.tell({int(i): int(s.task.train.labels[i]) for i in ids})
    monkeypatch.setattr(s.learner, "fit", None)
    found = calibrated(s.trained)
    assert found.items == ENOUGH + 5
    logits = s.learner.predict(s.training.network, np.sort(ids), {"logits"})["logits"]
    truth = torch.from_numpy(s.task.train.labels[np.sort(ids)])
    assert found.temperature == pytest.approx(fit_temperature(logits, truth))
