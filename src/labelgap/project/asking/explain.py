"""Why an image was asked for, in words for the person who labels it."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from labelgap.report.explain import explain, number

HELD_OUT = "drawn at random to measure accuracy; never trained on"
TESTED = "chosen to measure accuracy, where the network may err; never trained on"


def why(
    parts: Mapping[str, float | int],
    probabilities: Float[np.ndarray, " k"] | None,
    classes: Sequence[str],
    neighbours: Sequence[str],
) -> str:
    """One line: what the score says, what the network thinks, what is labelled nearby.

    neighbours: class names of the nearest labelled images, the nearest first.
    """
    rest = dict(parts)
    said = []
    size = rest.pop("cluster_size", None)
    rest.pop("typicality", None)
    if size is not None:
        said.append(f"typical of a group of {int(size)} similar images")
    if rest:
        said.append(explain(rest, len(classes)))
    if probabilities is not None:
        best = int(probabilities.argmax())
        percent = 100 * float(probabilities[best])
        said.append(f"the network says {classes[best]} ({number(percent)}\u00a0%)")
    if neighbours:
        ranked = Counter(neighbours).most_common()
        names = ", ".join(name if k == 1 else f"{k} × {name}" for name, k in ranked)
        said.append(f"nearest labelled: {names}")
    return "; ".join(said)
