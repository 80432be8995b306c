"""FixMatch: who teaches whom, with which view, and the averaged weights in closed form."""

import numpy as np
import pytest
import torch
from sessions import digits, fitted, labelled_session, runner, same, state, vectors
from tolerance import assert_rounded
from torch.nn import functional as F

from labelgap.core.errors import LabelgapError
from labelgap.methods.fixmatch import FixMatch, FixMatchOptions


def test_loss_is_the_definition_on_a_real_batch() -> None:
    session = labelled_session("fixmatch", steps=40)
    stage = runner(session)
    for step in range(10):
        stage.step(step)
    batch, network = stage.batch(10), stage.training.network
    assert batch.u is not None
    strong = batch.u_views["strong"]
    assert strong.shape == batch.u.shape
    assert not torch.equal(strong, batch.u)
    with torch.no_grad():
        q = network(batch.u).logits.softmax(dim=1).numpy()
        log_p = network(torch.cat([batch.x, strong])).logits.log_softmax(dim=1).numpy()
    threshold = float(np.median(q.max(axis=1)))
    options = FixMatchOptions(threshold=threshold, weight=0.7)
    found = FixMatch(options).stages(stage.training)[0].phases[0].loss(batch)
    n = len(batch.x)
    supervised = -log_p[np.arange(n), batch.y.numpy()].mean()
    taught = [-log_p[n + i, row.argmax()] for i, row in enumerate(q) if row.max() >= threshold]
    assert len(taught) == len(q) // 2
    # The same logits: what is rounded is a softmax over ten classes and a mean over the items.
    expected = supervised + 0.7 * sum(taught) / len(q)
    assert_rounded(found, expected, 10 + 4 + len(q), np.abs(log_p).max())


def test_confident_labels_teach_and_an_impossible_threshold_does_not() -> None:
    """At τ = 1 the network learns from labels alone: its loss has cross-entropy's gradient."""
    gradients = {}
    for threshold in (0.0, 1.0):
        session = labelled_session("fixmatch", objective={"threshold": threshold})
        stage = runner(session)
        batch, network = stage.batch(0), stage.training.network
        stage.stage.phases[0].loss(batch).backward()
        gradients[threshold] = network.head.weight.grad.clone()
        network.zero_grad(set_to_none=True)
        logits = network(torch.cat([batch.x, batch.u_views["strong"]])).logits
        F.cross_entropy(logits[: len(batch.x)], batch.y).backward()
        plain = network.head.weight.grad.clone()
    # A sum over the batch's items, in either way.
    assert_rounded(gradients[1.0], plain, 2 * (len(logits) + 10), plain.abs().max())
    assert not torch.allclose(gradients[0.0], plain)


def test_mu_unlabelled_images_per_labelled_one() -> None:
    batch = runner(labelled_session("fixmatch", objective={"ratio": 7.0})).batch(0)
    assert batch.u is not None
    assert len(batch.u) == 7 * len(batch.x)


def test_average_of_weights_is_the_recursion_and_ends_in_the_network() -> None:
    session = labelled_session("fixmatch", steps=6, objective={"ema": 0.5})
    training = session.new_training(0)
    expected = training.network.head.weight.detach().double()
    session.learner.fit(training, session.objective)
    final = training.network.head.weight.detach().clone()
    # The same training without an average, its weights recorded before every step.
    plain = labelled_session("fixmatch", steps=6)
    stage = runner(plain)
    for step in range(7):
        decay = min(0.5, (1 + step) / (10 + step))
        weight = stage.training.network.head.weight.detach().double()
        expected = decay * expected + (1 - decay) * weight
        if step < 6:
            stage.step(step)
    assert_rounded(final, expected, 3 * 7, expected.abs().max())
    assert not torch.allclose(final, stage.training.network.head.weight)


def test_unlabelled_images_change_the_network() -> None:
    assert not same(state(fitted("random", steps=10)), state(fitted("fixmatch", steps=10)))


def test_vectors_are_refused_and_a_full_labelled_set_is_not() -> None:
    with pytest.raises(LabelgapError, match="needs images"):
        labelled_session("fixmatch", task=vectors())
    session = fitted("fixmatch", steps=3, labels=len(digits().train), objective={"ema": 0.9})
    assert session.evaluate().accuracy > 0


def test_every_weight_learns_in_bfloat16() -> None:
    """The weak pass has no graph, and what autocast keeps of it must not reach the strong one."""
    session = labelled_session("fixmatch")
    stage = runner(session)
    batch, network = stage.batch(0), stage.training.network
    with torch.autocast("cpu", torch.bfloat16):
        loss = stage.stage.phases[0].loss(batch)
    loss.backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_the_strong_view_is_another_one_without_crop_and_flip_too() -> None:
    batch = runner(labelled_session("fixmatch", training={"steps": 4, "augment": False})).batch(0)
    assert batch.u is not None
    assert not torch.equal(batch.u, batch.u_views["strong"])
