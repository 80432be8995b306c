"""Strong augmentation for consistency training (FixMatch): on the device, batched, no library.

Crop and flip as in weak augmentation, then two random photometric changes and a cutout of up to
half the side: the ingredients of RandAugment + Cutout that work on grey images of any size.
"""

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from labelgap.data.augment import augment
from labelgap.data.types import Augment


def strong(
    inputs: UInt8[Tensor, "b h w c"], spec: Augment, rng: np.random.Generator
) -> UInt8[Tensor, "b h w c"]:
    """Weak augmentation, brightness and contrast in [0.4, 1.6], solarise, grey-mean cutout."""
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
    # One rectangle per image, its centre anywhere, its sides up to half the image's.
    size_y, size_x = draw(0.0, h / 4), draw(0.0, w / 4)
    y0, x0 = draw(0.0, float(h)), draw(0.0, float(w))
    rows = torch.arange(h, device=x.device).view(1, h, 1, 1)
    columns = torch.arange(w, device=x.device).view(1, 1, w, 1)
    hole = ((rows - y0).abs() <= size_y) & ((columns - x0).abs() <= size_x)
    return torch.where(hole, mean, x).clamp(0, 255).round().to(torch.uint8)
