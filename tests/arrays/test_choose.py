"""`labelgap.choose`: every acquisition by arrays, arrays of every kind, ids of every kind."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from array_world import CLASSES, LABELLED, WIDTH, N, unlabelled, world
from hypothesis import given
from hypothesis import strategies as st

import labelgap
from labelgap.arrays.supply import by_arrays
from labelgap.axes.view import PoolView
from labelgap.core.config import build
from labelgap.core.errors import PairError
from labelgap.core.streams import Streams
from labelgap.methods import ACQUISITIONS, METHODS

SIZE = 5
METHOD_NAMES = sorted(name for name, cls in ACQUISITIONS.items() if not cls.upper_line)


QUICK: dict[str, dict[str, Any]] = {
    "daal": {"critic_steps": 5},
    "coregcn": {"steps": 5},
    "uncertain-gcn": {"steps": 5},
    "refine": {"depth": 1, "batches": 1},
}
"""Less of what takes time, and decides nothing here."""


def more(name: str) -> dict[str, Any]:
    """What an acquisition needs beside features and predictions."""
    rng = np.random.default_rng(1)
    cls = ACQUISITIONS[name]
    outputs = {}
    for need in sorted(cls(cls.Options()).needs - {"features", "logits", "embedding"}):
        shape = {"mc_logits": (N, 4, CLASSES)}.get(
            need, (N, CLASSES) if need.endswith("logits") else (N,)
        )
        outputs[need] = rng.standard_normal(shape)
    return outputs


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_every_acquisition_works_by_arrays_or_says_what_is_missing(name: str) -> None:
    arguments = world()
    if name not in by_arrays():
        with pytest.raises(PairError) as said:
            labelgap.choose(SIZE, **arguments, method=name)
        missing, made = more(name), ACQUISITIONS[name](ACQUISITIONS[name].Options())
        if missing:
            assert any(need in said.value.cause for need in missing)
            assert 'outputs={"' in said.value.cure
        arguments["outputs"] = missing
        if made.needs_network:
            with pytest.raises(PairError) as said:
                labelgap.choose(SIZE, **arguments, method=name)
            if not made.needs_head:
                assert "Session" in said.value.cure
                return
            assert "head=" in said.value.cure
            arguments["head"] = (np.eye(CLASSES, WIDTH), np.zeros(CLASSES))
    arguments["options"] = QUICK.get(name)
    choice = labelgap.choose(SIZE, **arguments, method=name)
    assert isinstance(choice, labelgap.Query)
    assert len(set(choice.ids.tolist())) == SIZE
    assert set(choice.ids.tolist()) <= set(unlabelled().tolist())
    assert len(choice.reasons) == SIZE
    assert all(bool(reason) == bool(choice.parts) for reason in choice.reasons)
    assert choice.scores is None or choice.scores.shape == (SIZE,)
    again = labelgap.choose(SIZE, **arguments, method=name)
    np.testing.assert_array_equal(again.ids, choice.ids)
    assert labelgap.choose(0, **arguments, method=name).ids.shape == (0,)


def test_most_acquisitions_need_no_more_than_features_and_predictions() -> None:
    assert {"gap", "badge", "coreset", "daal", "entropy", "margin", "typiclust", "random"} <= set(
        by_arrays()
    )


@pytest.mark.parametrize("name", ["gap", "daal", "badge", "margin"])
def test_it_is_the_acquisition_on_a_view_of_the_same_arrays(name: str) -> None:
    """The view filled by hand gives the same items and scores."""
    a = world()
    z = torch.from_numpy(a["features"])
    logits = torch.from_numpy(np.log(a["probabilities"])).float()
    free = unlabelled()
    cls = ACQUISITIONS[name]
    parts = [
        {"features": z[rows], "embedding": z[rows], "logits": logits[rows]}
        for rows in (LABELLED, free)
    ]
    view = PoolView(
        round=2,
        num_classes=CLASSES,
        labelled_ids=LABELLED.astype(np.int64),
        labels=a["labels"].astype(np.int64),
        candidate_ids=free.astype(np.int64),
        labelled=parts[0],
        candidates=parts[1],
        streams=Streams(7),
    )
    expected = cls(build(cls.Options, {}, "acquisition")).select(view, SIZE)
    found = labelgap.choose(SIZE, **a, method=name, round=2, seed=7)
    np.testing.assert_array_equal(found.ids, expected.ids)
    assert expected.score is not None
    np.testing.assert_array_equal(found.scores, expected.score)


def _dlpack_only(array: np.ndarray) -> Any:
    """An array of a library that only speaks DLPack."""

    class Foreign:
        def __dlpack__(self, **how: Any) -> Any:
            return array.__dlpack__(**how)

        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

    return Foreign()


def _memory_map(array: np.ndarray, folder: Path) -> np.ndarray:
    np.save(folder / "z.npy", array)
    return np.load(folder / "z.npy", mmap_mode="r")


@pytest.mark.parametrize("kind", ["torch", "grad", "float64", "half", "list", "dlpack", "map"])
def test_arrays_of_every_kind_choose_the_same(kind: str, tmp_path: Path) -> None:
    a = world()
    if kind == "half":  # numbers that half precision holds
        a["features"] = a["features"].astype(np.float16).astype(np.float32)
    expected = labelgap.choose(SIZE, **a).ids
    z = a["features"]
    a["features"] = {
        "torch": lambda: torch.from_numpy(z),
        "grad": lambda: torch.from_numpy(z).requires_grad_(),
        "float64": lambda: z.astype(np.float64),
        "half": lambda: torch.from_numpy(z).half(),
        "list": lambda: z.tolist(),
        "dlpack": lambda: _dlpack_only(z),
        "map": lambda: _memory_map(z, tmp_path),
    }[kind]()
    np.testing.assert_array_equal(labelgap.choose(SIZE, **a).ids, expected)


def test_what_is_given_is_not_changed() -> None:
    a, b = world(), world()
    for array in a.values():
        array.flags.writeable = False
    labelgap.choose(SIZE, **a, method="badge")
    for name, array in b.items():
        np.testing.assert_array_equal(a[name], array)


def test_an_index_of_pandas_names_the_items() -> None:
    a = world()
    expected = labelgap.choose(SIZE, **a)
    names = np.array([f"photo {i}.jpg" for i in range(N)])
    frame = pd.DataFrame(a["features"], index=names)
    chances = pd.DataFrame(a["probabilities"], index=names)
    found = labelgap.choose(
        SIZE,
        frame,
        probabilities=chances,
        labelled=names[LABELLED],
        labels=pd.Series(a["labels"]),
    )
    np.testing.assert_array_equal(found.rows, expected.rows)
    assert list(found.ids) == [names[i] for i in expected.ids]
    assert frame.loc[found.ids].shape == (SIZE, WIDTH)
    assert [item.id for item in found.items()] == expected.rows.tolist()
    assert [item.explanation for item in found.items()] == list(expected.reasons)


def test_dates_and_pairs_are_ids_too() -> None:
    a = world()
    days = pd.date_range("2026-01-01", periods=N)
    pairs = pd.MultiIndex.from_product([["a", "b"], range(N // 2)])
    for index in (days, pairs):
        frame = pd.DataFrame(a["features"], index=index)
        found = labelgap.choose(
            SIZE,
            frame,
            probabilities=a["probabilities"],
            labelled=index[LABELLED],
            labels=a["labels"],
        )
        np.testing.assert_array_equal(found.rows, labelgap.choose(SIZE, **a).rows)
        assert set(found.ids.tolist()) <= set(np.asarray(index).tolist())


@given(seed=st.integers(0, 1000))
@pytest.mark.parametrize("name", ["margin", "power-margin"])
def test_draws_belong_to_ids_not_to_rows(name: str, seed: int) -> None:
    """The same items in another order, under the same numbers: the same choice."""
    a = world()
    order = np.random.default_rng(seed).permutation(N)
    shuffled = labelgap.choose(
        SIZE,
        a["features"][order],
        probabilities=a["probabilities"][order],
        ids=order,
        labelled=LABELLED,
        labels=a["labels"],
        method=name,
    )
    assert set(shuffled.ids) == set(labelgap.choose(SIZE, **a, method=name).ids)


def test_masks_and_ids_say_the_same() -> None:
    a = world()
    mask = np.zeros(N, dtype=bool)
    mask[LABELLED] = True
    open_ = np.arange(0, N, 2)
    by_ids = labelgap.choose(SIZE, **a, available=open_)
    assert set(by_ids.ids) <= set(open_) - set(LABELLED)
    in_order = dict(zip(LABELLED.tolist(), a["labels"].tolist(), strict=True))
    a["labelled"], a["labels"] = mask, [in_order[i] for i in np.flatnonzero(mask).tolist()]
    by_masks = labelgap.choose(SIZE, **a, available=np.isin(np.arange(N), open_))
    np.testing.assert_array_equal(by_masks.ids, by_ids.ids)


def test_class_names_are_those_of_the_columns() -> None:
    a = world()
    expected = labelgap.choose(SIZE, **a).ids
    names = np.array(["cat", "dog", "owl"])
    a["labels"] = names[a["labels"]]
    np.testing.assert_array_equal(labelgap.choose(SIZE, **a, classes=names).ids, expected)


def test_logits_are_probabilities_before_the_softmax() -> None:
    a = world()
    by_p = labelgap.choose(SIZE, **a, method="entropy")
    a["logits"] = np.log(a.pop("probabilities")) + 3.0
    by_logits = labelgap.choose(SIZE, **a, method="entropy")
    np.testing.assert_array_equal(by_p.ids, by_logits.ids)
    np.testing.assert_allclose(by_p.scores, by_logits.scores, rtol=1e-5)


def test_a_probability_of_zero_is_allowed() -> None:
    a = world()
    a["probabilities"] = np.eye(CLASSES)[a["probabilities"].argmax(axis=1)]
    found = labelgap.choose(SIZE, **a, method="entropy")
    np.testing.assert_allclose(found.scores, 0.0, atol=1e-30)


def test_none_of_these_is_no_class() -> None:
    """Items labelled −1 are not asked for, and are no label of any class."""
    a = world()
    a["labels"] = np.where(np.arange(len(LABELLED)) == 0, -1, a["labels"])
    found = labelgap.choose(N - len(LABELLED), **a, method="mq-net")
    assert set(found.ids) == set(unlabelled())
    assert found.notes["rule"] == "sum"  # it knows that one is outside


def test_without_a_label_the_first_items_are_found() -> None:
    z = world()["features"]
    found = labelgap.choose(SIZE, z, method="typiclust")
    assert len(set(found.ids)) == SIZE
    assert labelgap.choose(3, ids=["a", "b", "c", "d"], method="random").ids.shape == (3,)


def test_the_head_makes_the_logits() -> None:
    a = world()
    head = torch.nn.Linear(WIDTH, CLASSES)
    with torch.no_grad():
        a["logits"] = head(torch.from_numpy(a["features"]))
    del a["probabilities"]
    expected = labelgap.choose(SIZE, **a, head=head, method="alfa-mix").ids
    del a["logits"]
    pair = (head.weight, head.bias)
    np.testing.assert_array_equal(
        labelgap.choose(SIZE, **a, head=pair, method="alfa-mix").ids, expected
    )


def test_no_other_draw_is_disturbed() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    head = (np.eye(CLASSES, WIDTH), np.zeros(CLASSES))
    labelgap.choose(SIZE, **world(), head=head, method="drop-query")
    torch.testing.assert_close(torch.rand(3), expected)


def test_a_method_whose_own_part_is_training_says_so() -> None:
    for name, found in METHODS.items():
        if found.acquisition in ACQUISITIONS and name not in ACQUISITIONS:
            if found.objective == "cross-entropy":
                assert len(labelgap.choose(SIZE, **world(), method=name)) == SIZE
            else:
                with pytest.raises(labelgap.LabelgapError, match="a way to train"):
                    labelgap.choose(SIZE, **world(), method=name)


def test_no_public_name_is_a_package_too() -> None:
    """Importing anything of a package called like a function would put it in the function's
    place."""
    package = Path(labelgap.__file__).parent
    names = set(labelgap.__all__) - {"methods"}
    assert not [name for name in names if list((package / name).glob("*.py"))]
    code = (
        "import labelgap.methods.gap, labelgap.arrays.difference, labelgap.mixtures.em, labelgap;"
        "assert labelgap.gap.__name__ == 'gap' and callable(labelgap.gap)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
