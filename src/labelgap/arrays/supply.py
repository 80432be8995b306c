"""Which acquisition a name means, and what it still needs that arrays can give."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labelgap.arrays.reading import numbers
from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import options as options_of
from labelgap.core.errors import ConfigError, DataError, PairError, UnknownName
from labelgap.core.streams import Streams
from labelgap.methods import ACQUISITIONS, METHODS, OBJECTIVES
from labelgap.networks.network import Network

HOW = {
    "features": "features=Z, [items, width]: what goes into the last layer",
    "logits": "logits=P or probabilities=P, [items, classes]",
    "mc_logits": 'outputs={"mc_logits": M}, [items, passes, classes]: the logits of several passes '
    "with dropout switched on",
}
"""How each output is handed over."""
_SAME = 1e-2  # a difference of probabilities; predictions in half precision differ by less


def by_arrays() -> tuple[str, ...]:
    """The acquisitions to which features and predictions are enough."""
    names = []
    for name, cls in ACQUISITIONS.items():
        if cls.upper_line:
            continue
        made = cls(cls.Options())
        if made.needs <= {"features", "logits", "embedding"} and not made.needs_network:
            names.append(name)
    return tuple(sorted(names))


def acquisition_of(method: str, options: Mapping[str, Any] | None) -> Acquisition:
    """The acquisition of that name, or of the method of that name where it has one of its own.

    Raises
    ------
    UnknownName: neither; lists the names, the nearest first.
    ConfigError: a method whose own part is training, so that its choice is another's.
    """
    choices = {name for name, cls in ACQUISITIONS.items() if not cls.upper_line}
    if method not in choices:
        if method not in METHODS:
            raise UnknownName("method", method, choices)
        found = METHODS[method]
        if found.objective != "cross-entropy":
            raise ConfigError(
                f"{method!r} is a way to train, and training is yours here; it chooses items by "
                f"{found.acquisition!r}.",
                f"Say method={found.acquisition!r}, or use `labelgap.Session`, which trains too.",
            )
        method = found.acquisition
    cls = ACQUISITIONS[method]
    made: Acquisition = cls(options_of(cls, options or {}, "", "options"))
    return made


def refuse_missing(acquisition: Acquisition, given: Collection[str], head: bool) -> None:
    """Raises `PairError`: which output is missing, and how it is supplied."""
    name = acquisition.name
    for output in sorted(acquisition.needs - set(given)):
        asked = "features" if output == "embedding" else output
        how = HOW.get(asked)
        if how is None:
            makers = sorted(n for n, c in OBJECTIVES.items() if output in c.provides)
            how = f'outputs={{"{output}": x}}, a row for each item'
            if makers:
                how += (
                    f"; it comes of the training {', '.join(makers)}, which `labelgap.Session` does"
                )
        raise PairError(f"method {name!r} needs {asked}, which is not given.", f"Give {how}.")
    if acquisition.needs_network and not acquisition.needs_head:
        raise PairError(
            f"method {name!r} needs the whole network, not its outputs alone.",
            "Use `labelgap.Session`, which trains one, or choose another method: "
            f"{', '.join(by_arrays())}.",
        )
    if acquisition.needs_head and not head:
        raise PairError(
            f"method {name!r} needs the network's last layer: it asks what the layer says of "
            "features that no item has.",
            "Give head=(weight, bias), [classes, width] and [classes], or the `torch.nn.Linear`.",
        )


class Head(Network):
    """A network of which only the last layer is known."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        with Streams(0).scope("head"):  # weights are drawn first, and nobody else's draws change
            super().__init__(weight.shape[1], (), weight.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(weight)
            self.head.bias.copy_(bias)
        self.eval().requires_grad_(False)


def head_of(given: Any, width: int | None, classes: int | None) -> Head:
    """The last layer, from (weight, bias) or a `torch.nn.Linear`.

    Raises `DataError` where its shape is not that of features and classes.
    """
    pair = given
    if isinstance(given, torch.nn.Linear):
        pair = (given.weight, torch.zeros(given.out_features) if given.bias is None else given.bias)
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise DataError(
            f"head is a {type(given).__name__}.",
            "Give (weight, bias), such as `(classifier.coef_, classifier.intercept_)`.",
        )
    weight = numbers(pair[0], "head's weight", ndim=2).astype(np.float32)
    bias = numbers(pair[1], "head's bias", ndim=1).astype(np.float32)
    k = len(bias) if classes is None else classes
    wanted = (k, weight.shape[1] if width is None else width)
    if weight.shape != wanted or bias.shape != (k,):
        raise DataError(
            f"head has the shapes {list(weight.shape)} and {list(bias.shape)}.",
            f"Give [{wanted[0]}, {wanted[1]}] and [{k}]: a row for each class. scikit-learn's "
            "two-class models have one row w: give (np.vstack([-w, w]) / 2, [-b / 2, b / 2]).",
        )
    return Head(torch.from_numpy(weight), torch.from_numpy(bias))


def refuse_other_head(head: Head, features: Tensor, logits: Tensor) -> None:
    """Raises `DataError` where the head does not give the predictions."""
    with torch.no_grad():
        said, given = head.head(features).softmax(1), logits.softmax(1)
    apart = float((said - given).abs().max()) if len(said) else 0.0
    if apart > _SAME:
        raise DataError(
            f"head, applied to features, gives other probabilities than those given: up to "
            f"{apart:.2g} apart.",
            "Give the features that enter this layer, or leave the predictions out: the head "
            "makes them.",
        )
