"""ALFA-Mix: the closed form against the α it stands for, the gradient, and the candidate set."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tolerance import assert_rounded, rounding
from views import acquire, array_view, normal

from labelgap.core.errors import LabelgapError
from labelgap.select.mixing import Head, anchors, closed_form_bound, learned_flips, sampled_flips


def head_of(k=4, d=12):
    return Head(normal(k, d, seed=2), normal(k, seed=3))


def test_gradient_of_the_head_is_autograds():
    head, z = head_of(), normal(10, 12).double().requires_grad_(True)
    y = torch.arange(10) % 4
    logits = z @ head.weight.T.double() + head.bias
    (expected,) = torch.autograd.grad(F.cross_entropy(logits, y, reduction="sum"), z)
    # An error of a logit is an error of the residual by at most a quarter of it.
    spread = logits.abs().max() / 4 * head.weight.abs().sum(0)
    assert_rounded(head.gradient(z.detach().float(), y), expected, 12 + 4 + 4, spread)


def test_anchor_of_a_class_without_labels_is_the_mean_of_all():
    z = normal(9, 5)
    labels = torch.tensor([0, 0, 2, 2, 2, 0, 2, 0, 2])
    found = anchors(z, labels, 3)
    for row, items in ((0, z[labels == 0].double()), (1, z.double())):
        spread = items.square().sum(0).sqrt() / len(items)
        assert_rounded(found[row], items.mean(0), len(items), spread)


def flips_at(head, z, y, to, epsilon):
    """Does α = (ε/√d)·‖v‖/‖g‖·g/v change the prediction for some anchor? Written out."""
    g = head.gradient(z, y).double()
    changed = torch.zeros(len(z), dtype=torch.bool)
    for anchor in to.double():
        v = anchor - z.double()
        scale = (
            epsilon / v.shape[1] ** 0.5 * v.norm(dim=1, keepdim=True) / g.norm(dim=1, keepdim=True)
        )
        alpha = torch.where(v != 0, scale * g / v, 0.0)
        mixed = (1 - alpha) * z + alpha * anchor
        logits = mixed @ head.weight.double().T + head.bias.double()
        changed |= logits.argmax(1) != y
    return changed


def test_closed_form_bound_is_where_predictions_change():
    head, z = head_of(), normal(300, 12).clamp_min(0)
    to = normal(4, 12, seed=9).clamp_min(0)  # zeros in both: v = 0 there, nothing moves
    y = head(z).argmax(1)
    bound = closed_form_bound(head, z, y, to)
    # A bound is a margin by a gain, three products of rows in all. The margin is a difference of
    # logits and errs by their size; items so near the border are told by rounding alone.
    logits = z.double() @ head.weight.double().T + head.bias
    best, second = logits.topk(2).values.T
    unsure = rounding("float32", 3 * 12) * logits.abs().max() / (best - second)
    for epsilon in (0.05, 0.2, 0.5, 1.0):
        expected = flips_at(head, z, y, to, epsilon)
        sure = (bound - epsilon).abs() > unsure * epsilon
        assert sure.double().mean() > 0.99
        assert torch.equal((bound <= epsilon)[sure], expected[sure])
    assert 0 < int((bound <= 0.2).sum()) < 300


def test_learned_alpha_flips_more_than_sampled_and_less_than_all():
    head, z = head_of(), normal(2000, 12)
    y, v = head(z).argmax(1), normal(1, 12, seed=7) - z
    drawn, learned = (
        int(f(z, y, v, 0.15).sum())
        for f in (
            sampled_flips(head, np.random.default_rng(0)),
            learned_flips(head, np.random.default_rng(0), steps=5, lr=0.1, shrink=0.01),
        )
    )
    assert drawn < learned < 2000


def view_with(head, z, labelled, labels, **more):
    network = SimpleNamespace(head=SimpleNamespace(weight=head.weight, bias=head.bias))
    return array_view(
        {"features": z, "logits": head(z)},
        {"features": labelled, "logits": head(labelled)},
        labels,
        classes=4,
        network=None,
        **more,
    ), network


@pytest.mark.parametrize("alpha", ["closed-form", "learned", "sampled"])
def test_candidates_are_those_near_the_decision_border(alpha):
    """One feature decides: its absolute value is the distance from the border."""
    z = normal(600, 2)
    head = Head(torch.tensor([[4.0, 0.0], [-4.0, 0.0]]), torch.zeros(2))
    labelled = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])
    view, network = view_with(head, z, labelled, [0, 1])
    view.network, view.num_classes = network, 2
    query = acquire("alfa-mix", alpha=alpha, epsilon=0.05).select(view, 20)
    away = z[:, 0].abs().numpy()
    assert len(set(query.ids.tolist())) == 20
    assert away[query.ids - 1000].mean() < 0.4 * away.mean()
    assert query.notes["random"] == 0


def test_fills_up_at_random_without_repeating_when_no_prediction_changes():
    head = Head(torch.zeros(4, 12), torch.tensor([5.0, 0.0, 0.0, 0.0]))
    view, network = view_with(head, normal(50, 12), normal(4, 12, seed=1), [0, 1, 2, 3])
    view.network = network
    query = acquire("alfa-mix").select(view, 30)
    assert len(set(query.ids.tolist())) == 30
    assert query.notes["random"] == 30
    assert np.isfinite(query.score).all()


def test_a_view_without_a_network_is_refused_by_name():
    view, _ = view_with(head_of(), normal(50, 12), normal(4, 12, seed=1), [0, 1, 2, 3])
    with pytest.raises(LabelgapError, match="head"):
        acquire("alfa-mix").select(view, 5)
