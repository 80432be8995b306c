"""Strong augmentation for consistency training (FixMatch): on the device, batched, no library.

Crop and flip as in weak augmentation, then random photometric changes and a cutout of up to half
the side: the ingredients of RandAugment + Cutout that work on grey images of any size. Geometric
ones come on demand: they may turn one digit into another.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn import functional as F

from labelgap.data.augment import augment
from labelgap.data.types import Augment


def strong(
    inputs: UInt8[Tensor, "b h w c"],
    spec: Augment,
    rng: np.random.Generator,
    *,
    geometry: bool = False,
) -> UInt8[Tensor, "b h w c"]:
    """Weak augmentation, brightness and contrast in [0.4, 1.6], solarise, grey-mean cutout.

    Parameters
    ----------
    geometry: before the cutout half of the images are turned, sheared or moved too.
    """
    x = augment(inputs, spec, rng).float()
    b, h, w, _ = x.shape

    def draw(low: float, high: float) -> Tensor:
        values = rng.uniform(low, high, size=(b, 1, 1, 1)).astype(np.float32)
        return torch.from_numpy(values).to(x.device)

    x = x * draw(0.4, 1.6)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = ((x - mean) * draw(0.4, 1.6) + mean).clamp(0, 255)
    solarised = torch.where(x > draw(128.0, 256.0), 255 - x, x)
    x = torch.where(draw(0.0, 1.0) < 0.25, solarised, x)
    if geometry:
        x = warp(x, random_affine(b, rng).to(x.device), mean)
    # One rectangle per image, its centre anywhere, its sides up to half the image's.
    size_y, size_x = draw(0.0, h / 4), draw(0.0, w / 4)
    y0, x0 = draw(0.0, float(h)), draw(0.0, float(w))
    rows = torch.arange(h, device=x.device).view(1, h, 1, 1)
    columns = torch.arange(w, device=x.device).view(1, 1, w, 1)
    hole = ((rows - y0).abs() <= size_y) & ((columns - x0).abs() <= size_x)
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
