"""Strong augmentation for consistency training (FixMatch): on the device, batched, no library.

Crop and flip as in weak augmentation, then random photometric changes and a cutout of up to half
the side: the ingredients of RandAugment + Cutout that work on grey images of any size. Geometric
ones come on demand: they may turn one digit into another.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn import functional as F

from labelgap.data.augment import Crops, cropped, crops
from labelgap.data.types import Augment


class Changes(NamedTuple):
    """What befalls each image of a batch; arrays or tensors, factors and sizes [b, 1, 1, 1].

    maps: [b, 2, 3] of a change of geometry, or [0, 2, 3] for none.
    size_y, size_x, y, x: half sides and centre of the cutout.
    """

    places: Any
    mirrored: Any
    brightness: Any
    contrast: Any
    threshold: Any
    solarised: Any
    maps: Any
    size_y: Any
    size_x: Any
    y: Any
    x: Any


def changes(
    b: int, size: tuple[int, int], spec: Augment, rng: np.random.Generator, *, geometry: bool
) -> Changes:
    """The draws of b images of `size` (rows, columns): those of weak augmentation, brightness and
    contrast in [0.4, 1.6], solarise, a change of geometry, and a grey-mean cutout.

    Parameters
    ----------
    geometry: before the cutout half of the images are turned, sheared or moved too.
    """

    def draw(low: float, high: float) -> np.ndarray:  # a shape here would be parsed every time
        return rng.uniform(low, high, size=(b, 1, 1, 1)).astype(np.float32)

    h, w = size
    weak = crops(b, spec, rng)
    light = draw(0.4, 1.6), draw(0.4, 1.6), draw(128.0, 256.0), draw(0.0, 1.0)
    maps = np.empty((0, 2, 3), dtype=np.float32)
    if geometry:
        maps = random_affine(b, rng).numpy()
    # One rectangle per image, its centre anywhere, its sides up to half the image's.
    hole = draw(0.0, h / 4), draw(0.0, w / 4), draw(0.0, float(h)), draw(0.0, float(w))
    return Changes(*weak, *light, maps, *hole)


def changed(
    inputs: UInt8[Tensor, "b h w c"], spec: Augment, drawn: Changes
) -> UInt8[Tensor, "b h w c"]:
    """Each image as `drawn` says; the draws are tensors on its device."""
    x = cropped(inputs, spec, Crops(drawn.places, drawn.mirrored)).float()
    _, h, w, _ = x.shape
    x = x * drawn.brightness
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = ((x - mean) * drawn.contrast + mean).clamp(0, 255)
    solarised = torch.where(x > drawn.threshold, 255 - x, x)
    x = torch.where(drawn.solarised < 0.25, solarised, x)
    if len(drawn.maps):
        x = warp(x, drawn.maps, mean)
    rows = torch.arange(h, device=x.device).view(1, h, 1, 1)
    columns = torch.arange(w, device=x.device).view(1, 1, w, 1)
    hole = ((rows - drawn.y).abs() <= drawn.size_y) & ((columns - drawn.x).abs() <= drawn.size_x)
    return torch.where(hole, mean, x).clamp(0, 255).round().to(torch.uint8)


def random_affine(b: int, rng: np.random.Generator) -> Float32[Tensor, "b 2 3"]:
    """Half of the maps the identity; else one of five, at RandAugment's largest sizes or below.

    A turn by up to 30°, a shear of up to 0.3 along one side, or a move by up to 0.3 of one side, to
    either direction; in the coordinates of `torch.nn.functional.affine_grid`, where a side is 2.
    """
    which, size = rng.integers(0, 10, b), rng.uniform(-1, 1, b)
    maps = np.tile(np.eye(2, 3), (b, 1, 1))
    turn = np.where(which == 0, size * math.pi / 6, 0.0)
    maps[:, 0, 0] = maps[:, 1, 1] = np.cos(turn)
    maps[:, 0, 1], maps[:, 1, 0] = -np.sin(turn), np.sin(turn)
    for kind, (row, column), most in (
        (1, (0, 1), 0.3), (2, (1, 0), 0.3), (3, (0, 2), 0.6), (4, (1, 2), 0.6),
    ):  # fmt: skip
        maps[:, row, column] += np.where(which == kind, most * size, 0.0)
    return torch.from_numpy(maps.astype(np.float32))


def warp(
    x: Float32[Tensor, "b h w c"],
    maps: Float32[Tensor, "b 2 3"],
    fill: Float[Tensor, "b 1 1 1"],
) -> Float32[Tensor, "b h w c"]:
    """Each image seen through its own affine map, bilinear; what comes from outside is `fill`."""
    planes = (x - fill).permute(0, 3, 1, 2)
    grid = F.affine_grid(maps, list(planes.shape), align_corners=False)
    seen = F.grid_sample(planes, grid, padding_mode="zeros", align_corners=False)
    return seen.permute(0, 2, 3, 1) + fill
