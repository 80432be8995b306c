"""Crops, flips and normalisation against a loop over images and pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerance import assert_rounded
from views_at_once import augment

from labelgap.data import Augment
from labelgap.data.augment import normalise


def batch(b, h, w, c, seed=0):
    draw = np.random.default_rng(seed).integers(0, 256, size=(b, h, w, c), dtype=np.uint8)
    return torch.from_numpy(draw)


def by_loop(inputs, spec, rng):
    """One image at a time, from the documented order of the draws."""
    b, h, w, c = inputs.shape
    dy = rng.integers(0, 2 * spec.pad + 1, size=(2, b))
    flips = rng.integers(0, 2, size=b)
    out = np.zeros((b, h, w, c), np.uint8)
    for i in range(b):
        for y in range(h):
            for x in range(w):
                source_y = y + dy[0, i] - spec.pad
                column = w - 1 - x if spec.flip and flips[i] else x
                source_x = column + dy[1, i] - spec.pad
                if 0 <= source_y < h and 0 <= source_x < w:
                    out[i, y, x] = inputs[i, source_y, source_x].numpy()
    return out


@given(
    st.integers(1, 5), st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 3]),
    st.integers(0, 4), st.booleans(), st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_equals_the_loop(b, h, w, c, pad, flip, seed):
    inputs, spec = batch(b, h, w, c), Augment(pad, flip)
    got = augment(inputs, spec, np.random.default_rng(seed))
    np.testing.assert_array_equal(got, by_loop(inputs, spec, np.random.default_rng(seed)))
    assert got.is_contiguous()


def test_reproducible_and_leaves_its_input_alone():
    inputs = batch(50, 8, 8, 3)
    before = inputs.clone()
    once, again, other = (
        augment(inputs, Augment(2, True), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert torch.equal(inputs, before)


@pytest.mark.parametrize("pad", [1, 2, 4])
def test_every_place_is_as_likely_as_the_others(pad):
    # A single bright pixel in the middle tells where the crop was taken.
    n, side = 40_000, 2 * pad + 1
    inputs = torch.zeros((n, side, side, 1), dtype=torch.uint8)
    inputs[:, pad, pad] = 255
    got = augment(inputs, Augment(pad, False), np.random.default_rng(0))
    assert torch.all(got.flatten(1).sum(1) == 255), "a crop never loses the middle"
    counts = np.bincount(got.flatten(1).argmax(1).numpy(), minlength=side**2)
    expected = n / side**2
    chi2 = ((counts - expected) ** 2 / expected).sum()
    freedom = side**2 - 1
    assert counts.min() > 0
    assert chi2 < freedom + 5 * np.sqrt(2 * freedom)


def test_half_are_flipped_independently_of_the_crop():
    n = 20_000
    inputs = torch.tensor([[1, 2]], dtype=torch.uint8).view(1, 1, 2, 1).repeat(n, 1, 1, 1)
    got = augment(inputs, Augment(0, True), np.random.default_rng(3)).flatten(1)
    flipped = (got == torch.tensor([2, 1])).all(1)
    assert torch.all(flipped | (got == torch.tensor([1, 2])).all(1))
    assert abs(flipped.double().mean() - 0.5) < 5 * 0.5 / np.sqrt(n)


def test_nothing_to_do_gives_the_same_images():
    inputs = batch(4, 5, 6, 3)
    assert torch.equal(augment(inputs, Augment(), np.random.default_rng(0)), inputs)


def test_another_spec_does_not_move_later_draws():
    after = []
    for spec in (Augment(), Augment(2, False), Augment(2, True)):
        rng = np.random.default_rng(0)
        augment(batch(9, 4, 4, 1), spec, rng)
        after.append(rng.bit_generator.state["state"])
    assert after[0].keys() == after[1].keys()
    assert after[1] == after[2]


def test_normalise_images():
    inputs = batch(6, 5, 4, 3)
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.3, 1.0)
    got = normalise(inputs, mean, std)
    expected = (inputs.double() / 255 - torch.tensor(mean)) / torch.tensor(std)
    assert got.shape == (6, 3, 5, 4)
    assert got.dtype == torch.float32
    assert got.is_contiguous(memory_format=torch.channels_last)
    # A quotient, a difference, which cancels, and a quotient; mean and deviation are rounded too.
    size = (torch.tensor(mean) / torch.tensor(std)).view(3, 1, 1)
    assert_rounded(got, expected.permute(0, 3, 1, 2), 5, size)
    assert torch.equal(normalise(inputs, torch.tensor(mean), torch.tensor(std)), got)


def test_normalise_vectors():
    inputs = torch.from_numpy(np.random.default_rng(0).normal(3, 2, (500, 4)).astype(np.float32))
    got = normalise(inputs, tuple(inputs.mean(0).tolist()), tuple(inputs.std(0).tolist()))
    # Mean and deviation as given are float32 sums of 500.
    size = (inputs.mean(0) / inputs.std(0)).abs()
    assert_rounded(got.double().mean(0), torch.zeros(4), 500 + 3, size, dtype="float32")
    assert_rounded(got.double().std(0), torch.ones(4), 500 + 3, dtype="float32")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no second device")
def test_devices_agree():
    inputs = batch(16, 8, 8, 3)
    there = augment(inputs.cuda(), Augment(2, True), np.random.default_rng(0))
    assert torch.equal(there.cpu(), augment(inputs, Augment(2, True), np.random.default_rng(0)))
