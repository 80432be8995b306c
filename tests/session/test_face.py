"""The public face: what `import labelgap` offers, from arrays to predictions."""

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import labelgap
from labelgap.axes import acquisition, method
from labelgap.axes.view import PoolView
from labelgap.core.device import machine
from labelgap.core.errors import DataError, FolderError, LabelgapError, NumericalError
from labelgap.data.checks import as_inputs, as_labels, check_inputs
from labelgap.data.types import Augment, Split
from labelgap.frozen.freeze import load_task_for
from labelgap.learn.stage import StageRunner
from labelgap.session.arguments import given_task
from labelgap.session.presets import resolve

PUBLIC = {
    "Acquisition", "Answer", "LabelgapError", "Objective", "Oracle", "Query", "Session", "Task",
    "__version__", "choose", "gap", "load", "methods", "run",
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
    ("NaN", np.array([[0.0, 1.0], [np.nan, 1.0]]), r"\[2, 2\]; 1 of these rows hold NaN.*row 1"),
    ("rows of several lengths", [[1.0], [1.0, 2.0]], "one shape"),
    ("complex numbers", np.ones((2, 2)) * 1j, r"complex128 \[2, 2\].*real"),
    ("dates", np.zeros((2, 2), "datetime64[s]"), r"datetime64\[s\] \[2, 2\].*real"),
    ("no features", np.zeros((2, 0), np.float32), r"float32 \[2, 0\].*one value"),
    ("no items", np.zeros((0, 2), np.float32), "no items"),
]  # fmt: skip
WRONG_LABELS = [
    ("a column of floats", np.full((12, 1), np.nan), r"float64 \[12, 1\].*y\[:, 0\]"),
    ("a column", LABELS[:, None], r"\[12, 1\].*y\[:, 0\]"),
    ("names", np.array(list("abcabcabcabc")), "np.unique"),
    ("NaN", np.where(LABELS == 1, np.nan, 0.0), "row 1 is nan"),
    ("halves", LABELS / 2, r"row 1 \(0.5, a fraction\)"),
    ("too few", LABELS[:5], "12 inputs but 5 labels"),
    ("below −1", LABELS - 2, r"row 0 \(-2\)"),
    ("rows of several lengths", [[0], [1, 2]], "y cannot be made an array"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "x", "said"), WRONG_INPUTS, ids=[w[0] for w in WRONG_INPUTS])
def test_inputs_of_the_wrong_kind_are_refused_with_the_cure(what: str, x: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        labelgap.Task.from_arrays(x, np.zeros(len(x), np.int64))
    if isinstance(x, np.ndarray) and len(x) and x.dtype.kind in "iuf":
        with pytest.raises(DataError, match="x"):  # what a split that is made by hand asks
            check_inputs(x, "x")


@pytest.mark.parametrize(("what", "y", "said"), WRONG_LABELS, ids=[w[0] for w in WRONG_LABELS])
def test_labels_of_the_wrong_kind_are_refused_with_the_cure(what: str, y: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        labelgap.Task.from_arrays(IMAGES, y, classes="abc")


BY_HAND = """
import numpy as np, sys
import labelgap
from labelgap.data import Split

x, y = np.zeros((12, 8, 8, 1), np.uint8), np.arange(12) % 3
for make in (
    lambda: Split(x, y[:, None]),
    lambda: Split(x, np.array(list("abc"))[y]),
    lambda: Split(x, y / 1),
    lambda: Split(x / 255, y),
    lambda: labelgap.Task.from_arrays(x, y, test=x),
    lambda: labelgap.Task.from_arrays(x, y, classes=3),
    lambda: labelgap.Session("digits"),
    lambda: labelgap.run("random", x),
):
    try:
        make()
    except labelgap.LabelgapError as error:
        print(error)
"""


def test_without_the_type_checks_of_the_suite_they_are_refused_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BY_HAND], capture_output=True, text=True, check=True
    )
    expected = [
        r"int64 \[12, 1\].*y\[:, 0\]",
        r"<U1 \[12\].*np\.unique",
        r"float64 \[12\].*y\.astype",
        r"float64 \[12, 8, 8, 1\].*\* 255",
        r"ndarray.*test=\(x, y\)",
        r"classes=range\(3\)",
        r"labelgap\.load\('digits'\)",
        r"ndarray.*from_arrays",
    ]
    for line, said in zip(done.stdout.splitlines(), expected, strict=True):
        assert re.search(said, line), line


WRONG_ARGUMENTS = [
    ({"pool": [0, 12]}, "id 12, outside 0..11"),
    ({"pool": [0, 0]}, "id twice"),
    ({"pool": LABELS == 0}, "np.flatnonzero"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG_ARGUMENTS)
def test_other_arguments_are_refused_with_the_cure(arguments: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        labelgap.Task.from_arrays(IMAGES, LABELS, **arguments)


def test_a_pool_is_what_may_be_asked_for() -> None:
    task = labelgap.Task.from_arrays(IMAGES, LABELS, pool=[2, 5, 7])
    session = labelgap.Session(task, method="random")
    assert sorted(session.ask(3).ids.tolist()) == [2, 5, 7]


def test_nan_in_a_memory_map_is_found_when_a_task_is_made(tmp_path: Path) -> None:
    x = np.ones((9, 2), np.float32)
    x[4, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    mapped = Split(np.load(tmp_path / "x.npy", mmap_mode="r"), np.zeros(9, np.int64))
    with pytest.raises(DataError, match=r"mine .*first is row 4"):
        labelgap.Task.of("mine", ("a",), mapped, mapped, Augment())


@pytest.mark.parametrize(
    ("thing", "said"),
    [("digits", r"labelgap\.load\('digits'\)"), (IMAGES, "from_arrays"), (None, "NoneType")],
)
def test_what_is_no_task_is_told_how_to_become_one(thing: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        given_task(thing)


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
    assert as_labels(np.array([2, 0], ">i4"), 2, "y").tolist() == [2, 0]
    assert as_labels([True, False], 2, "y").tolist() == [1, 0]
    with pytest.raises(DataError, match=r"two classes, or none and one.*classes="):
        as_labels([1, -1], 2, "y")
    assert as_labels([1, -1], 2, "y", ("cat", "dog")).tolist() == [1, -1]


class Pairs:
    """A map-style data set."""

    classes = ("red", "green", "blue")

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def turned(pixels: np.ndarray) -> Image.Image:
    """A picture that lies on its side and says so, as cameras write them."""
    image = Image.fromarray(np.rot90(pixels).copy())
    image.getexif()[274] = 6
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(np.full((2, 2), 257 * 3, np.uint16)), 3),  # 16-bit grey, scaled
        (Image.new("LA", (2, 2), (0, 0)), 255),  # nothing, on white
        (Image.new("1", (2, 2), 1), 255),
    ],
)
def test_pictures_are_read_as_those_of_files(image: Image.Image, expected: int) -> None:
    task = labelgap.Task.from_dataset(Pairs([(image, 0), (image, 1)]))
    assert task.input_shape == (2, 2, 1)
    assert (task.train.inputs == expected).all()


def test_a_data_set_of_torch_becomes_the_same_task() -> None:
    colours = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    y = [0, 1, 2, 0, 1, 2]
    expected = labelgap.Task.from_arrays(colours, y, classes=Pairs.classes)
    forms = {
        "pillow": [Image.fromarray(c) for c in colours],
        "turned": [turned(c) for c in colours],
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
    ("half a label", [(np.zeros((4, 4), np.uint8), 1.7)], "label 1.7"),
    ("digits", [(np.zeros((4, 4), np.uint8), "3")], "label '3'"),
    ("grey", [(Image.new("L", (4, 4)), 0), (Image.new("RGB", (4, 4)), 1)], "item 1.*'RGB'"),
    ("empty", [], "empty"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "items", "said"), WRONG_DATASETS)
def test_an_item_that_does_not_fit_is_named(what: str, items: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        labelgap.Task.from_dataset(Pairs(items))


def test_a_stream_is_no_data_set() -> None:
    with pytest.raises(DataError, match=r"list_iterator.*list\(dataset\)"):
        labelgap.Task.from_dataset(iter([(IMAGES[0], 0)]))


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
    with pytest.raises(DataError, match=r"\[2, 9, 9, 1\].*Give uint8 \[n, 8, 8, 1\]"):
        session.predict(np.zeros((2, 9, 9, 1), np.uint8))
    with pytest.raises(LabelgapError, match=r"fit\(\)"):
        labelgap.Session(session.task, method="random").predict(test.inputs)


def test_predictions_on_a_frozen_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    monkeypatch.setenv("LABELGAP_CACHE", str(tmp_path / "cache"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "w.pth")
    network = {
        "name": "timm:test_efficientnet",
        "freeze": True,
        "weights": str(tmp_path / "w.pth"),
        "input_size": 32,
    }
    images = labelgap.Task.from_arrays(IMAGES, LABELS, test=(IMAGES[::-1], LABELS[::-1]))
    config = resolve({"method": "random", "network": network, "training": {"steps": 5}})
    place = machine("cpu", "float32")
    task = load_task_for(config, images, place)
    session = labelgap.Session(task, config, machine=place)
    session.tell(labelgap.Oracle(task).answer(session.ask(9)))
    session.fit()
    p = session.predict(images.test.inputs)
    # As the features that evaluation takes, but for the roundings of another batch.
    assert np.allclose(p, session.predict(task.test.inputs), atol=1e-6)
    assert (p.argmax(axis=1) == task.test.labels).mean() == session.evaluate().accuracy
    assert len(np.unique(p[:, 0])) > 1
    with pytest.raises(DataError, match="channels come first"):
        session.predict(IMAGES.repeat(3, 3).transpose(0, 3, 1, 2))


RUN = {
    "training": {"steps": 3},
    "loop": {"initial": 10, "budget": 5, "rounds": 1},
    "network": {"width": 4, "blocks": [1, 1, 1]},
}


def run_task(x: np.ndarray = IMAGES) -> labelgap.Task:
    return labelgap.Task.from_arrays(x.repeat(4, 0), LABELS.repeat(4), test=(x, LABELS))


def test_a_run_is_one_call_and_goes_on(tmp_path: Path) -> None:
    task = run_task()
    first = labelgap.run("margin", task, folder=tmp_path / "run", **RUN)
    assert [entry["labels"] for entry in first["rounds"]] == [10, 15]
    assert labelgap.run("margin", task, folder=tmp_path / "run", **RUN) == first
    with pytest.raises(LabelgapError, match="marginn"):
        labelgap.run("marginn", task)


def test_a_run_on_other_arrays_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = run_task(), run_task(255 - IMAGES)
    for task in (one, other):
        found = labelgap.run("margin", task, **RUN)
        assert found["audit"]["task_fingerprint"] == task.fingerprint
    assert len(list(Path("runs").iterdir())) == 2
    labelgap.run("margin", one, folder="mine", **RUN)
    with pytest.raises(FolderError, match="mine was begun with other data"):
        labelgap.run("margin", other, folder="mine", **RUN)
    Path("mine/result.json").unlink()  # as a run that was killed before its end
    with pytest.raises(FolderError, match="other data"):
        labelgap.run("margin", other, folder="mine", **RUN)


def test_a_method_of_a_notebook_runs_by_its_name(tmp_path: Path, forget: None) -> None:
    @acquisition("highest-ids")
    class HighestIds(labelgap.Acquisition):
        """The last items."""

        def select(self, view: PoolView, n: int) -> labelgap.Query:
            return labelgap.Query(view.candidate_ids[-n:])

    method("highest-ids", "cross-entropy", "highest-ids", title="Highest", citation="mine")
    labelgap.run("highest-ids", run_task(), folder=tmp_path / "run", **RUN)
    lines = map(json.loads, (tmp_path / "run" / "queries.jsonl").read_text().splitlines())
    asked = list(lines)
    first = {line["id"] for line in asked if line["round"] == 0}
    free = [i for i in range(48) if i not in first]
    assert [line["id"] for line in asked if line["round"] == 1] == free[-5:]


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


def test_a_run_in_one_call_tells_what_changed_since_its_folder_was_begun(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    labelgap.run("margin", run_task(), folder=folder, **RUN)
    facts = json.loads((folder / "config.json").read_text())
    facts["machine"]["versions"]["torch"] = "1.0"
    (folder / "config.json").write_text(json.dumps(facts))
    with pytest.warns(UserWarning, match="begun with versions .* not be bit-identical"):
        labelgap.run("margin", run_task(), folder=folder, **RUN)


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
