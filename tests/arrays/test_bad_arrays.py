"""Bad input to the calls on arrays: each its own error, with cause and cure."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from array_world import CLASSES, LABELLED, WIDTH, N, world

import labelgap
from labelgap.core.errors import (
    BudgetError,
    ConfigError,
    DataError,
    DeviceError,
    LabelgapError,
    NumericalError,
    PairError,
    UnknownName,
)


def _with(array: Any, at: Any, value: Any) -> Any:
    changed = np.array(array)
    changed[at] = value
    return changed


def _on_gpu() -> Any:
    class OnGpu:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

        def __array__(self) -> Any:
            raise AssertionError("a copy from the device")

    return OnGpu()


A = world()
Z, P, Y = A["features"], A["probabilities"], A["labels"]
CASES: dict[str, tuple[dict[str, Any], type[LabelgapError], str, str]] = {
    "rows": ({"features": Z[:-1]}, DataError, "features 89, probabilities 90", "same order"),
    "one axis": ({"features": Z[:, 0]}, DataError, r"shape \[90\]", "row for each item"),
    "images": ({"features": np.zeros((N, 3, 4, 4))}, DataError, r"\[90, 3, 4, 4\]", "reshape"),
    "sum": (
        {"probabilities": _with(P, 4, 0.9)},
        DataError,
        "do not sum to 1 for 1 items: 4; the first sums to 2.7",
        "logits=",
    ),
    "negative": ({"probabilities": P - 0.5}, DataError, "negative", "logits="),
    "both": ({"logits": P}, ConfigError, "Both", "one of them"),
    "labelled twice": (
        {"labelled": [3, 3], "labels": [0, 1]},
        DataError,
        "labelled has ids twice: 3",
        "once",
    ),
    "available twice": ({"available": [1, 1]}, DataError, "available has ids twice: 1", "once"),
    "ids twice": ({"ids": [0, *range(N - 1)]}, DataError, "ids has ids twice: 0", "once"),
    "too few ids": ({"ids": [1, 2]}, DataError, r"ids has the shape \[2\]", "each row"),
    "outside": (
        {"labelled": [3, 4000], "labels": [0, 1]},
        DataError,
        "not among rows 0 … 89: 4000",
        "labelled items have a row",
    ),
    "negative row": ({"labelled": [-1], "labels": [0]}, DataError, "rows 0 … 89: -1", "row"),
    "mask": ({"available": np.ones(7, bool)}, DataError, r"shape \[7\]", "each item"),
    "n": ({"n": N}, BudgetError, "90 items are asked for, and 84 of 90", "at most 84"),
    "n is no number": ({"n": True}, ConfigError, "n is True", "whole number"),
    "n is below": ({"n": -1}, ConfigError, "n is -1", "whole number"),
    "nothing left": ({"n": 1, "available": LABELLED}, BudgetError, "0 of 90", "Nothing is left"),
    "NaN": (
        {"features": _with(Z, (17, 2), np.nan)},
        NumericalError,
        "features is NaN or infinite for 1 of 84 items: 17",
        "available=",
    ),
    "NaN in p": (
        {"probabilities": _with(P, 5, np.nan)},
        NumericalError,
        "^probabilities .*: 5",
        "Fill",
    ),
    "NaN in logits": (
        {"probabilities": None, "logits": _with(P, 5, np.nan)},
        NumericalError,
        "^logits .*: 5",
        "Fill",
    ),
    "infinite": ({"features": _with(Z, 3, np.inf)}, NumericalError, "1 of 6 items: 3", "Fill"),
    "objects": (
        {"features": Z.astype(object)},
        DataError,
        "features is an array of Python objects",
        "np.asarray",
    ),
    "text": ({"features": Z.astype(str)}, DataError, "an array of text", "columns of text"),
    "complex": ({"features": Z + 1j}, DataError, "complex", "np.asarray"),
    "ragged": ({"features": [[1.0], [1.0, 2.0]]}, DataError, "cannot be read", "same length"),
    "sparse": ({"features": scipy.sparse.csr_matrix(Z)}, DataError, "sparse", "toarray"),
    "gpu": ({"features": _on_gpu()}, DeviceError, "main memory", "device_get"),
    "meta": ({"features": torch.zeros(N, 2, device="meta")}, DeviceError, "lies on meta", "cpu()"),
    "few labels": ({"labels": Y[:-1]}, DataError, "6 items are labelled, and there are 5", "one"),
    "no labels": ({"labels": ()}, DataError, "6 items are labelled, and there are 0", "labels="),
    "label beyond": (
        {"labels": [0, 1, 2, 3, 0, 1]},
        DataError,
        "label 3 has no column: there are 3, 0 … 2",
        "classifier.classes_",
    ),
    "names": ({"labels": list("abcabc")}, DataError, "'a'", "classes="),
    "strange name": (
        {"labels": list("abcabd"), "classes": list("abc")},
        DataError,
        "not among a, b, c: d",
        "classes",
    ),
    "unlabelled labels": (
        {"labels": [0, 1, 2, 0, 1, np.nan]},
        DataError,
        "no whole numbers",
        "leave unlabelled",
    ),
    "class names": ({"classes": list("ab")}, DataError, "2 classes .* 3 columns", "column"),
    "two indices": (
        {"features": pd.DataFrame(Z), "probabilities": pd.DataFrame(P, index=range(1, N + 1))},
        DataError,
        "index of probabilities is not the index of features",
        "loc",
    ),
    "method": ({"method": "entropie"}, UnknownName, "entropie", "'entropy'"),
    "option": ({"options": {"rarety": 1}}, LabelgapError, "rarety", "rarity"),
    "upper line": ({"method": "oracle"}, UnknownName, "oracle", "Valid"),
    "passes": ({"method": "bald"}, PairError, "needs mc_logits", "several passes with dropout"),
    "loss": ({"method": "predicted-loss"}, PairError, "needs predicted_loss", "ll4al"),
    "network": ({"method": "isal"}, PairError, "the whole network", "Session"),
    "layer": ({"method": "alfa-mix"}, PairError, "last layer", "head="),
    "no features": ({"features": None, "method": "coreset"}, PairError, "features", "features=Z"),
    "no predictions": ({"probabilities": None}, PairError, "needs logits", "probabilities=P"),
    "nothing": ({"features": None, "probabilities": None}, ConfigError, "No array", "features="),
    "argument": ({"outputs": {"features": Z}}, ConfigError, "outputs has 'features'", "features="),
    "head": (
        {"method": "alfa-mix", "head": (np.ones((1, WIDTH)), np.ones(1))},
        DataError,
        r"\[1, 6\] and \[1\]",
        r"\[3, 6\]",
    ),
    "other head": (
        {"method": "alfa-mix", "head": (-np.eye(CLASSES, WIDTH), np.zeros(CLASSES))},
        DataError,
        "other probabilities",
        "enter this layer",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_has_its_error_with_cause_and_cure(case: str) -> None:
    change, error, cause, cure = CASES[case]
    arguments = {"n": 5, **A, **change}
    with pytest.raises(error, match=cause) as said:
        labelgap.choose(arguments.pop("n"), **arguments)
    assert cure.replace("\\", "") in str(said.value)


def test_what_is_not_asked_about_may_be_unknown() -> None:
    """NaN where an item is neither labelled nor available harms nobody."""
    found = labelgap.choose(
        5, _with(Z, 17, np.nan), probabilities=P, labelled=LABELLED, labels=Y,
        available=np.arange(N) != 17,
    )  # fmt: skip
    assert 17 not in found.ids


GAP_CASES: dict[str, tuple[dict[str, Any], type[LabelgapError], str]] = {
    "width": ({"unlabelled": Z[:, :3]}, DataError, "6 columns, unlabelled ones 3"),
    "few": ({"labelled": Z[:4]}, DataError, "4 labelled items are too few"),
    "few others": ({"unlabelled": Z[:9]}, DataError, "9 unlabelled items are too few"),
    "NaN": ({"labelled": _with(Z[:20], 3, np.nan)}, NumericalError, "labelled .*: 3"),
    "objects": ({"labelled": Z.astype(object)}, DataError, "Python objects"),
    "gpu": ({"unlabelled": _on_gpu()}, DeviceError, "main memory"),
    "half": ({"labels": [0] * 20}, DataError, "labels are given without probabilities"),
    "rows": ({"labels": [0] * 20, "probabilities": P[:5]}, DataError, "5 rows, .* 70"),
    "labels": ({"labels": [0] * 3, "probabilities": P[20:]}, DataError, "3 labels and 20"),
    "dimensions": ({"dimensions": 0}, ConfigError, "dimensions is 0"),
}


@pytest.mark.parametrize("case", GAP_CASES)
def test_the_gap_refuses_alike(case: str) -> None:
    change, error, cause = GAP_CASES[case]
    with pytest.raises(error, match=cause) as said:
        labelgap.gap(**{"labelled": Z[:20], "unlabelled": Z[20:], **change})
    assert said.value.cure
