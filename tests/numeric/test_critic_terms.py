"""The critic by its terms: layers, Eq. 2 of linear critics, training against plain steps."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from labelgap.methods.daal import CriticSettings, fit_critic
from labelgap.mixtures.critic import Critic, critic_loss, distance, gradient_penalty


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def seeded_critic(inputs: int, width: int, sigmoid: bool = False, seed: int = 0) -> Critic:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Critic(inputs, width, sigmoid)


def test_layers_are_three_with_two_relus_between() -> None:
    critic = seeded_critic(5, 7).double()
    x = normal(9, 5)
    (w1, b1), (w2, b2), (w3, b3) = [
        (layer.weight, layer.bias) for layer in critic.layers if isinstance(layer, nn.Linear)
    ]
    assert [w.shape for w in (w1, w2, w3)] == [(7, 5), (7, 7), (1, 7)]
    hidden = ((x @ w1.T + b1).clamp_min(0) @ w2.T + b2).clamp_min(0)
    plain = (hidden @ w3.T + b3)[:, 0]
    torch.testing.assert_close(critic(x), plain)
    critic.sigmoid = True
    torch.testing.assert_close(critic(x), 1 / (1 + (-plain).exp()))
    assert critic(x[:1]).shape == (1,)


def test_weights_begin_kaiming_normal_and_biases_at_zero() -> None:
    """Standard deviation √(2 / inputs): 40,000 draws of it are within 6/√80,000 or 2.1 %."""
    critic = seeded_critic(200, 200)
    first, second, last = [layer for layer in critic.layers if isinstance(layer, nn.Linear)]
    for layer in (first, second):
        assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / 200), rel=0.022)
        # Normal, not uniform of that deviation, which ends at √3 of it.
        assert float(layer.weight.detach().abs().max()) > 3 * math.sqrt(2 / 200)
    for layer in (first, second, last):
        assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


def test_penalty_is_taken_between_the_two_sets_in_float64_too() -> None:
    """D(h) = Σ h²/2 has the gradient h: the penalty is (‖h‖ − 1)² where rng says."""
    a, b = normal(6, 3, seed=1), normal(6, 3, seed=2) + 4
    found = gradient_penalty(lambda h: h.square().sum(1) / 2, a, b, np.random.default_rng(5))
    mix = torch.from_numpy(np.random.default_rng(5).random((6, 1), dtype=np.float32)).double()
    between = mix * a + (1 - mix) * b
    torch.testing.assert_close(found, (between.norm(dim=1) - 1).square().mean())
    assert found.dtype == torch.float64


def test_critic_loss_is_the_penalty_minus_the_gap() -> None:
    """Of D(h) = w·h: λ (‖w‖ − 1)² − w·(mean_U − mean_L), and ‖w‖ over the first columns."""
    w = torch.tensor([3.0, 4.0, 12.0], dtype=torch.float64)
    a, b = normal(6, 3, seed=1), normal(6, 3, seed=2)
    gap = float(w @ (b.mean(0) - a.mean(0)))
    for columns, norm in ((None, 13.0), (2, 5.0)):
        rng = np.random.default_rng(0)
        found = critic_loss(lambda h: h @ w, a, b, 0.3, rng, columns)
        assert float(found) == pytest.approx(0.3 * (norm - 1) ** 2 - gap)
    assert float(distance(a @ w, b @ w)) == pytest.approx(gap)


def test_the_critics_loss_reaches_no_feature() -> None:
    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    a, b = normal(6, 3, seed=1).requires_grad_(), normal(6, 3, seed=2).requires_grad_()
    critic_loss(lambda h: h @ w, a, b, 1.0, np.random.default_rng(0)).backward()
    assert a.grad is None
    assert b.grad is None
    assert w.grad is not None


def test_training_is_adam_with_a_tenth_of_the_rate_in_the_last_fifth() -> None:
    labelled, unlabelled = normal(30, 4), normal(50, 4, seed=1) + 1
    ours, plain = seeded_critic(4, 6).double(), seeded_critic(4, 6).double()
    scores = fit_critic(
        ours, labelled, unlabelled, CriticSettings(lr=0.01, penalty=2.0), steps=10, batch=8,
        rng=np.random.default_rng(3),
    )  # fmt: skip
    rng = np.random.default_rng(3)
    adam = torch.optim.Adam(plain.parameters(), lr=0.01)
    for step in range(10):
        adam.param_groups[0]["lr"] = 0.01 if step < 8 else 0.001
        a = labelled[torch.from_numpy(rng.integers(0, 30, 8))]
        b = unlabelled[torch.from_numpy(rng.integers(0, 50, 8))]
        adam.zero_grad()
        loss = plain(a).mean() - plain(b).mean() + 2.0 * gradient_penalty(plain, a, b, rng)
        loss.backward()
        adam.step()
    for one, two in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, two)
    torch.testing.assert_close(scores, plain(unlabelled).detach())


def test_every_unlabelled_item_is_scored_in_its_place() -> None:
    """More items than are scored at a time, and a pool of one."""
    critic = seeded_critic(2, 3)
    for n in (1, 8192 + 5):
        z = normal(n, 2, seed=4).float()
        scores = fit_critic(
            critic, z[:1], z, CriticSettings(), steps=0, batch=1, rng=np.random.default_rng(0)
        )
        torch.testing.assert_close(scores, critic(z).detach())
        assert not scores.requires_grad


@given(
    inputs=st.integers(1, 6), width=st.integers(1, 9), n=st.integers(1, 5), seed=st.integers(0, 99),
    columns=st.booleans(), penalty=st.sampled_from([0.0, 0.3, 10.0]), alike=st.booleans(),
    times=st.sampled_from([1, 2, 3]),
)  # fmt: skip
def test_the_free_critics_gradient_is_that_of_autograd(
    inputs: int, width: int, n: int, seed: int, columns: bool, penalty: float, alike: bool,
    times: int,
) -> None:  # fmt: skip
    """Written out against gone through twice, in float64; a critic that is flat has slope 0."""
    critic = seeded_critic(inputs, width, seed=seed).double()
    if alike:  # all units off: no gradient by the inputs, whose norm has no derivative at 0
        with torch.no_grad():
            next(critic.parameters()).zero_()
    for bias in (p for p in critic.parameters() if p.ndim == 1):
        with torch.no_grad():
            bias.copy_(normal(*bias.shape, seed=seed + 3) - (5 if alike else 0))
    a, b = normal(n, inputs, seed=seed + 1), normal(n, inputs, seed=seed + 2)
    over = max(1, inputs // 2) if columns else None
    # A function, not a Critic: autograd goes through it.
    loss = critic_loss(lambda h: critic(h), a, b, penalty, np.random.default_rng(seed), over)
    expected = torch.autograd.grad(times * loss, list(critic.parameters()), allow_unused=True)
    written = critic_loss(critic, a, b, penalty, np.random.default_rng(seed), over)
    found = torch.autograd.grad(times * written, list(critic.parameters()))
    torch.testing.assert_close(written.detach(), loss.detach())
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, torch.zeros_like(mine) if theirs is None else theirs)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_a_new_critics_loss_is_that_of_any_function(sigmoid: bool) -> None:
    """Its biases are 0; and with a sigmoid it is no free critic, whose gradient is written out."""
    critic = seeded_critic(4, 6, sigmoid).double()
    a, b = normal(5, 4, seed=1), normal(5, 4, seed=2) + 1
    found = critic_loss(critic, a, b, 0.7, np.random.default_rng(3))
    plain = critic_loss(lambda h: critic(h), a, b, 0.7, np.random.default_rng(3))
    torch.testing.assert_close(found.detach(), plain.detach())
