"""Random crop and flip, and normalisation: what happens to every batch of every training step."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn import functional as F

from labelgap.data.types import Augment


def augment(
    inputs: UInt8[Tensor, "b h w c"], spec: Augment, rng: np.random.Generator
) -> UInt8[Tensor, "b h w c"]:
    """Each image cropped at its own random place out of a zero border, and flipped or not.

    The draws come from `rng` on the CPU and are moved, so that every device sees the same crops;
    per call: b row offsets, b column offsets in 0..2·pad, then b flips, whatever `spec` uses.
    """
    b, h, w, c = inputs.shape
    offsets = torch.from_numpy(rng.integers(0, 2 * spec.pad + 1, size=(2, b)))
    flips = torch.from_numpy(rng.integers(0, 2, size=b).astype(np.bool_))
    if spec.pad:
        padded = F.pad(inputs, (0, 0, spec.pad, spec.pad, spec.pad, spec.pad))
        # All crops as a view, of which one an image is copied: no index arithmetic per pixel.
        flat = padded.flatten(2)  # [b, H, W·c]
        windows = flat.unfold(1, h, 1).unfold(2, w * c, c)  # [b, 2p+1, 2p+1, h, w·c]
        rows, columns = offsets.to(inputs.device)
        which = torch.arange(b, device=inputs.device)
        inputs = windows[which, rows, columns].view(b, h, w, c)
    if spec.flip:
        mirror = flips.to(inputs.device)[:, None, None, None]
        inputs = torch.where(mirror, inputs.flip(2), inputs)
    return inputs.contiguous()


def normalise(
    inputs: UInt8[Tensor, "b h w c"] | Float[Tensor, "b d"],
    mean: Sequence[float] | Float[Tensor, " k"],
    std: Sequence[float] | Float[Tensor, " k"],
) -> Float32[Tensor, "b c h w"] | Float32[Tensor, "b d"]:
    """(x − mean) / std in float32, images first scaled to [0, 1].

    Images come out as [b, c, h, w] in the channels-last layout, which is the layout they are
    packed in, so nothing is transposed. `mean` and `std` may be tensors already on the device.
    """
    centre = torch.as_tensor(mean, dtype=torch.float32, device=inputs.device)
    width = torch.as_tensor(std, dtype=torch.float32, device=inputs.device)
    if inputs.ndim == 2:
        return (inputs.to(torch.float32) - centre) / width
    b, h, w, c = inputs.shape
    # Rows of w·c values: an innermost dimension of three is slow.
    values = inputs.reshape(b, h, w * c).to(torch.float32)
    values = (values - (255 * centre).repeat(w)) / (255 * width).repeat(w)
    return values.view(b, h, w, c).permute(0, 3, 1, 2)
