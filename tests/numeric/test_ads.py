"""ADS: the losses against numpy, and each turn moving only what it may."""

import numpy as np
import pytest
import torch
from sessions import digits, fitted, labelled_session, runner, vectors
from tolerance import assert_rounded

from labelgap.learn.stage import StageRunner
from labelgap.methods.ads import agreement_loss, discrepancy, discrepancy_loss
from labelgap.session.presets import resolve
from labelgap.session.session import Session


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_losses_are_their_definitions() -> None:
    one, two = np.random.default_rng(0).standard_normal((2, 9, 4)) * 2
    p, q = softmax(one), softmax(two)
    bits = (-(p * np.log2(p)).sum(axis=1) - (q * np.log2(q)).sum(axis=1)) / 2
    weight = 1 / (1 + np.exp(-(bits - 0.1)))
    gap = np.abs(p - q).mean(axis=1)
    a, b = torch.tensor(one), torch.tensor(two)
    # Float32 by design: softmax and entropy of four classes, their gap, a mean of nine.
    for found, exact in (
        (agreement_loss(a, b, 0.1), ((1 - weight) * gap).mean()),
        (discrepancy_loss(a, b, 0.1), (weight * (1 - gap)).mean()),
    ):
        assert_rounded(found, exact, 3 * (4 + 4) + 9, 1.0, dtype="float32")


def test_the_weights_are_constants() -> None:
    """The gradient of the agreement loss is that of the discrepancy, weighted."""
    one = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    two = torch.randn(5, 3, generator=torch.Generator().manual_seed(2))
    (found,) = torch.autograd.grad(agreement_loss(one, two, 0.1), one)
    (plain,) = torch.autograd.grad(discrepancy(one, two).sum(), one)
    ratio = (found * plain).sum(1, keepdim=True) / plain.square().sum(1, keepdim=True)
    # A softmax's gradient is a difference of probabilities by what they are.
    assert_rounded(found, ratio * plain, 2 * (3 + 4), plain.abs().max() * ratio.max())
    assert (ratio > 0).all()


def turn(stage: StageRunner, name: str, step: int = 0) -> None:
    index = [p.name for p in stage.stage.phases].index(name)
    batch = stage.batch(step)
    stage._turn(index, stage.stage.phases[index], batch)


def gap_of(session: Session) -> float:
    """Mean discrepancy over the pool, evaluation mode."""
    view = session.view(1)
    return float(discrepancy(view.candidates("logits"), view.candidates("second_logits")).mean())


def adversarial(session: Session) -> StageRunner:
    """The runner of the last stage: the one with the adversarial turns."""
    training = session.training
    return StageRunner(session.learner.inputs, training, session.objective.stages(training)[-1])


@pytest.mark.parametrize("fraction", [0.4, None], ids=["after", "from the start"])
def test_agreement_moves_features_and_discrepancy_classifiers_only(fraction: float | None) -> None:
    session = fitted("ads", steps=10, objective={"fraction": fraction})
    network, second = session.training.network, session.training.modules["second"]
    stage = adversarial(session)

    def parameters() -> dict[str, torch.Tensor]:
        both = {**dict(network.named_parameters()), "second": second.weight}
        return {name: p.detach().clone() for name, p in both.items()}

    heads = {"head.weight", "head.bias", "second"}
    before = parameters()
    turn(stage, "agreement")
    after = parameters()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not moved & heads
    turn(stage, "discrepancy")
    moved = {n for n, p in parameters().items() if not torch.equal(p, after[n])}
    assert moved == heads


def test_turns_start_with_the_training_under_paper_and_follow_it_elsewhere() -> None:
    names = {}
    for preset in ("smoke", "cpu", "paper"):
        fraction = resolve({"method": "ads"}, preset=preset).objective["fraction"]
        session = labelled_session("ads", steps=10, objective={"fraction": fraction})
        stages = session.objective.stages(session.new_training(0))
        names[preset] = [(s.name, s.steps, [p.name for p in s.phases]) for s in stages]
    after = ("agree and disagree", 4, ["agreement", "discrepancy", "labels"])
    assert names["smoke"] == names["cpu"] == [("supervised", 10, ["network"]), after]
    assert names["paper"] == [("supervised", 10, ["network", "agreement", "discrepancy"])]


def test_features_close_the_gap_that_classifiers_open() -> None:
    gaps = {}
    for name in ("agreement", "discrepancy"):
        session = fitted("ads", steps=40, labels=60, objective={"lr": 0.05, "weight": 30.0})
        start = gap_of(session)
        stage = adversarial(session)
        for step in range(20):
            turn(stage, name, step)
        session.training.network.eval()
        gaps[name] = gap_of(session) / start
    assert gaps["agreement"] < 0.95
    assert gaps["discrepancy"] > 1.05


def test_query_is_the_highest_mean_entropy_on_vectors_too() -> None:
    session = fitted("ads", task=vectors(), steps=20)
    view = session.view(1)
    query = session.acquisition.select(view, 12)
    p, q = (softmax(view.candidates(n).double().numpy()) for n in ("logits", "second_logits"))
    mean = -((p * np.log(p)).sum(axis=1) + (q * np.log(q)).sum(axis=1)) / 2
    best = np.sort(mean)[::-1][:12]
    np.testing.assert_allclose(query.score, best)
    np.testing.assert_allclose(mean[np.searchsorted(view.candidate_ids, query.ids)], best)
    np.testing.assert_allclose(
        query.score, (query.parts["entropy"] + query.parts["second_entropy"]) / 2
    )


def test_everything_labelled_is_no_error() -> None:
    session = fitted("ads", steps=3, labels=len(digits().train))
    assert session.evaluate().accuracy > 0
    assert runner(session).stage.name == "supervised"
