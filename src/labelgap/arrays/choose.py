"""`labelgap.choose`: the next items to label, from arrays of whatever trainer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from labelgap.arrays.items import Items, class_numbers
from labelgap.arrays.reading import finite, log_probabilities, numbers
from labelgap.arrays.supply import Head, acquisition_of, head_of, refuse_missing, refuse_other_head
from labelgap.axes.acquisition import check_query
from labelgap.axes.view import PoolView
from labelgap.core import scratch
from labelgap.core.errors import BudgetError, ConfigError, DataError
from labelgap.core.streams import Streams
from labelgap.core.types import NONE_OF_THESE, Query, QueryItem
from labelgap.report.explain import explain

_LOOK = 100
"""Rows by which a head is compared with the predictions given."""


@dataclass(frozen=True)
class Choice(Query):
    """A query in the caller's own terms.

    Attributes
    ----------
    ids: as the caller calls them, in the order in which they should be labelled.
    rows: the same items as rows of the arrays.
    reasons: a sentence an item on why it was chosen; "" where the method gives no reason, as
        chance does not.
    """

    ids: NDArray[Any]
    rows: Int64[np.ndarray, " n"] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    reasons: tuple[str, ...] = ()

    @property
    def scores(self) -> NDArray[np.float64] | None:
        """The total score of each item, higher is more informative; None without one."""
        return self.score

    def items(self) -> list[QueryItem]:
        """Its items, in the order of `ids`; their `id` is the row of the arrays."""
        return [
            QueryItem(
                int(row),
                None if self.score is None else float(self.score[i]),
                {name: float(values[i]) for name, values in self.parts.items()},
                None if self.pseudo_label is None else int(self.pseudo_label[i]),
                self.reasons[i],
                self.round,
                i + 1,
            )
            for i, row in enumerate(self.rows)
        ]


def choose(
    n: int,
    features: Any = None,
    *,
    logits: Any = None,
    probabilities: Any = None,
    labelled: Any = (),
    labels: Any = (),
    available: Any = None,
    ids: Any = None,
    classes: Any = None,
    method: str = "gap",
    options: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
    head: Any = None,
    round: int = 1,
    seed: int = 0,
) -> Choice:
    """The n items to label next, from arrays alone; the training stays yours.

    All arrays have a row for each item, labelled ones included, in one order. They may be of
    numpy, torch or jax on the processor, pandas, or of any library with `__array__` or DLPack.
    Nothing of yours is changed. Memory maps may be larger than memory: what a method needs of
    them beyond 512 MB lies in files that are gone afterwards (docs/scaling.md). Maps of float16
    are read as they are.

    Parameters
    ----------
    n: how many items, at most as many as are available.
    features: [N, d], what enters your last layer, or a frozen backbone's features. They also
        stand for "embedding", unless `outputs` has one of its own.
    logits, probabilities: [N, K], one of them: what your classifier says.
    labelled: ids of the items that have a label, or a mask [N].
    labels: their classes, in the order of `labelled` (of a mask: of its rows). Columns' numbers,
        or names from `classes`. −1 is "none of these".
    available: which items may be asked for, ids or a mask [N]; all that have no label without it.
    ids: [N], what you call the items; the index of pandas, else the rows' numbers, without it.
    classes: the name of each column of the predictions, such as `classifier.classes_`.
    method: an acquisition (`labelgap methods` lists them). "gap" weighs doubt, rarity and coverage
        and is the one with the best development figures here (docs/methods/gap.md).
    options: keys of the acquisition (`labelgap config --method NAME`).
    outputs: further arrays [N, …] that a method needs, by name.
    head: (weight [K, d], bias [K]) of the last layer, for methods that ask what it says of other
        features. Makes the logits where none are given.
    round: which query this is, from 1; some methods change with it.
    seed: equal calls with equal seeds choose the same. Draws belong to ids that are whole numbers.

    Returns
    -------
    n distinct ids, their scores, the scores' parts and the reasons in words.

    Raises
    ------
    DataError: shapes that do not belong together, text or objects, probabilities that do not sum
        to 1, an id twice, a labelled item that is not there, a label without a column.
    NumericalError: NaN or infinity, naming the items.
    DeviceError: an array on a GPU.
    BudgetError: n is larger than what is available.
    PairError: the method needs what is not given; says what, and how to give it.
    ConfigError, UnknownName: a method, key or value that there is not.
    """
    acquisition = acquisition_of(method, options)
    given = _arrays(features, logits, probabilities, outputs)
    tables = {"features": features, "logits": logits, "probabilities": probabilities}
    items = Items.of(_size(given, ids), ids, tables)
    if probabilities is not None:
        given["logits"] = log_probabilities(given.pop("probabilities"), items.ids)
    last = None if head is None else _head(head, given)
    have = set(given)
    if "features" in given:
        have |= {"embedding"} if last is None else {"embedding", "logits"}
    refuse_missing(acquisition, have, last is not None)

    known = items.rows(labelled, "labelled")
    columns = given["logits"].shape[1] if "logits" in given else None
    if last is not None:
        columns = last.num_classes
    y = class_numbers(labels, classes, columns)
    if len(y) != len(known):
        raise DataError(
            f"{len(known)} items are labelled, and there are {len(y)} labels.",
            "Give `labels=`, one class for each labelled item, in the order of `labelled`.",
        )
    free = np.arange(len(items), dtype=np.int64)
    if available is not None:
        free = np.sort(items.rows(available, "available"))
    free = np.setdiff1d(free, known)
    _check_number(n, len(free), len(items))

    wanted = (acquisition.needs | acquisition.uses | {"logits"}) & have
    taken = known[y != NONE_OF_THESE]
    said = {"logits": "probabilities"} if probabilities is not None else {}
    sides = [_outputs(wanted, given, last, rows, items, said) for rows in (taken, free)]
    if columns is None:
        columns = len(classes) if classes is not None else int(y.max(initial=0)) + 1
    numbers_of = items.numbers
    view = PoolView(
        round=round,
        num_classes=columns,
        labelled_ids=numbers_of[taken],
        labels=y[y != NONE_OF_THESE],
        candidate_ids=numbers_of[free],
        labelled=sides[0],
        candidates=sides[1],
        streams=Streams(seed),
        rejected_ids=numbers_of[known[y == NONE_OF_THESE]],
        network=last,
    )
    query = acquisition.select(view, int(n))
    check_query(query, view, int(n), acquisition.name)
    place = dict(zip(numbers_of[free].tolist(), free.tolist(), strict=True))
    rows = np.array([place[id] for id in query.ids.tolist()], dtype=np.int64)
    return Choice(
        ids=items.ids[rows],
        score=query.score,
        parts=query.parts,
        pseudo_label=query.pseudo_label,
        notes=query.notes,
        round=round,
        memory=query.memory,
        rows=rows,
        reasons=tuple(
            explain({name: float(v[i]) for name, v in query.parts.items()}, columns)
            for i in range(len(rows))
        ),
    )


def _arrays(
    features: Any, logits: Any, probabilities: Any, outputs: Mapping[str, Any] | None
) -> dict[str, NDArray[Any]]:
    """What was given, as numpy arrays by name."""
    if logits is not None and probabilities is not None:
        raise ConfigError(
            "Both logits and probabilities are given.", "Give one of them: they say the same."
        )
    tables = {"features": features, "logits": logits, "probabilities": probabilities}
    found = {n: numbers(x, n, ndim=2) for n, x in tables.items() if x is not None}
    for name, x in (outputs or {}).items():
        if name in tables:
            raise ConfigError(
                f"outputs has {name!r}, which is an argument of its own.", f"Give `{name}=`."
            )
        found[name] = numbers(x, f"outputs[{name!r}]")
    return found


def _size(given: Mapping[str, NDArray[Any]], ids: Any) -> int:
    """How many items there are: what all arrays agree on."""
    sizes = {name: len(x) if x.ndim else 0 for name, x in given.items()}
    if not sizes:
        if ids is not None:
            return len(ids)
        raise ConfigError(
            "No array is given, so there is nothing to choose from.",
            "Give `features=` and `logits=` or `probabilities=`, or `ids=` alone for method "
            "'random'.",
        )
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise DataError(
            f"The arrays do not have the same number of rows: {said}.",
            "Give a row for each item, labelled ones included, in the same order.",
        )
    return next(iter(sizes.values()))


def _head(head: Any, given: Mapping[str, NDArray[Any]]) -> Head:
    width = given["features"].shape[1] if "features" in given else None
    return head_of(head, width, given["logits"].shape[1] if "logits" in given else None)


def _outputs(
    wanted: frozenset[str],
    given: Mapping[str, NDArray[Any]],
    last: Head | None,
    rows: NDArray[np.int64],
    items: Items,
    said: Mapping[str, str],
) -> dict[str, Tensor]:
    """The wanted outputs of some rows: as given, or made of the features.

    said: what the caller calls an output, where that is another word.
    """
    read = wanted & given.keys()
    if read != wanted:  # features stand for an embedding, and the head makes logits of them
        read |= {"features"}
    made = {name: _tensor(given[name], rows, items, said.get(name, name)) for name in sorted(read)}
    if "embedding" in wanted and "embedding" not in made:
        made["embedding"] = made["features"]
    if last is not None and "features" in made:
        if "logits" in made:
            refuse_other_head(last, made["features"][:_LOOK], made["logits"][:_LOOK])
        else:
            with torch.no_grad():
                made["logits"] = last.head(made["features"])
    return made


def _check_number(n: int, free: int, size: int) -> None:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise ConfigError(f"n is {n!r}.", "Give how many items to choose: a whole number.")
    if n > free:
        raise BudgetError(
            f"{n} items are asked for, and {free} of {size} are available and unlabelled.",
            f"Ask for at most {free}." if free else "Nothing is left to ask for.",
        )


def _tensor(array: NDArray[Any], rows: NDArray[np.int64], items: Items, name: str) -> Tensor:
    """Some rows as float32, finite: a copy that is written once, in a map where it is large."""
    finite(array, rows, items.ids, name)
    if _is_part(array, rows):  # of a map of the caller's: it is read where it lies
        return torch.from_numpy(array[rows[0] : rows[-1] + 1])
    return scratch.read(array, rows, torch.float32)


def _is_part(array: NDArray[Any], rows: NDArray[np.int64]) -> bool:
    """Whether the rows are neighbours in an array of float32 that torch can read as it is."""
    return (
        isinstance(array, np.memmap)
        and array.dtype == np.float32
        and array.flags.c_contiguous
        and array.flags.writeable  # else torch would warn; `np.load(mmap_mode="c")` gives this
        and len(rows) > 0
        and int(rows[-1] - rows[0]) == len(rows) - 1
        and bool((np.diff(rows) == 1).all())
    )
