"""Messages name the cause, the item and the cure, and come before anything long begins."""

import re
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from console import call
from PIL import Image

from labelgap.core.errors import ConfigError, DataError, LabelgapError, StorageError
from labelgap.data import load
from labelgap.frozen import freeze
from labelgap.project.exchange.begin import begin
from labelgap.session.presets import resolve

R = np.random.default_rng(0)


def picture(path: Path, side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(R.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path)


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "w.pth")
    return tmp_path / "w.pth"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELGAP_CACHE", str(tmp_path / "cache"))


# ------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("lerning_rate", "training.lr"),
        ("learning_rate", "training.lr"),
        ("training.lerning_rate", "lr"),
        ("batchsize", "training.batch_size"),
        ("epoch", "training.epochs"),
        ("imbalence", "data.imbalance"),
        ("traning.lr", "training"),
        ("network.freezed", "freeze"),
    ],
)
def test_the_nearest_key_is_named_with_its_table(wrong: str, meant: str) -> None:
    tree: dict[str, object] = {}
    *tables, last = wrong.split(".")
    place = tree
    for table in tables:
        place = place.setdefault(table, {})  # type: ignore[assignment]
    place[last] = 1
    with pytest.raises(LabelgapError, match=f"Did you mean '{re.escape(meant)}"):
        resolve(tree)


def test_nothing_is_guessed_where_nothing_is_near() -> None:
    with pytest.raises(LabelgapError) as told:
        resolve({"zzzzqqq": 1})
    assert "Did you mean" not in str(told.value)


# ---------------------------------------------------------------------------------- weights


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "a page of HTML or XML"),
        (b"\n  <html>", "a page of HTML or XML"),
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS"),
        (b"\x80\x02cos\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02R.", "no file of tensors"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_weights_is_named(
    content: bytes, said: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And never with torch's advice to load it without its safeguard."""
    if suffix == ".safetensors" and "tensors" in said:
        said = "cannot be read"
    file = tmp_path / f"w{suffix}"
    file.write_bytes(content)
    picture(tmp_path / "images" / "a.png")
    status, text = call(
        capsys, "init", str(tmp_path / "images"), "--classes", "a,b", "--weights", str(file),
        "--network", "timm:test_efficientnet",
    )  # fmt: skip
    assert status == 2
    assert said in text
    assert str(file) in text
    assert "weights_only" not in text
    assert not (tmp_path / "images" / ".labelgap").exists()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_nan_are_told_at_init(bad: float, backbone: Path, tmp_path: Path) -> None:
    state = torch.load(backbone)
    name = next(k for k, v in state.items() if v.is_floating_point())
    state[name].flatten()[0] = bad
    torch.save(state, backbone)
    picture(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match=rf"1 of \d+ tensors have NaN .* the first {name}"):
        begin(
            tmp_path / "images",
            classes=["a", "b"],
            weights=str(backbone),
            network="timm:test_efficientnet",
        )
    assert not (tmp_path / "images" / ".labelgap").exists()


# ------------------------------------------------------------------------- folders and tables


def test_no_split_is_suggested_that_is_no_training_set(tmp_path: Path) -> None:
    for name in ("valid", "test"):
        picture(tmp_path / name / "a.png")
    with pytest.raises(ConfigError) as told:
        begin(tmp_path)
    assert "valid" not in told.value.cure
    assert "labelgap init FOLDER" in told.value.cure
    picture(tmp_path / "train" / "a.png")
    with pytest.raises(ConfigError, match=r"labelgap init .*/train"):
        begin(tmp_path)


@pytest.mark.parametrize(("name", "text"), [("m.csv", "path,label\n"), ("m.jsonl", "")])
def test_a_manifest_without_rows_is_called_that(name: str, text: str, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=rf"{name}.*(no rows|empty)") as told:
        begin(tmp_path, manifest=tmp_path / name, classes=["a", "b"])
    assert "has no images" not in str(told.value)


def test_a_column_that_has_the_name_already(tmp_path: Path) -> None:
    """To be told to call it what it is called helps nobody."""
    for split in ("train", "test"):
        table = pa.table({"image": ["a.png", "b.png"], "label": [0, 1]})
        pq.write_table(table, tmp_path / f"{split}.parquet")
    with pytest.raises(DataError) as told:
        load(str(tmp_path))
    assert "the column 'image' is of type string, and image bytes are needed" in told.value.cause
    assert "Name the one" not in str(told.value)


def test_links_to_class_folders_are_left_out_and_named_by_every_reader(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        for name in ("ant", "bee"):
            for i in range(2):
                picture(tmp_path / "set" / split / name / f"{i}.png")
        picture(tmp_path / "elsewhere" / split / "0.png")
        (tmp_path / "set" / split / "cat").symlink_to(tmp_path / "elsewhere" / split)
    (tmp_path / "set" / "train" / "ant" / "more").symlink_to(tmp_path / "elsewhere" / "train")
    task = load(str(tmp_path / "set"))
    assert task.classes == ("ant", "bee")
    assert len(task.train) == 4
    said = capsys.readouterr().err
    assert "left out: 3 links to folders, not followed, e.g. train/ant/more" in said
    begun = begin(tmp_path / "set" / "train")
    begun.project.close()
    assert sorted(path for kind, path in begun.places.left_out) == ["ant/more", "cat"]
    shutil.rmtree(tmp_path / "set" / "test" / "ant")
    shutil.rmtree(tmp_path / "set" / "train" / "bee")
    with pytest.raises(DataError, match=r"bee is a class without .*not followed: more, cat"):
        load(str(tmp_path / "set"))


# ------------------------------------------------------------------------------- held out


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("n", [2, 3, 4])
def test_of_few_labels_some_are_left_to_learn_from(n: int, seed: int) -> None:
    from labelgap.core.streams import Streams
    from labelgap.project.asking.reserve import reserve_of

    ids = np.arange(n, dtype=np.int64)
    draws = Streams(seed).ties(ids, "held-out reserve")
    held = reserve_of(draws, ids, 0.9)
    assert len(held) <= (n // 2 if n >= 4 else 0)
    assert (draws[held] < 0.9).all()
    assert (np.diff(draws[held]) >= 0).all()


def test_the_reserve_of_many_is_what_the_draws_say() -> None:
    from labelgap.project.asking.reserve import reserve_of

    draws = R.random(1000)
    held = reserve_of(draws, np.arange(1000), 0.2)
    assert sorted(held.tolist()) == np.flatnonzero(draws < 0.2).tolist()


@pytest.mark.parametrize("seed", range(25))
def test_two_labelled_images_in_all_are_not_both_held_out(tmp_path: Path, seed: int) -> None:
    for name in ("cat", "dog"):
        picture(tmp_path / name / "1.png")
    begun = begin(tmp_path, seed=seed)
    with begun.project as project:
        assert begun.held_out == 0
        assert len(project.ledger.labelled_ids("train")) == 2


# --------------------------------------------------------------------- before features are computed


@pytest.fixture
def no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    def computed(*_: object) -> None:
        raise AssertionError("features were computed first")

    monkeypatch.setattr(freeze._Freezer, "features", computed)


REFUSED = [
    (["--method", "fixmatch"], "needs images"),
    (["--objective", "cross-entropy", "--acquisition", "badge", "--set", "network.dropout=0",
      "--rounds", "500"], "items asked for in round"),
    (["--method", "random", "--budget", "100000"], "100000 items asked for in round 1"),
    (["--method", "random", "--set", "loop.initial_per_class=900"], "asked for in the initial set"),
    (["--method", "mc-dropout", "--set", "network.dropout=0"], "mc_logits"),
    (["--method", "random", "--redundancy", "1"], "redundancy"),
    (["--method", "random", "--open-set", "0.99"], "Holding out"),
]  # fmt: skip


@pytest.mark.usefixtures("no_features")
@pytest.mark.parametrize(("arguments", "said"), REFUSED)
@pytest.mark.parametrize("command", ["run", "bench"])
def test_what_can_be_refused_is_refused_first(
    command: str,
    arguments: list[str],
    said: str,
    backbone: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = list(arguments)
    if command == "bench":
        keys = {"--rounds": "loop.rounds", "--budget": "loop.budget", "--open-set": "data.open_set",
                "--redundancy": "data.redundancy"}  # fmt: skip
        made = []
        for flag, value in zip(given[::2], given[1::2], strict=True):
            made += ["--set", f"{keys[flag]}={value}"] if flag in keys else [flag, value]
        given = made
        if "--objective" in given:
            at = given.index("--objective")
            given[at : at + 4] = ["--method", "cross-entropy+badge"]
        given += ["--seeds", "1", "--workers", "1"]
    status, text = call(
        capsys, command, *given, "--dataset", "digits", "--freeze", "--network",
        "timm:test_efficientnet", "--weights", str(backbone), "--threads", "1",
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert status == 2, text
    assert said in text


@pytest.mark.usefixtures("no_features")
def test_a_project_refuses_a_method_on_images_before_features(
    backbone: Path, tmp_path: Path
) -> None:
    from labelgap.project.asking.work import Work

    for i in range(6):
        picture(tmp_path / "images" / f"{i}.png")
    begun = begin(
        tmp_path / "images",
        classes=["a", "b"],
        weights=str(backbone),
        network="timm:test_efficientnet",
    )
    with begun.project as project, pytest.raises(LabelgapError, match="needs images"):
        Work(project, method="fixmatch", device="cpu")


# --------------------------------------------------------------------------------- benchmarks


def test_bench_takes_the_flags_that_run_has(
    backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from labelgap.bench.grid.store import Store

    status, text = call(
        capsys, "bench", "--dataset", "digits", "--method", "random", "--seeds", "1", "--freeze",
        "--network", "timm:test_efficientnet", "--weights", str(backbone), "--image-size", "16",
        "--set", "network.input_size=32", "--set", "loop.rounds=0", "--set", "training.steps=2",
        "--workers", "1", "--threads", "1", "--out", str(tmp_path / "b"),
    )  # fmt: skip
    assert status == 0, text
    (cell,) = Store(tmp_path / "b").cells
    assert cell.config.network.name == "timm:test_efficientnet"
    assert cell.config.network.freeze
    assert cell.config.network.weights.startswith("sha256:")
    assert cell.config.data.image_size == 16


@pytest.mark.usefixtures("forget")
def test_a_path_in_a_grids_file_is_relative_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labelgap.bench.grid.grid import file_grid

    (tmp_path / "grids").mkdir()
    (tmp_path / "grids" / "mine.py").write_text(
        "from labelgap.axes import method\n"
        'method("mine", "cross-entropy", "random", title="t", citation="c")\n'
    )
    grid = tmp_path / "grids" / "g.toml"
    grid.write_text('datasets = ["digits"]\nmethods = ["./mine.py", {name = "m2", method = '
                    '"mine.py", training = {steps = 3}}]\n')  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert [cell.arm for cell in file_grid(grid).cells] == ["mine", "m2"]
    with pytest.raises(ConfigError, match="does not exist"):
        file_grid(grid, {"methods": ["./mine.py"]})  # of the command line: of this folder
    assert [c.arm for c in file_grid(grid, {"methods": ["grids/mine.py"]}).cells] == ["mine"]


def test_the_sizes_are_explained_where_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = call(capsys, "config")
    assert "a frozen one resizes what is packed to network.input_size" in text
    assert "resized to from what data.image_size packed" in text
    for command in ("run", "bench", "init"):
        _, text = call(capsys, command, "--help")
        assert "network.input_size" in text


# ------------------------------------------------------------------------------------ items


def test_reading_items_has_named_errors(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    with begin(tmp_path, classes=["a", "b"]).project as project:
        items = project.items
        items._database.close()
        items._database = sqlite3.connect(":memory:")
        for read in (
            lambda: items.get(0), items.count, items.all, items.files, items.paths,
            items.known_hashes,
        ):  # fmt: skip
            with pytest.raises(
                StorageError, match=r"items\.sqlite could not be read: no such table"
            ):
                read()


def test_an_import_lists_all_that_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        picture(tmp_path / f"{i}.png")
    begin(tmp_path, classes=["a", "b"]).project.close()
    (tmp_path / "l.csv").write_text("path,label\n0.png,a\nno1.png,a\nno2.png,b\nno3.png,a\n")
    where = ["--project", str(tmp_path)]
    _, short = call(capsys, "import", str(tmp_path / "l.csv"), *where)
    assert "e.g. no1.png" in short
    assert "no3.png" not in short
    _, long = call(capsys, "import", str(tmp_path / "l.csv"), "--verbose", *where)
    assert all(name in long for name in ("no1.png", "no2.png", "no3.png"))
