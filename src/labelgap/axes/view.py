"""What an acquisition sees: named arrays for labelled and candidate ids, and a frozen network.

There are no labels of unlabelled items in it, so none can be read.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from copy import copy
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from labelgap.axes.finite import refuse_not_finite
from labelgap.core import scratch
from labelgap.core.errors import NumericalError
from labelgap.core.streams import Streams
from labelgap.core.types import Ids
from labelgap.networks.network import Network

_ROWS = 4096


def _not_finite(value: Tensor) -> Bool[Tensor, " n"]:
    """Which items have a value that is NaN or infinite, a piece at a time."""
    found = torch.zeros(len(value), dtype=torch.bool, device=value.device)
    for start in range(0, len(value), _ROWS):
        part = value[start : start + _ROWS]
        rows = part.flatten(1) if part.ndim > 1 else part[:, None]
        found[start : start + len(part)] = ~torch.isfinite(rows).all(dim=1)
    return found


class PoolView:
    """Named arrays of one round, all on the host, rows in the order of the ids.

    Attributes
    ----------
    labelled_ids, labels: what has been answered; label −1 ("none of these") is not among them.
    rejected_ids: labelled items that belong to none of the classes (open-set pools).
    candidate_ids: what may be asked for: unlabelled, not skipped, not held out, in the subset.
    network, inputs: the frozen network in eval mode and a function from ids to its normalised,
        unaugmented inputs on the device, for methods that need more than arrays. None in views
        made from arrays alone.
    passes: function (ids, number) -> stochastic logits [n, t, k]; None without dropout.
    memory: round -> what earlier queries of the run asked to have back (`Query.memory`), and
        the "ids" of its rows.
    later: items of this round that will be asked for once this query has been answered; 0 but in
        the loop of a benchmark, for an acquisition that asks in portions.
    judge: test accuracy of a training with the true labels of these ids beside the labelled ones;
        None but for a benchmark's upper line.
    """

    def __init__(
        self,
        *,
        round: int,
        num_classes: int,
        labelled_ids: Ids,
        labels: Int64[np.ndarray, " l"],
        candidate_ids: Ids,
        labelled: Mapping[str, Tensor],
        candidates: Mapping[str, Tensor],
        streams: Streams,
        rejected_ids: Ids | None = None,
        network: Network | None = None,
        inputs: Callable[[Ids], Tensor] | None = None,
        passes: Callable[[Ids, int], Tensor] | None = None,
        history: Mapping[int, Ids] | None = None,
        preset: str = "",
        memory: Mapping[int, Mapping[str, NDArray[Any]]] | None = None,
        calibrate: Callable[[], float] | None = None,
        later: int = 0,
        judge: Callable[[Ids], float] | None = None,
    ) -> None:
        self.later: int = later
        self.judge: Callable[[Ids], float] | None = judge
        self._calibrate = calibrate
        self.memory: Mapping[int, Mapping[str, NDArray[Any]]] = memory or {}
        self.round: int = round
        self.num_classes: int = num_classes
        self.preset: str = preset
        self.labelled_ids: Ids = labelled_ids
        self.labels: Int64[np.ndarray, " l"] = labels
        self.candidate_ids: Ids = candidate_ids
        self.rejected_ids: Ids = np.empty(0, np.int64) if rejected_ids is None else rejected_ids
        self._labelled, self._candidates, self._streams = labelled, candidates, streams
        self.network: Network | None = network
        self.inputs: Callable[[Ids], Tensor] | None = inputs
        self.passes: Callable[[Ids, int], Tensor] | None = passes
        self.history: Mapping[int, Ids] = history or {}
        self._checked: set[tuple[str, str]] = set()

    def has(self, name: str) -> bool:
        """Whether the named output is there."""
        return name in self._candidates

    def candidates(self, name: str) -> Tensor:
        """The named output of the candidates, [n, ...] in the order of `candidate_ids`.

        Raises NumericalError where a value is NaN or infinite, naming the items whose inputs are
        so themselves, else the output.
        """
        return self._finite(name, self._candidates, "candidates", self.candidate_ids)

    def labelled(self, name: str) -> Tensor:
        """The named output of the labelled items, [l, ...] in the order of `labelled_ids`."""
        return self._finite(name, self._labelled, "labelled items", self.labelled_ids)

    def _finite(self, name: str, outputs: Mapping[str, Tensor], of: str, ids: Ids) -> Tensor:
        value = outputs[name]
        if (name, of) not in self._checked:
            wrong = _not_finite(value).cpu().numpy()
            if wrong.any():
                if self.inputs is not None:
                    refuse_not_finite(ids[wrong], self.inputs)
                raise NumericalError(
                    f"The output {name!r} is NaN or infinite for {wrong.sum()} of {len(value)} "
                    f"{of} in round {self.round}.",
                    "Try a lower learning rate or `--precision float32`; no item was chosen.",
                )
            self._checked.add((name, of))
        return value

    @property
    def class_labels(self) -> Int64[Tensor, " l"]:
        """Labels of the labelled items as a tensor."""
        return torch.from_numpy(self.labels)

    @property
    def pseudo_labels(self) -> Int64[Tensor, " n"]:
        """The network's class of each candidate."""
        return self.candidates("logits").argmax(dim=1)

    def temperature(self) -> float:
        """What the network's logits are to be divided by for probabilities that hold.

        Found when it is first asked for, by labels that a network was not trained on, which costs
        about one more training. 1 in views made from arrays alone: their logits are taken as they
        are.
        """
        return self._calibrate() if self._calibrate else 1.0

    @torch.no_grad()
    def head(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """The frozen network's logits of features, on the host."""
        if self.network is None:
            raise RuntimeError("This view was made from arrays alone; it has no network.")
        head = self.network.head
        return head(features.to(head.weight.device)).float().cpu()  # type: ignore[no-any-return]

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator of this round for a purpose of the query's own."""
        return self._streams.numpy(f"query/{purpose}", self.round)

    def torch_rng(self, purpose: str) -> torch.Generator:
        """The same as a torch generator on the CPU."""
        return self._streams.torch(f"query/{purpose}", self.round)

    def scope(self, purpose: str) -> AbstractContextManager[None]:
        """Seeded global generators, for module constructors of a query's own players."""
        return self._streams.scope(f"query/{purpose}", self.round)

    def ties(self, purpose: str = "ties") -> Float[np.ndarray, " n"]:
        """One draw in [0, 1) per candidate, keyed by its id: the same in any order and company."""
        return self._streams.ties(self.candidate_ids, f"query/{purpose}", self.round)

    def subset(self, rows: Int64[np.ndarray, " r"], purpose: str = "", step: int = 0) -> "PoolView":
        """The same view of some of the candidates, in the order of the rows.

        Parameters
        ----------
        purpose, step: name streams of its own, so that what is chosen of several subsets in one
            round is drawn anew; "" keeps this view's.
        """
        part, index = copy(self), torch.from_numpy(rows)
        part.candidate_ids = self.candidate_ids[rows]
        part._candidates = {n: scratch.rows(value, index) for n, value in self._candidates.items()}
        part._checked = set(self._checked)  # some of what is finite is finite
        if purpose:
            part._streams = self._streams.child(f"query/{purpose}", self.round, step)
        return part
