"""CDAL: k-center under symmetric KL against the plain form, and the learned policy."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from tolerance import assert_rounded
from views import acquire, array_view, normal

from labelgap.methods.cdal import Policy, log_law, mean_divergence


def divergence(p, q):
    """½ KL(p‖q) + ½ KL(q‖p) over the last axis, by scipy."""
    return 0.5 * (entropy(p, q, axis=-1) + entropy(q, p, axis=-1))


def test_cs_is_the_plain_greedy_under_symmetric_kl():
    logits, known = 2 * normal(150, 5), 2 * normal(12, 5, seed=1)
    view = array_view({"logits": logits}, {"logits": known}, np.zeros(12), classes=5)
    query = acquire("cdal").select(view, 30)
    p, q = (softmax(x.double().numpy(), axis=1) for x in (logits, known))
    nearest = divergence(p[:, None], q[None]).min(axis=1)
    for step in range(30):
        i = query.ids[step] - 1000
        # Another may be as far but for its rounding: what counts is the value, not the place.
        assert_rounded(nearest[i], nearest.max(), 4 * 5, 1.0)
        assert_rounded(query.score[step], nearest[i], 1, dtype="float32")
        nearest = np.minimum(nearest, divergence(p, p[i : i + 1]))


def test_one_softmax_not_two():
    """A second softmax shrinks all differences: certain and doubtful items look alike."""
    sure, doubt = torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([[0.3, 0.1, 0.0]])
    opposite = torch.tensor([[0.0, 9.0, 0.0]])
    view = array_view({"logits": torch.cat([doubt, opposite])}, {"logits": sure}, [0])
    score = acquire("cdal").select(view, 1).score
    twice = divergence(*(softmax(softmax(x.double().numpy()[0])) for x in (sure, opposite)))
    assert score[0] > 8 > 1 > twice


def test_mean_divergence_is_the_mean_over_pairs():
    logits = 3 * normal(40, 6)
    p = softmax(logits.double().numpy(), axis=1)
    expected = divergence(p[:, None], p[None]).mean()
    assert mean_divergence(logits.double().log_softmax(1)) == pytest.approx(expected, rel=1e-9)


def test_log_law_is_sequential_drawing_without_replacement():
    values = normal(6).double()
    order = torch.tensor([4, 0, 5, 1, 3, 2])
    weight, left, expected = values.exp(), set(range(6)), 0.0
    for i in order[:3].tolist():
        expected += float((weight[i] / sum(weight[j] for j in left)).log())
        left.remove(i)
    assert float(log_law(values, order, 3)) == pytest.approx(expected)


def test_policy_reads_every_item_whatever_the_segment():
    policy = Policy(5, 4)
    p = normal(23, 5).softmax(1)
    assert policy(p, 10).shape == policy(p, 500).shape == (23,)


def planted(n=400):
    """Nine items of ten agree; the others are sure of all sorts of things."""
    logits = torch.zeros(n, 6)
    logits[:, 0] = 3.0
    odd = torch.arange(0, n, 10)
    logits[odd] = 8 * torch.nn.functional.one_hot(torch.arange(len(odd)) % 6, 6).float()
    return logits, odd.numpy()


@pytest.mark.parametrize("variant", ["cs", "rl"])
def test_finds_the_predictions_that_differ(variant):
    logits, odd = planted()
    view = array_view({"logits": logits}, {"logits": logits[1:4]}, [0, 0, 0], classes=6)
    query = acquire("cdal", variant=variant, epochs=40).select(view, 20)
    share = np.isin(query.ids - 1000, odd).mean()
    assert share > (0.25 if variant == "cs" else 0.5)
    assert len(set(query.ids.tolist())) == 20


def test_the_policy_learns_more_reward_than_one_draw_gives():
    logits, _ = planted()
    view = array_view({"logits": logits}, {"logits": logits[:1]}, [0], classes=6)
    rewards = [
        acquire("cdal", variant="rl", epochs=e).select(view, 20).notes["reward"] for e in (1, 40)
    ]
    assert rewards[1] > 1.3 * rewards[0]
