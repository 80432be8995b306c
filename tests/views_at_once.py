"""Views of a batch, drawn and made at once: training does the two apart, many steps ahead."""

import numpy as np
from torch import Tensor

from labelgap.core.crossing import all_over
from labelgap.data.augment import Crops, cropped, crops
from labelgap.data.strong import Changes, changed, changes
from labelgap.data.types import Augment
from labelgap.learn.inputs import Inputs


def augment(inputs: Tensor, spec: Augment, rng: np.random.Generator) -> Tensor:
    drawn = crops(len(inputs), spec, rng)
    return cropped(inputs, spec, Crops(*all_over(drawn, inputs.device)))


def strong(
    inputs: Tensor, spec: Augment, rng: np.random.Generator, *, geometry: bool = False
) -> Tensor:
    b, h, w, _ = inputs.shape
    drawn = changes(b, (h, w), spec, rng, geometry=geometry)
    return changed(inputs, spec, Changes(*all_over(drawn, inputs.device)))


def augmented(inputs: Inputs, ids: np.ndarray, rng: np.random.Generator, kind: str) -> Tensor:
    drawn = all_over(inputs.draw(len(ids), rng, kind), inputs.machine.device)
    return inputs.view(ids, None, kind, tuple(drawn))
