"""Strong augmentation: warps against scipy, their law, and what leaves them alone."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform
from tolerance import assert_rounded
from views_at_once import strong

from labelgap.data import Augment
from labelgap.data.strong import random_affine, warp

SPEC = Augment(pad=0, flip=False)


def images(b, side=16, channels=3, seed=0):
    draw = np.random.default_rng(seed).integers(0, 256, (b, side, side, channels), dtype=np.uint8)
    return torch.from_numpy(draw)


@pytest.mark.parametrize("seed", range(3))
def test_a_warp_is_scipys_affine_transform(seed):
    x = images(8, seed=seed).float()
    fill = torch.full((8, 1, 1, 1), 100.0)
    maps = random_affine(8, np.random.default_rng(seed))
    found = warp(x, maps, fill).numpy()
    side = x.shape[1]
    centre = (side - 1) / 2
    for image, m, mine in zip(x.numpy(), maps.numpy().astype(float), found, strict=True):
        # affine_grid maps (x, y) in [-1, 1]; scipy maps (row, column) in pixels.
        matrix = np.array([[m[1, 1], m[1, 0]], [m[0, 1], m[0, 0]]])
        moved = np.array([m[1, 2], m[0, 2]]) * side / 2
        offset = centre + moved - matrix @ np.full(2, centre)
        for c in range(3):
            theirs = affine_transform(
                image[:, :, c], matrix, offset, order=1, mode="grid-constant", cval=100.0
            )
            # A place is a sum of three in units of half a side; a pixel's slope is 255 at most.
            assert_rounded(mine[:, :, c], theirs, 3 + 4, 255 * side)


def test_half_are_left_alone_and_the_rest_are_one_of_five():
    maps = random_affine(20_000, np.random.default_rng(0)).double().numpy()
    same = (maps == np.eye(2, 3)).all(axis=(1, 2))
    assert abs(same.mean() - 0.5) < 0.02
    turned = np.abs(maps[:, 0, 1] + maps[:, 1, 0]) < 1e-6
    turned &= maps[:, 0, 1] != 0
    others = [np.abs(maps[:, i, j]) > 0 for i, j in ((0, 1), (1, 0), (0, 2), (1, 2))]
    kinds = [turned, others[0] & ~turned, others[1] & ~turned, others[2], others[3]]
    assert (sum(k.astype(int) for k in kinds) + same == 1).all()
    for kind in kinds:
        assert abs(kind.mean() - 0.1) < 0.01
    angle = np.arctan2(maps[turned, 1, 0], maps[turned, 0, 0])
    assert math.radians(29) < np.abs(angle).max() <= math.radians(30)
    assert abs(np.median(angle)) < 0.03


def test_geometry_is_off_unless_asked_for_and_repeats_with_its_stream():
    x = images(64)
    plain = strong(x, SPEC, np.random.default_rng(5))
    assert torch.equal(plain, strong(x, SPEC, np.random.default_rng(5), geometry=False))
    warped = strong(x, SPEC, np.random.default_rng(5), geometry=True)
    assert torch.equal(warped, strong(x, SPEC, np.random.default_rng(5), geometry=True))
    assert warped.dtype == torch.uint8
    assert warped.shape == x.shape
    assert not torch.equal(warped, plain)


def test_brightness_reaches_from_two_fifths_to_eight_fifths_and_contrast_leaves_a_plain_image():
    x = torch.full((4000, 8, 8, 1), 60, dtype=torch.uint8)
    values = strong(x, SPEC, np.random.default_rng(0)).flatten(1)
    assert (values == values[:, :1]).all()  # the hole is filled with the mean
    seen = values[:, 0].double().numpy()
    assert 23 <= seen.min() < 26
    assert 94 < seen.max() <= 96
    assert abs(np.median(seen) - 60) < 1.5


def test_a_quarter_of_the_bright_images_is_solarised():
    """255 at any brightness above 1: only a solarised one is dark."""
    x = torch.full((8000, 4, 4, 1), 255, dtype=torch.uint8)
    seen = strong(x, SPEC, np.random.default_rng(1)).flatten(1)[:, 0].double().numpy()
    # Half are at 255, a quarter of these turn to 0.
    assert abs((seen == 0).mean() - 0.5 * 0.25) < 0.02
    assert abs((seen == 255).mean() - 0.5 * 0.75) < 0.02


def test_contrast_widens_and_narrows_and_the_hole_is_a_rectangle_of_half_the_side_at_most():
    side = 24
    stripes = 100 + 20 * (torch.arange(side) % 2).to(torch.uint8)
    x = stripes.view(1, 1, side, 1).expand(2000, side, side, 1).contiguous()
    out = strong(x, SPEC, np.random.default_rng(2)).squeeze(3).double()
    low, high = out.flatten(1).amin(1), out.flatten(1).amax(1)
    # Below 128 nothing is solarised.
    out, low, high = (v[high < 128] for v in (out, low, high))
    ratio = ((high - low) / (high + low) / (20 / 220)).numpy()
    assert 0.3 < np.quantile(ratio, 0.02) < 0.5
    assert 1.4 < np.quantile(ratio, 0.98) < 1.7
    hole = ((out > low[:, None, None]) & (out < high[:, None, None])).numpy()
    found = np.flatnonzero(hole.any(axis=(1, 2)))
    assert len(found) > 0.9 * len(out)
    for image in hole[found]:
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        assert image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert max(len(rows), len(columns)) <= side / 2 + 1
