"""LL4AL: the ranking losses against loops over pairs; the head predicts loss on unseen data."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sessions import fitted, labelled_session, runner, vectors
from tolerance import assert_rounded, rounding, through
from torch.nn import functional as F

from labelgap.methods.ll4al import LossHead, logistic_ranking, margin_ranking
from labelgap.session.session import Session


@given(seed=st.integers(0, 2**16), b=st.integers(2, 11), margin=st.floats(0.1, 3.0))
def test_ranking_losses_are_their_definitions(seed: int, b: int, margin: float) -> None:
    rng = np.random.default_rng(seed)
    predicted, loss = rng.standard_normal(b), rng.exponential(size=b).round(1)
    hinge, logistic = [], []
    for i in range(b // 2):
        j = b - 1 - i
        sign = 1 if loss[i] > loss[j] else -1
        gap = predicted[i] - predicted[j]
        hinge.append(max(0.0, margin - sign * gap))
        logistic.append(math.log1p(math.exp(-sign * gap)))
    p, true = torch.tensor(predicted), torch.tensor(loss)
    assert float(margin_ranking(p, true, margin)) == pytest.approx(np.mean(hinge))
    assert float(logistic_ranking(p, true)) == pytest.approx(np.mean(logistic))


def test_true_losses_are_constants() -> None:
    predicted = torch.zeros(6, requires_grad=True)
    loss = torch.arange(6.0, requires_grad=True)
    (margin_ranking(predicted, loss, 1.0) + logistic_ranking(predicted, loss)).backward()
    assert loss.grad is None
    assert predicted.grad is not None
    # Gradients push the lower-loss half down and the higher-loss half up, pair by pair.
    assert (predicted.grad[:3] > 0).all()
    assert_rounded(predicted.grad[3:].flip(0), -predicted.grad[:3].double(), 8)


def test_head_takes_maps_of_any_size_and_vectors() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = LossHead((3, 5), 7)
        maps = [torch.randn(4, 3, 8, 8), torch.randn(4, 5, 1, 2)]
    expected = head([m.double().mean(dim=(2, 3)) for m in maps])
    assert expected.shape == (4,)
    # The head is float32 by design; the means of the maps are of 64 places.
    assert_rounded(head(maps), expected, 64 + 2 * through(head), expected.abs().max())


@pytest.mark.parametrize(("step", "reaches"), [(0, True), (5, True), (6, False), (9, False)])
def test_ranking_loss_leaves_the_network_alone_late(step: int, reaches: bool) -> None:
    """Gradients of the trunk equal cross-entropy's alone from 60 % of the steps on."""
    session = labelled_session("ll4al", steps=10)
    stage = runner(session)
    network = stage.training.network
    batch = stage.batch(step)

    def trunk_gradient(loss: torch.Tensor) -> torch.Tensor:
        network.zero_grad(set_to_none=True)
        loss.backward()
        weight = network.stem[0].weight
        return weight.grad.clone()

    both = trunk_gradient(stage.stage.phases[0].loss(batch))
    plain = trunk_gradient(F.cross_entropy(network(batch.x).logits, batch.y))
    # A sum over the batch and the places of the largest map, in either way.
    terms = 2 * len(batch.x) * batch.x.shape[-1] ** 2
    gap, rounded = (both - plain).abs().max(), rounding("float32", terms) * plain.abs().max()
    assert gap > 100 * rounded if reaches else gap <= rounded


def correlation(session: Session) -> float:
    """Spearman's, of predicted and true loss on the test images."""
    training, test = session.training, session.task.test
    out = session.learner.predict(
        training.network,
        np.arange(len(test)),
        {"predicted_loss", "logits"},
        split=test,
        objective=session.objective,
        modules=training.modules,
    )
    true = F.cross_entropy(out["logits"], torch.from_numpy(test.labels), reduction="none")
    return float(spearmanr(out["predicted_loss"].numpy(), true.numpy()).statistic)


@pytest.mark.parametrize("ranking", ["margin", "bce"])
def test_predicted_loss_follows_true_loss_on_held_out_data(ranking: str) -> None:
    values = {"labels": 100, "steps": 150}
    learnt = correlation(fitted("ll4al", objective={"ranking": ranking}, **values))
    idle = correlation(fitted("ll4al", objective={"ranking": ranking, "weight": 0.0}, **values))
    assert learnt > 0.4
    assert learnt > idle + 0.2


def test_query_takes_the_highest_predicted_losses_on_an_mlp_too() -> None:
    session = fitted("ll4al", task=vectors(), steps=20)
    view = session.view(1)
    query = session.acquisition.select(view, 10)
    scores = view.candidates("predicted_loss").numpy()
    chosen = np.isin(view.candidate_ids, query.ids)
    assert chosen.sum() == 10
    assert scores[chosen].min() >= scores[~chosen].max()
    assert np.array_equal(query.parts["predicted_loss"], query.score)
