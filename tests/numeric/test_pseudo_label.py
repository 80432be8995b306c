"""Pseudo-labels: the masked loss against a loop, and who may teach."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sessions import digits, fitted, labelled_session, runner, same, state, vectors
from tolerance import assert_rounded, rounding

from labelgap.methods import pseudo_label
from labelgap.methods.pseudo_label import (
    Confident,
    PseudoLabel,
    PseudoLabelOptions,
    pseudo_label_loss,
    ramp,
)


@given(
    seed=st.integers(0, 2**16),
    threshold=st.floats(0.0, 1.0),
    b=st.integers(1, 9),
    k=st.integers(2, 6),
)
def test_loss_is_the_definition(seed: int, threshold: float, b: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, target = 3 * rng.standard_normal((2, b, k))
    found = pseudo_label_loss(torch.tensor(predicted), torch.tensor(target), threshold)
    total, size = 0.0, max(1.0, float(np.abs([predicted, target]).max()))
    unsure = size * rounding("float32", k + 4)  # the loss is float32 by design
    for row, teacher, masked in zip(predicted, target, found.mask, strict=True):
        p = np.exp(teacher) / np.exp(teacher).sum()
        assert bool(masked) == (p.max() >= threshold) or abs(p.max() - threshold) < unsure
        if masked:
            total += math.log(np.exp(row).sum()) - row[int(p.argmax())]
    assert_rounded(found.loss, total / b, k + 4 + b, size, dtype="float32")


def test_loss_on_a_real_batch_is_labels_and_ramped_confident_pseudo_labels() -> None:
    session = labelled_session("pseudo-label", steps=40, objective={"ratio": 2.0})
    stage = runner(session)
    for step in range(20):
        stage.step(step)
    batch, network = stage.batch(20), stage.training.network
    assert batch.u is not None
    with torch.no_grad():
        logits = network(torch.cat([batch.x, batch.u])).logits
    n, log_p = len(batch.x), logits.log_softmax(dim=1).numpy()
    assert len(batch.u) == 2 * n
    confidence = logits[n:].softmax(dim=1).max(dim=1).values.numpy()
    threshold = float(np.median(confidence))
    # Step 20 of 40 is half-way up the ramp from a quarter to three quarters.
    options = PseudoLabelOptions(threshold=threshold, weight=0.7, start=0.25, end=0.75)
    found = PseudoLabel(options).stages(stage.training)[0].phases[0].loss(batch)
    supervised = -log_p[np.arange(n), batch.y.numpy()].mean()
    taught = -log_p[n:].max(axis=1)[confidence >= threshold]
    assert len(taught) == n
    expected = supervised + 0.7 * 0.5 * taught.sum() / (2 * n)
    assert taught.sum() > 0.1
    # The same logits: what is rounded is a softmax over ten classes and a mean over the items.
    assert_rounded(found, expected, 10 + 4 + 2 * n, np.abs(log_p).max())


def test_no_gradient_through_the_teacher_nor_from_unsure_items() -> None:
    predicted = torch.zeros(3, 4, requires_grad=True)
    target = torch.tensor([[9.0, 0, 0, 0], [1.0, 0, 0, 0], [0, 0, 9.0, 0]], requires_grad=True)
    pseudo_label_loss(predicted, target, 0.95).loss.backward()
    assert target.grad is None
    assert predicted.grad is not None
    assert predicted.grad[1].abs().sum() == 0
    # The gradient of cross-entropy at uniform logits: (1/4 − one-hot) / b.
    expected = torch.full((2, 4), 0.25)
    expected[0, 0] -= 1
    expected[1, 2] -= 1
    assert_rounded(predicted.grad[[0, 2]], expected.double() / 3, 4 + 4, 1 / 3)


def test_ramp() -> None:
    assert [ramp(x, 0.25, 0.75) for x in (0.0, 0.24, 0.5, 0.75, 1.0)] == [0, 0, 0.5, 1, 1]
    assert ramp(0.5, 0.5, 0.5) == 1.0


def test_labels_come_only_from_confident_unlabelled_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = labelled_session("pseudo-label", steps=80, labels=60)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def spy(predicted: torch.Tensor, target: torch.Tensor, threshold: float) -> Confident:
        result = pseudo_label_loss(predicted, target, threshold)
        seen.append((target.detach().softmax(dim=1).max(dim=1).values, result.mask))
        return result

    monkeypatch.setattr(pseudo_label, "pseudo_label_loss", spy)
    session.fit()
    confidence, mask = (torch.cat(parts) for parts in zip(*seen, strict=True))
    assert 0 < mask.sum() < len(mask)
    assert (confidence[mask] >= 0.95).all()
    assert (confidence[~mask] < 0.95).all()
    # Nothing before a sixth of the stage has passed.
    assert len(seen) == 80 - math.ceil(80 / 6)


def test_unlabelled_batches_hold_no_labelled_image() -> None:
    session = labelled_session("pseudo-label", labels=60)
    stage = runner(session)
    drawn = torch.cat([b.u_ids for b in map(stage.batch, range(60)) if b.u_ids is not None])
    assert len(drawn.unique()) > 1000
    assert not np.isin(drawn.numpy(), session.labelled()[0]).any()


def test_without_weight_only_batch_norm_differs_and_without_time_nothing_does() -> None:
    plain = state(fitted("random", steps=10))
    assert same(plain, state(fitted("pseudo-label", steps=10, objective={"start": 1.0})))
    assert not same(plain, state(fitted("pseudo-label", steps=10)))


def test_vectors_and_a_pool_without_unlabelled_items() -> None:
    fitted("pseudo-label", task=vectors(), steps=8).evaluate()
    everything = len(digits().train)
    fitted("pseudo-label", steps=4, labels=everything).evaluate()
    fitted("batch-norm-only", steps=4, labels=everything, objective={"align_steps": 2}).evaluate()
