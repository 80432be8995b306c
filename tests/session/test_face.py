"""The public face: what `import labelgap` offers, from arrays to predictions."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import labelgap
from labelgap.core.errors import DataError, LabelgapError, NumericalError
from labelgap.data.checks import as_inputs, as_labels, check_inputs
from labelgap.learn.stage import StageRunner

PUBLIC = {
    "Acquisition", "Answer", "LabelgapError", "Objective", "Oracle", "Query", "Session", "Task",
    "__version__", "load", "methods", "run",
}  # fmt: skip
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)
LABELS = np.arange(12) % 3


def test_the_front_door_lists_what_a_user_needs() -> None:
    assert set(labelgap.__all__) == PUBLIC
    assert set(dir(labelgap)) >= PUBLIC
    assert "daal" in labelgap.methods.names()
    for name in PUBLIC - {"__version__"}:
        assert getattr(labelgap, name).__doc__, name
    import_module("labelgap.loop.run")  # a module of that name does not take its place

    assert callable(labelgap.run)


@pytest.mark.parametrize("name", ["Ledger", "Mixture", "RunConfig"])
def test_what_moved_inside_says_where_to(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"labelgap.{name} is no public name"):
        found = getattr(labelgap, name)
    assert found.__name__ == name


WRONG_INPUTS = [
    ("float images", IMAGES / 255, r"float64 \[12, 8, 8, 1\].*\* 255"),
    ("images of integers", IMAGES.astype(np.int64), r"int64 \[12, 8, 8, 1\].*uint8"),
    ("channels first", IMAGES.transpose(0, 3, 1, 2), r"channels come first.*transpose"),
    ("no channel axis", IMAGES[..., 0], r"no channel axis.*\[\.\.\., None\]"),
    ("one axis", np.zeros(12, np.float32), r"float32 \[12\].*vectors"),
    ("strings", np.array([["a"], ["b"]]), r"<U1 \[2, 1\].*numbers"),
    ("NaN", np.array([[0.0, 1.0], [np.nan, 1.0]]), r"1 rows hold NaN.*row 1"),
    ("rows of several lengths", [[1.0], [1.0, 2.0]], "one shape"),
]  # fmt: skip
WRONG_LABELS = [
    ("a column", LABELS[:, None], r"\[12, 1\].*y\[:, 0\]"),
    ("names", np.array(list("abcabcabcabc")), "np.unique"),
    ("NaN", np.where(LABELS == 1, np.nan, 0.0), "row 1 is nan"),
    ("halves", LABELS / 2, "whole numbers"),
    ("too few", LABELS[:5], "12 inputs but 5 labels"),
    ("below −1", LABELS - 2, "row 0 has label -2"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "x", "said"), WRONG_INPUTS, ids=[w[0] for w in WRONG_INPUTS])
def test_inputs_of_the_wrong_kind_are_refused_with_the_cure(what: str, x: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        labelgap.Task.from_arrays(x, np.zeros(len(x), np.int64))
    if isinstance(x, np.ndarray) and x.dtype.kind != "U":
        with pytest.raises(DataError, match="x"):  # what a split that is made by hand asks
            check_inputs(x, "x")


@pytest.mark.parametrize(("what", "y", "said"), WRONG_LABELS, ids=[w[0] for w in WRONG_LABELS])
def test_labels_of_the_wrong_kind_are_refused_with_the_cure(what: str, y: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        labelgap.Task.from_arrays(IMAGES, y, classes="abc")


def test_arrays_become_a_task_as_they_are() -> None:
    task = labelgap.Task.from_arrays(IMAGES, LABELS, test=(IMAGES[:3], LABELS[:3]))
    assert task.classes == ("0", "1", "2")
    assert np.array_equal(task.train.inputs, IMAGES)
    assert task.mean == pytest.approx((IMAGES.mean() / 255,))
    torch_task = labelgap.Task.from_arrays(
        torch.from_numpy(IMAGES), torch.from_numpy(LABELS), test=(IMAGES[:3], LABELS[:3])
    )
    assert torch_task.fingerprint == task.fingerprint
    bare = labelgap.Task.from_arrays(IMAGES, classes=["cat", "dog"])
    assert bare.classes == ("cat", "dog")
    assert (bare.train.labels == -1).all()
    assert len(bare.test) == 0
    with pytest.raises(DataError, match="classes="):
        labelgap.Task.from_arrays(IMAGES)
    assert as_inputs(np.ones((2, 3)), "x").dtype == np.float32
    assert as_labels([0.0, 2.0], 2, "y").tolist() == [0, 2]


class Pairs:
    """A map-style data set."""

    classes = ("red", "green", "blue")

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def test_a_data_set_of_torch_becomes_the_same_task() -> None:
    colours = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    y = [0, 1, 2, 0, 1, 2]
    expected = labelgap.Task.from_arrays(colours, y, classes=Pairs.classes)
    forms = {
        "pillow": [Image.fromarray(c) for c in colours],
        "bytes": [torch.from_numpy(c).permute(2, 0, 1) for c in colours],
        "floats": [torch.from_numpy(c).permute(2, 0, 1) / 255 for c in colours],
    }
    for form, items in forms.items():
        task = labelgap.Task.from_dataset(Pairs(list(zip(items, y, strict=True))))
        assert task.fingerprint == expected.fingerprint, form
    small = labelgap.Task.from_dataset(
        Pairs([(Image.new("RGB", (20, 10)), 0), (Image.new("RGB", (9, 30)), 1)]), image_size=8
    )
    assert small.input_shape == (8, 8, 3)


WRONG_DATASETS = [
    ("sizes", [(np.zeros((4, 4), np.uint8), 0), (np.zeros((5, 4), np.uint8), 0)], "item 1 has"),
    ("normalised", [(torch.full((3, 4, 4), -2.0), 0)], "Leave normalisation out"),
    ("no pairs", [np.zeros((4, 4), np.uint8)], "not \\(input, label\\)"),
    ("label", [(np.zeros((4, 4), np.uint8), "cat")], "label 'cat'"),
    ("empty", [], "empty"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "items", "said"), WRONG_DATASETS)
def test_an_item_that_does_not_fit_is_named(what: str, items: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        labelgap.Task.from_dataset(Pairs(items))


def fitted(**settings: Any) -> labelgap.Session:
    task = labelgap.load("digits")
    quick = {"training": {"steps": 30}, "network": {"width": 4, "blocks": [1, 1, 1]}}
    session = labelgap.Session(task, method="random", **(quick | settings))
    session.tell(labelgap.Oracle(task).answer(session.ask(40)))
    session.fit()
    return session


def test_predictions_are_those_that_evaluate_counts() -> None:
    session = fitted()
    test = session.task.test
    p = session.predict(test.inputs)
    assert p.shape == (len(test), 10)
    assert np.allclose(p.sum(axis=1), 1, atol=1e-5)
    assert (p.argmax(axis=1) == test.labels).mean() == session.evaluate().accuracy
    assert session.predict(test.inputs[:0]).shape == (0, 10)
    with pytest.raises(DataError, match=r"\[9, 9, 1\]"):
        session.predict(np.zeros((2, 9, 9, 1), np.uint8))
    with pytest.raises(LabelgapError, match=r"fit\(\)"):
        labelgap.Session(session.task, method="random").predict(test.inputs)


def test_a_run_is_one_call_and_goes_on(tmp_path: Path) -> None:
    settings = {
        "training": {"steps": 3},
        "loop": {"initial": 10, "budget": 5, "rounds": 1},
        "network": {"width": 4, "blocks": [1, 1, 1]},
    }
    task = labelgap.Task.from_arrays(IMAGES.repeat(4, 0), LABELS.repeat(4), test=(IMAGES, LABELS))
    first = labelgap.run("margin", task, folder=tmp_path / "run", **settings)
    assert [entry["labels"] for entry in first["rounds"]] == [10, 15]
    assert labelgap.run("margin", task, folder=tmp_path / "run", **settings) == first
    with pytest.raises(LabelgapError, match="marginn"):
        labelgap.run("marginn", task)


def on_vectors(method: str, **training: Any) -> labelgap.Session:
    """A session with ten labels."""
    x = np.random.default_rng(1).standard_normal((60, 4)).astype(np.float32)
    task = labelgap.Task.from_arrays(x, np.arange(60) % 2)
    session = labelgap.Session(
        task, method=method, network={"name": "mlp"}, training={"steps": 5} | training
    )
    session.tell(labelgap.Oracle(task).answer(session.ask(10)))
    return session


def spoil(session: labelgap.Session, id: int) -> None:
    """Take an item's values after the task was made, as a file that changes under a memory map."""
    session.task.train.inputs[id] = np.nan


@pytest.mark.parametrize(
    ("method", "of"),
    [
        ("random", "labelled"),
        ("pseudo-label", "unlabelled"),
        ("margin", "unlabelled"),
        ("coreset", "unlabelled"),
        ("daal", "unlabelled"),
    ],
)
def test_inputs_that_are_not_finite_are_named_and_nothing_else_is_blamed(
    method: str, of: str
) -> None:
    session = on_vectors(method)
    id = int((session.labelled()[0] if of == "labelled" else session.unlabelled_ids())[3])
    spoil(session, id)
    with pytest.raises(NumericalError, match=rf"items {id} are NaN"):
        session.fit(), session.ask(5)


def test_an_item_of_an_earlier_batch_is_named_where_the_loss_is_read_at_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on an accelerator: only the last step's loss is read, and the item is not in its batch.
    monkeypatch.setattr(
        StageRunner, "_due_for_check", lambda self, step: step == self.stage.steps - 1
    )
    session = on_vectors("random", steps=5, batch_size=2)  # one pass: each item is in one batch
    training = session.new_training(0)
    stage = session.objective.stages(training)[0]
    first = StageRunner(session.learner.inputs, training, stage).batch(0).ids
    assert first is not None
    id = int(first[0])
    spoil(session, id)
    with pytest.raises(NumericalError, match=rf"items {id} are NaN"):
        session.fit()


def test_a_learning_rate_that_is_too_high_is_still_blamed() -> None:
    session = on_vectors("random", steps=50, lr=1e30)
    with pytest.raises(NumericalError, match="lower learning rate"):
        session.fit()
