"""Random crop and flip, and normalisation: what happens to every batch of every training step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn import functional as F

from labelgap.data.types import Augment


class Crops(NamedTuple):
    """Where each image of a batch is cut out, and whether it is mirrored; arrays or tensors.

    places: [b, 2], of rows, then of columns, 0 … 2·pad. Images come first in all draws, so that
        those of several batches can be joined.
    """

    places: Any
    mirrored: Any


def crops(b: int, spec: Augment, rng: np.random.Generator) -> Crops:
    """The draws of b images: b row offsets, b column offsets, then b flips, whatever `spec` uses.

    Arrays, so that every device sees the same crops, and draws of many steps can cross at once.
    """
    places = rng.integers(0, 2 * spec.pad + 1, size=(2, b)).T
    return Crops(places, rng.integers(0, 2, size=b).astype(np.bool_))


def cropped(
    inputs: UInt8[Tensor, "b h w c"], spec: Augment, drawn: Crops
) -> UInt8[Tensor, "b h w c"]:
    """Each image as `drawn` says, out of a zero border; the draws are tensors on its device."""
    b, h, w, c = inputs.shape
    device, pad = inputs.device, spec.pad
    padded = F.pad(inputs, (0, 0, pad, pad, pad, pad)) if pad else inputs
    # Crop and flip are one gather of pixels; only 3·b numbers cross to the device.
    columns = torch.arange(w, device=device)
    if spec.flip:
        columns = torch.where(drawn.mirrored[:, None], w - 1 - columns, columns)
    columns = columns + drawn.places[:, 1:]  # [b, w]
    images = torch.arange(b, device=device) * (h + 2 * pad)
    rows = (images + drawn.places[:, 0])[:, None] + torch.arange(h, device=device)  # [b, h]
    pixels = rows[:, :, None] * (w + 2 * pad) + columns[:, None, :]  # [b, h, w]
    return padded.reshape(-1, c).index_select(0, pixels.view(-1)).view(b, h, w, c)


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
