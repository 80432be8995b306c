"""The critic against closed forms, and alignment against equally many plain steps."""

import numpy as np
import pytest
import torch
from tolerance import assert_rounded

from labelgap.core.device import machine
from labelgap.core.errors import ConfigError
from labelgap.core.streams import Streams
from labelgap.data.types import Augment, Split, Task
from labelgap.loop.oracle import Oracle
from labelgap.methods.daal import CriticSettings, fit_critic
from labelgap.mixtures.characteristic import Characteristic, critic_input
from labelgap.mixtures.critic import Critic, distance, gradient_penalty
from labelgap.mixtures.mixture import Mixture
from labelgap.mixtures.wasserstein import sliced_wasserstein
from labelgap.session.session import Session

STREAMS = Streams(3)


def gaussians(shift: torch.Tensor, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = STREAMS.torch("gaussians")
    d = len(shift)
    return torch.randn(n, d, generator=rng), torch.randn(n, d, generator=rng) + shift


def free_critic(inputs: int) -> Critic:
    with STREAMS.scope("critic"):
        return Critic(inputs, 64, sigmoid=False)


def test_critic_recovers_the_distance_of_equal_gaussians_and_its_sign() -> None:
    # W₁ of two Gaussians of equal covariance is the distance of their means.
    shift = torch.tensor([0.75, -1.0, 0.0, 0.0])
    labelled, unlabelled = gaussians(shift, 4000)
    critic = free_critic(4)
    fit_critic(
        critic, labelled, unlabelled, CriticSettings(lr=1e-3), steps=800, batch=256,
        rng=STREAMS.numpy("batches"),
    )  # fmt: skip
    with torch.no_grad():
        found = float(distance(critic(labelled), critic(unlabelled)))
    # At a finite weight λ the best slope is 1 + W/(2λ), here 1.06: within 10 %, not exact.
    assert abs(found - float(shift.norm())) < 0.1 * float(shift.norm())
    assert found > 0, "D must be higher on the unlabelled set"


def test_penalty_is_the_closed_form_of_a_linear_critic_and_trains_the_critic() -> None:
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    a, b = gaussians(torch.zeros(2), 32)
    penalty = gradient_penalty(lambda h: h @ weight, a, b, STREAMS.numpy("penalty"))
    # The norm of the gradient, less one, squared; its errors count with the slope 2 (5 − 1) · 5.
    assert_rounded(penalty, (5.0 - 1.0) ** 2, 2 + 3, 2 * 4.0 * 5.0)
    penalty.backward()  # type: ignore[no-untyped-call]
    # d/dw (‖w‖ − 1)² = 2 (‖w‖ − 1) w/‖w‖: descending it shrinks a critic that is too steep.
    assert weight.grad is not None
    assert_rounded(weight.grad, [2 * 4.0 * 0.6, 2 * 4.0 * 0.8], 32 + 2 + 3, 5.0)


def test_the_penalty_can_be_over_the_features_alone() -> None:
    weight = torch.tensor([3.0, 4.0, 12.0])
    a, b = torch.zeros(5, 3), torch.ones(5, 3)
    for columns, norm in ((None, 13.0), (2, 5.0)):
        penalty = gradient_penalty(lambda h: h @ weight, a, b, STREAMS.numpy("p"), columns)
        assert_rounded(penalty, (norm - 1) ** 2, 3 + 3, 2 * (norm - 1) * norm)


def test_critic_ranks_planted_outliers_first() -> None:
    labelled, unlabelled = gaussians(torch.zeros(6), 400)
    unlabelled[:20] += 4.0
    scores = fit_critic(
        free_critic(6), labelled, unlabelled, CriticSettings(lr=1e-3), steps=400, batch=128,
        rng=STREAMS.numpy("outliers"),
    )  # fmt: skip
    first = scores.argsort(descending=True)[:20]
    assert int((first < 20).sum()) >= 18


def test_critic_input_is_z_posteriors_and_standardised_likelihoods() -> None:
    k, d = 3, 5
    rng = STREAMS.torch("psi")
    means = torch.randn(k, d, generator=rng) * 3
    none = torch.zeros(k, dtype=torch.bool)
    psi = Mixture(torch.full((k,), 1 / k), means, torch.ones(k, d), none)
    z = torch.randn(40, d, generator=rng)
    players = [Characteristic(k, d, diagonal=True) for _ in range(2)]
    for player in players:
        player.set(psi, z)
    h = critic_input(z, players[0], players[1], temperature=1.0)
    assert h.shape == (40, d + 2 * k + 2)
    assert torch.equal(h[:, :d], z)
    exact = psi.to(dtype=torch.float64)
    likelihood = exact.log_likelihood(z.double())
    # A joint density sums over the features, a posterior and a likelihood over the classes.
    terms, size = 2 * d + 3 * k, float(likelihood.abs().max())
    assert_rounded(h[:, d : d + k], exact.log_posterior(z.double()).exp(), terms, size)
    standard = (likelihood - likelihood.mean()) / likelihood.std()
    assert_rounded(h[:, -1], standard, terms + 40, size / float(likelihood.std()))


def test_gradients_through_the_statistics_can_be_cut() -> None:
    k, d = 2, 4
    none = torch.zeros(k, dtype=torch.bool)
    psi = Mixture(torch.full((k,), 0.5), torch.randn(k, d), torch.ones(k, d), none)
    player = Characteristic(k, d, diagonal=True)
    player.set(psi, torch.randn(30, d))
    for through in (True, False):
        z = torch.randn(8, d, requires_grad=True)
        critic_input(z, player, player, through_statistics=through)[:, d:].sum().backward()
        assert (z.grad is not None and bool(z.grad.abs().sum() > 0)) is through


def shifted_task() -> Task:
    """Two classes; what is labelled comes from the left half of the pool, so the sets differ."""
    rng = np.random.default_rng(11)
    n, d = 600, 8
    labels = rng.integers(0, 2, n)
    x = rng.normal(size=(n, d)).astype(np.float32)
    x[:, 0] += 3.0 * labels
    x[: n // 2, 1:4] -= 2.0  # ids below n/2 are one domain, the others another
    split = Split(x, labels.astype(np.int64))
    test = Split(x[:8].copy(), split.labels[:8].copy())
    return Task.of("shifted", ("a", "b"), split, test, Augment())


def gap_after(method: dict[str, object]) -> float:
    """Sliced Wasserstein distance between held-out items of both domains after training."""
    task = shifted_task()
    labelled = np.arange(0, 80, dtype=np.int64)
    session = Session(
        task, machine=machine("cpu", "float32"), network={"name": "mlp", "hidden": [32, 16]},
        training={"steps": 300, "batch_size": 40, "lr": 0.03}, **method,
    )  # fmt: skip
    session.tell(Oracle(task).answer(session.start_with(labelled)))
    # Held out from both players: neither labelled nor in the unlabelled batches.
    held = np.r_[np.arange(200, 300), np.arange(500, 600)].astype(np.int64)
    session.ledger.hold_out(held)
    session.fit()
    z = session.learner.predict(session.training.network, held, {"features"})["features"]
    # Relative to the spread of the features, so that shrinking them all is no alignment.
    z = (z - z.mean(0)) / z.std().clamp_min(1e-6)
    rng = np.random.default_rng(0)
    return float(sliced_wasserstein(z[:100].numpy(), z[100:].numpy(), rng))


def test_alignment_closes_the_gap_of_held_out_items_more_than_plain_steps() -> None:
    aligned = gap_after(
        {
            "objective_name": "daal", "acquisition_name": "random",
            "objective": {"reg": False, "align_fraction": 1.0, "adversarial": 0.5,
                          "critic_steps": 3},
            "critic": {"lr": 2e-3},
        }
    )  # fmt: skip
    # The same stages, batches and steps, the critic watching but not felt.
    plain = gap_after(
        {"objective_name": "daal", "acquisition_name": "random",
              "objective": {"reg": False, "align_fraction": 1.0, "adversarial": 0.0}}
    )  # fmt: skip
    assert aligned < 0.75 * plain, f"aligned {aligned:.3f}, plain {plain:.3f}"


def test_the_critics_input_refuses_a_temperature_that_is_not_positive() -> None:
    psi = Characteristic(3, 4, diagonal=True)
    with pytest.raises(ConfigError, match="temperature"):
        critic_input(torch.zeros(2, 4), psi, psi, temperature=0.0)
