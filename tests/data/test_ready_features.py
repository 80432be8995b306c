"""Folders of ready-made features: what is read, what is matched, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelgap.core.errors import DataError
from labelgap.data import load

RNG = np.random.default_rng(0)
X = {"train": RNG.standard_normal((12, 5)), "test": RNG.standard_normal((6, 5))}
Y = {"train": np.arange(12) % 3, "test": np.arange(6) % 3}


def npz(folder: Path, **changed: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        arrays = {"features": X[split], "labels": Y[split]} | changed.get(split, {})
        np.savez(folder / f"{split}.npz", **{k: v for k, v in arrays.items() if v is not None})
    return folder


def lists(folder: Path, kind: Any = None, names: list[str] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    for split in ("train", "test"):
        y = Y[split].tolist() if names is None else [names[k] for k in Y[split]]
        column = pa.array(X[split].tolist(), kind or pa.list_(pa.float32()))
        table = pa.table({"embedding": column, "label": y, "id": [f"i{k}" for k in range(len(y))]})
        pq.write_table(table, folder / f"{split}.parquet")
    return folder


def same(folder: Path) -> None:
    task = load(folder)
    assert task.classes == ("0", "1", "2")
    for split, read in (("train", task.train), ("test", task.test)):
        assert read.inputs.dtype == np.float32
        assert np.array_equal(read.inputs, X[split].astype(np.float32))
        assert read.labels.tolist() == Y[split].tolist()


@pytest.mark.parametrize(
    "kind",
    [None, pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 5)],
    ids=str,
)
def test_columns_of_lists_are_features(tmp_path: Path, kind: Any) -> None:
    same(lists(tmp_path / "d", kind))


@pytest.mark.parametrize(
    "names",
    [("features", "labels"), ("x", "y"), ("clip", "target"), ("embeddings", "label")],
)
def test_arrays_are_found_by_name_and_by_shape(tmp_path: Path, names: tuple[str, str]) -> None:
    changed = {s: {"features": None, "labels": None, names[0]: X[s], names[1]: Y[s]} for s in X}
    same(npz(tmp_path / "d", **changed))


def test_names_of_classes_are_matched_between_the_files(tmp_path: Path) -> None:
    orders = {"train": ["cat", "dog", "owl"], "test": ["owl", "cat", "dog"]}
    changed = {s: {"classes": np.array(order)} for s, order in orders.items()}
    task = load(npz(tmp_path / "d", **changed))
    assert task.classes == ("cat", "dog", "owl")
    assert [task.classes[k] for k in task.test.labels] == [orders["test"][k] for k in Y["test"]]
    named = load(lists(tmp_path / "e", names=["cat", "dog", "owl"]))
    assert [named.classes[k] for k in named.train.labels] == [
        orders["train"][k] for k in Y["train"]
    ]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "rows and labels of several lengths": ({"train": {"labels": Y["train"][:-1]}}, "12 rows.*11"),
    "another width": ({"test": {"features": X["test"][:, :4]}}, "several widths.*5.*4"),
    "a NaN": ({"train": {"features": np.where(X["train"] > 1, np.nan, X["train"])}}, "(?i)nan"),
    "a row without a label": ({"train": {"labels": np.array([-1, *Y["train"][1:]])}}, "no label"),
    "no features": ({"train": {"features": None}}, "no array is an array .n, d. of features"),
    "two candidates": (
        {"train": {"features": None, "a": X["train"], "b": X["train"]}}, "several arrays",
    ),
    "objects": ({"train": {"labels": np.array([{}] * 12, dtype=object)}}, "plain arrays"),
    "a class of the test file alone": ({"test": {"labels": np.arange(6) % 4}}, "label 3"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_with_its_file(tmp_path: Path, what: str) -> None:
    changed, said = REFUSED[what]
    with pytest.raises(DataError, match=said) as raised:
        load(npz(tmp_path / "d", **changed))
    assert str(tmp_path / "d") in str(raised.value)


def test_a_split_alone_a_torn_file_and_a_size_of_images_are_refused(tmp_path: Path) -> None:
    folder = npz(tmp_path / "d")
    with pytest.raises(DataError, match="features, not images"):
        load(folder, image_size=8)
    (folder / "test.npz").write_bytes(b"PK\3\4 torn")
    with pytest.raises(DataError, match=r"test\.npz: not a readable"):
        load(folder)
    (folder / "test.npz").unlink()
    with pytest.raises(DataError, match=r"no test\.npz"):
        load(folder)


def test_ragged_and_missing_rows_of_a_column_are_named(tmp_path: Path) -> None:
    folder = lists(tmp_path / "d")
    rows: list[Any] = X["train"].tolist()
    for wrong, said in (([1.0], "rows of 1 to 5"), (None, "row 3 has no features")):
        column = pa.array([*rows[:3], wrong, *rows[4:]], pa.list_(pa.float32()))
        table = pa.table({"embedding": column, "label": Y["train"]})
        pq.write_table(table, folder / "train.parquet")
        with pytest.raises(DataError, match=said):
            load(folder)
