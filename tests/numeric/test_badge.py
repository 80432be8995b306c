"""BADGE: the gradient embedding against autograd, the law of the draw, and its preferences."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import chisquare
from tolerance import assert_rounded
from views import acquire, array_view, normal

from labelgap.methods.badge import residual

DRAWS = 400


def test_embedding_is_the_gradient_of_the_last_layer():
    h, weight = normal(20, 6).double(), normal(4, 6, seed=1).double()
    logits = h @ weight.T
    for i in range(20):
        w = weight.clone().requires_grad_(True)
        one = h[i : i + 1] @ w.T
        F.cross_entropy(one, one.argmax(1)).backward()
        outer = residual(logits[i : i + 1]).T @ h[i : i + 1]
        torch.testing.assert_close(outer, w.grad)


def test_confident_items_keep_the_order_of_their_gradients():
    """p − 1 is 0 where the sum of the others is not; the entries of a residual sum to 0."""
    gaps = torch.tensor([20.0, 25.0, 30.0, 40.0, 60.0])
    found = residual(torch.stack([gaps, torch.zeros(5)], dim=1))
    # p/(1 + p) for p = exp(−gap), whose exponent may be off by a rounding of its size.
    exact = torch.exp(-gaps.double()) / (1 + torch.exp(-gaps.double()))
    for column, sign in ((1, 1), (0, -1)):
        assert_rounded(found[:, column], sign * exact, 2, gaps * exact)
    assert residual(torch.tensor([[1e4, -1e4]])).tolist() == [[0.0, 0.0]]


def test_second_pick_follows_d_squared():
    logits, h = 2 * normal(8, 3), normal(8, 4, seed=1)
    g = (residual(logits)[:, :, None] * h[:, None]).flatten(1).double().numpy()
    first = int((g**2).sum(1).argmax())
    law = ((g - g[first]) ** 2).sum(1)
    law /= law.sum()
    view, badge = {"logits": logits, "features": h}, acquire("badge")
    seen = np.zeros(8)
    for seed in range(DRAWS):
        ids = badge.select(array_view(view, seed=seed), 2).ids - 1000
        assert ids[0] == first
        seen[ids[1]] += 1
    assert seen[first] == 0
    others = np.arange(8) != first
    assert chisquare(seen[others], DRAWS * law[others]).pvalue > 1e-3


def test_prefers_the_uncertain_and_does_not_repeat_itself():
    """A tenth is uncertain, of nine kinds; all certain items are one kind: no gradient."""
    kind = torch.arange(300) % 3
    h = F.normalize(normal(3, 10, seed=5), dim=1)[kind] + 0.001 * normal(300, 10)
    logits = torch.zeros(300, 3)
    logits[:, 0] = 12.0
    logits[:30] = 0.1 * F.one_hot(torch.arange(30) // 3 % 3, 3).float()
    query = acquire("badge").select(array_view({"logits": logits, "features": h}), 8)
    picked = query.ids - 1000
    unsure = picked[picked < 30]
    assert len(unsure) >= 7
    assert len({(i % 3, i // 3 % 3) for i in unsure.tolist()}) == len(unsure)
    lengths = (residual(logits.double()).norm(dim=1) * h.double().norm(dim=1)).numpy()
    found = query.parts["gradient_norm"]
    assert_rounded(found, lengths[picked], 3 + 10 + 4, dtype="float32")


def test_no_gradient_at_all_is_a_uniform_draw():
    logits = torch.zeros(40, 3)
    logits[:, 1] = 1e4
    views = [array_view({"logits": logits, "features": normal(40, 5)}, seed=s) for s in range(2)]
    one, two = (acquire("badge").select(v, 10).ids for v in views)
    assert len(set(one.tolist())) == 10
    assert set(one.tolist()) != set(two.tolist())
