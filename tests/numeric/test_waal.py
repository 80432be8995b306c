"""WAAL: the penalty on a linear critic in closed form; the critic finds planted outliers."""

import numpy as np
import pytest
import torch
from sessions import fitted, labelled_session, runner, vectors
from sklearn.metrics import roc_auc_score
from tolerance import assert_rounded, through
from torch import nn

from labelgap.axes.training import Training
from labelgap.methods.waal import Waal, WaalCritic, published_critic_loss, uncertainty
from labelgap.mixtures.critic import critic_loss


class Linear(nn.Module):
    """D(z) = w · z, whose gradient is w everywhere."""

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w.clone())

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z @ self.w


def sets(seed: int = 0, d: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    draw = [torch.randn(s, generator=g, dtype=torch.float64) for s in ((8, d), (8, d), (d,))]
    return draw[0], draw[1] + 1, draw[2]


def test_critic_loss_and_gradient_on_a_linear_critic() -> None:
    z_l, z_u, w = sets()
    critic = Linear(w)
    loss = critic_loss(critic, z_l, z_u, 5.0, np.random.default_rng(0))
    loss.backward()
    gap = z_u.mean(dim=0) - z_l.mean(dim=0)
    norm = w.norm()
    torch.testing.assert_close(loss.detach(), 5 * (norm - 1) ** 2 - gap @ w)
    # d/dw: the penalty pulls ‖w‖ to 1, the distance pushes w along the gap of the means.
    torch.testing.assert_close(critic.w.grad, 10 * (norm - 1) * w / norm - gap)


def test_published_form_pushes_the_other_way() -> None:
    z_l, z_u, w = sets()
    critic, gamma, alpha = Linear(w), 0.25, 2e-3
    loss = published_critic_loss(critic, z_l, z_u, alpha, gamma, np.random.default_rng(0))
    loss.backward()
    norm = w.norm()
    gap = z_u.mean(dim=0) - gamma * z_l.mean(dim=0)
    torch.testing.assert_close(loss.detach(), -alpha * (gap @ w) - 2 * alpha * (norm - 1) ** 2)
    torch.testing.assert_close(critic.w.grad, -alpha * (gap + 4 * (norm - 1) * w / norm))


@pytest.mark.parametrize("start", [0.2, 3.0])
def test_the_penalty_alone_makes_the_critic_one_lipschitz(start: float) -> None:
    z_l, _, w = sets()
    critic = Linear(start * w / w.norm())
    sgd = torch.optim.SGD(critic.parameters(), lr=0.05)
    for step in range(100):
        sgd.zero_grad()
        critic_loss(critic, z_l, z_l, 5.0, np.random.default_rng(step)).backward()
        sgd.step()
    assert float(critic.w.detach().norm()) == pytest.approx(1.0, abs=1e-4)


def test_features_feel_the_critic_with_weight_alpha() -> None:
    """The network's loss is CE + α (E_U[D] − E_L[D]), with gradients to both sets' features."""
    session = labelled_session("waal", steps=10, objective={"alpha": 0.5})
    stage = runner(session)
    batch = stage.batch(0)
    assert stage.stage.forward is not None
    batch.shared = stage.stage.forward(batch)
    critic = stage.training.modules["critic"]
    loss = stage.stage.phases[0].loss(batch)
    for name, sign in (("z_u", 0.5), ("z_l", -0.5)):
        z = getattr(batch.shared, name)
        mine = z.detach().requires_grad_(True)
        (expected,) = torch.autograd.grad(sign * critic(mine).mean(), mine)
        (found,) = torch.autograd.grad(loss, z, retain_graph=True)
        assert expected.abs().sum() > 0
        assert_rounded(found, expected, 2 * 2 * through(critic), expected.abs().max())


def test_critic_on_fixed_features_ranks_planted_outliers_first() -> None:
    rng = np.random.default_rng(1)
    labelled = torch.tensor(rng.standard_normal((200, 16)), dtype=torch.float32)
    pool = rng.standard_normal((500, 16))
    outlier = np.arange(500) < 50
    pool[outlier, :4] += 2.5
    pool = torch.tensor(pool, dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        critic = WaalCritic(16, 50)
    adam = torch.optim.Adam(critic.parameters(), lr=1e-3)
    for step in range(300):
        draw = np.random.default_rng(step)
        of_l, of_u = draw.integers(0, 200, 64), draw.integers(0, 500, 64)
        adam.zero_grad()
        critic_loss(critic, labelled[of_l], pool[of_u], 5.0, draw).backward()
        adam.step()
    with torch.no_grad():
        assert roc_auc_score(outlier, critic.unit(pool).numpy()) > 0.97


def test_critic_of_the_whole_method_and_its_query_find_withheld_classes() -> None:
    # α = 0: the features learn from labels alone and the critic watches.
    session = fitted(
        "waal", task=vectors(), steps=100, labels=200, classes=range(8),
        objective={"alpha": 0.0, "critic_steps": 3}, acquisition={"diversity": 1000.0},
    )  # fmt: skip
    view, truth = session.view(1), session.task.train.labels
    scores = view.candidates("critic").numpy()
    # 0.85 and 0.92 measured on seeds 0 and 1.
    assert roc_auc_score(truth[view.candidate_ids] >= 8, scores) > 0.8
    query = session.acquisition.select(view, 40)
    # 0.23 by chance; the critic decides at this weight.
    assert (truth[query.ids] >= 8).mean() > 0.7
    # Half-way between the sets is σ = ½, so the mean of the two sets' logits is 0.
    logits = [torch.logit(of("critic")).mean() for of in (view.labelled, view.candidates)]
    assert logits[0] < 0 < logits[1]
    assert float(sum(logits)) == pytest.approx(0, abs=0.2)


def test_a_constant_added_to_the_critic_changes_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Waal.modules

    def scores(shift: float) -> torch.Tensor:
        def shifted(self: Waal, training: Training) -> dict[str, nn.Module]:
            made = plain(self, training)
            critic = made["critic"]
            assert isinstance(critic, WaalCritic)
            with torch.no_grad():
                critic.layers[-1].bias += shift
            return made

        monkeypatch.setattr(Waal, "modules", shifted)
        return fitted("waal", task=vectors(), steps=15).view(1).candidates("critic")

    as_it_is = scores(0.0)
    assert 0.1 < as_it_is.min() < 0.5 < as_it_is.max() < 0.9
    for shift in (20.0, -20.0):
        # Uncentred, σ(±20) is 1 or 0 to eight digits. A constant has no gradient: what differs is
        # the rounding of a sum over 50 hidden units with it, and of its mean, by σ's slope.
        assert_rounded(scores(shift), as_it_is, 50 + 2, abs(shift) / 4)


def test_published_critic_is_queried_as_it_was_trained() -> None:
    session = fitted("waal", task=vectors(), steps=5, objective={"form": "published"})
    critic, view = session.training.modules["critic"], session.view(1)
    z = session.learner.predict(session.training.network, view.candidate_ids)["features"]
    with torch.no_grad():
        exact = view.candidates("critic")
        assert_rounded(critic(z), exact, 2 * through(critic), exact.abs().max())


def test_uncertainty_is_the_formula_and_finite_at_certainty() -> None:
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    log_p = np.log(np.exp(logits.double().numpy()))
    log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    expected = -0.5 * np.sqrt((log_p**2).sum(axis=1)) + 0.5 * log_p.sum(axis=1)
    assert_rounded(uncertainty(logits), expected, 3 * 4 + 4, dtype="float32")
    certain = torch.tensor([[0.0, -torch.inf], [0.0, 0.0]])
    values = uncertainty(certain)
    assert torch.isfinite(values).all()
    assert values[1] > values[0]


@pytest.mark.parametrize("form", ["corrected", "published"])
def test_query_on_vectors_explains_its_score(form: str) -> None:
    session = fitted("waal", task=vectors(), steps=20, objective={"form": form})
    query = session.acquisition.select(session.view(1), 10)
    assert query.score is not None
    expected = query.parts["uncertainty"] + 10 * query.parts["critic"]
    np.testing.assert_allclose(query.score, expected)
    assert (np.diff(query.score) <= 0).all()
