"""ALFA-Mix term by term: α's draws, one learned step at a time, bounds over several pieces."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from labelgap.select import mixing
from labelgap.select.mixing import Head, closed_form_bound, learned_flips, sampled_flips


def normal(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


def head_of(k=4, d=5):
    return Head(normal(k, d, seed=2), normal(k, seed=3))


def drawn(shape, cap, rng):
    """N(cap/2, cap/2) clipped to (0, cap], from the draws that the code is promised."""
    return np.clip(cap / 2 + cap / 2 * rng.standard_normal(shape, dtype=np.float32), 1e-8, cap)


def test_the_head_is_a_detached_linear_layer_in_float32():
    weight, bias = normal(4, 5).double().requires_grad_(), normal(4, seed=1).double()
    head, z = Head(weight, bias), normal(6, 5, seed=2)
    expected = z.double() @ weight.detach().T + bias
    torch.testing.assert_close(head(z).double(), expected, rtol=1e-5, atol=1e-5)
    assert not head.weight.requires_grad
    assert head.weight.dtype == head.bias.dtype == torch.float32


def test_sampled_flips_are_those_of_the_draws():
    head, z = head_of(), normal(200, 5)
    y, v = head(z).argmax(1), normal(1, 5, seed=7) - z
    for cap in (0.2, 0.9):
        alpha = torch.from_numpy(drawn((200, 5), cap, np.random.default_rng(4)))
        expected = head(z + alpha * v).argmax(1) != y
        found = sampled_flips(head, np.random.default_rng(4))(z, y, v, cap)
        assert torch.equal(found, expected)
        assert 0 < int(expected.sum()) < 200


def test_draws_stay_within_the_cap_and_above_zero():
    """With v = 1 and logits z and −z, z = −x flips where α exceeds x."""
    head = Head(torch.tensor([[1.0], [-1.0]]), torch.zeros(2))
    flips = sampled_flips(head, np.random.default_rng(0))
    n = 4000

    def share(x, cap):
        z, y = torch.full((n, 1), -x), torch.ones(n, dtype=torch.int64)
        return float(flips(z, y, torch.ones(n, 1), cap).double().mean())

    assert share(0.5 + 1e-3, 0.5) == 0
    assert share(1e-9, 0.5) == 1
    # Above cap/2 lies half of a normal law, above 3/4 cap what is beyond half a deviation.
    assert share(0.25, 0.5) == pytest.approx(0.5, abs=4 * 0.5 / n**0.5)
    tail = 0.5 * math.erfc(0.5 / math.sqrt(2))
    assert share(0.375, 0.5) == pytest.approx(tail, abs=4 * 0.5 / n**0.5)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("shrink", [0.0, 5.0])
def test_learned_alpha_is_sign_ascent_on_autograds_loss(steps, shrink):
    head, z, cap = head_of(), normal(1500, 5), 0.4
    y, v = head(z).argmax(1), normal(1, 5, seed=7) - z
    alpha = torch.from_numpy(drawn((1500, 5), cap, np.random.default_rng(4)))
    changed = head(z + alpha * v).argmax(1) != y
    for step in range(steps):
        alpha.requires_grad_()
        logits = (z + alpha * v) @ head.weight.T + head.bias
        goal = F.cross_entropy(logits, y, reduction="sum") - shrink * alpha.norm(dim=1).sum()
        (uphill,) = torch.autograd.grad(goal, alpha)
        rate = 0.1 if step < steps * 2 / 3 else 0.01
        alpha = (alpha.detach() + rate * uphill.sign()).clamp(1e-8, cap)
        changed |= head(z + alpha * v).argmax(1) != y
    flips = learned_flips(head, np.random.default_rng(4), steps=steps, lr=0.1, shrink=shrink)
    assert torch.equal(flips(z, y, v, cap), changed)
    assert 0 < int(changed.sum()) < 1500


def bound_by_definition(head, z, y, to):
    """ε where z + (ε/√d)·‖v‖·g/‖g‖ first ties another class, in float64, an item at a time."""
    w, b = head.weight.double().numpy(), head.bias.double().numpy()
    out = []
    for row, label in zip(z.double().numpy(), y.tolist(), strict=True):
        p = np.exp(w @ row + b)
        p /= p.sum()
        p[label] -= 1
        g = w.T @ p
        g /= np.linalg.norm(g)
        best = math.inf
        for anchor in to.double().numpy():
            v = anchor - row
            step = np.linalg.norm(v) / math.sqrt(len(v)) * np.where(v != 0, g, 0)
            for other in set(range(len(b))) - {label}:
                margin = (w[label] - w[other]) @ row + b[label] - b[other]
                gain = (w[other] - w[label]) @ step
                if gain > 0:
                    best = min(best, margin / gain)
        out.append(best)
    return np.array(out)


@pytest.mark.parametrize("size", [1.0, 0.1])
@pytest.mark.parametrize("rows", [7, 4096])
def test_bounds_are_those_of_the_definition_in_every_piece(rows, size, monkeypatch):
    monkeypatch.setattr(mixing, "ROWS", rows)
    head, z = head_of(), normal(40, 5).clamp_min(0)
    head.weight *= size
    to = normal(3, 5, seed=9).clamp_min(0)
    y = head(z).argmax(1)
    np.testing.assert_allclose(
        closed_form_bound(head, z, y, to), bound_by_definition(head, z, y, to), rtol=1e-3
    )


def test_items_near_an_anchor_have_the_bounds_of_the_definition():
    # Far from the origin, so that a product loses the distance; equal in many coordinates or few.
    head, to = head_of(4, 8), 30 + normal(3, 8, seed=9)
    head.bias -= head.weight.sum(1) * 30
    z = to.repeat(4, 1) + 0.05 * normal(12, 8, seed=4) * (torch.arange(12)[:, None] < 9)
    for row, count in enumerate((1, 2, 3, 5, 6, 7)):
        z[row, :count] = to[row % 3, :count]
    y = head(z).argmax(1)
    found = closed_form_bound(head, z, y, to)
    np.testing.assert_allclose(found, bound_by_definition(head, z, y, to), rtol=1e-3)


def test_without_an_anchor_elsewhere_no_bound_is_enough():
    head, z = head_of(), normal(3, 5)
    y = head(z).argmax(1)
    assert closed_form_bound(head, z, y, z[:0]).tolist() == [math.inf] * 3
    assert closed_form_bound(head, z[:1], y[:1], z[:1]).tolist() == [math.inf]
