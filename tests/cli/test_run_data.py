"""A run's and a benchmark's folder, and the data of a folder of images: one set, whatever its
path; other data under the same path are refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from console import call
from PIL import Image

from labelgap.bench.grid.store import Store
from labelgap.session.claim import CONFIG, DATA

CLASSES = ("cat", "dog", "fox")
RUN = (
    "--method margin --device cpu --threads 1 --set loop.initial=9 --set loop.budget=6 "
    "--set loop.rounds=1 --set training.steps=5 --set network.width=4 --set precision=float32"
).split()
BENCH = [*RUN, "--workers", "1", "--seeds", "1"]


def draw(folder: Path, seed: int) -> None:
    """An image in the class that its folder names."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 90, (8, 8, 3)) + 60 * CLASSES.index(folder.name)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{seed:03d}.png")


def make(root: Path) -> Path:
    for split, n, begin in (("train", 10, 0), ("test", 3, 50)):
        for name in CLASSES:
            for seed in range(begin, begin + n):
                draw(root / split / name, seed)
    return root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders, a and b, each with a data set of the same path; b's classes are exchanged."""
    make(tmp_path / "a" / "data")
    train = make(tmp_path / "b" / "data") / "train"
    (train / "cat").rename(train / "was cat")
    (train / "fox").rename(train / "cat")
    (train / "was cat").rename(train / "fox")
    monkeypatch.chdir(tmp_path / "a")
    return tmp_path


EXCHANGED = "20 training rows with another label"


def test_a_run_s_folder_goes_on_with_its_data_only(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(here / "o")
    first = call(capsys, "run", "--dataset", "data", "--out", out, *RUN)
    assert first[0] == 0, first[1]
    result = (here / "o" / "result.json").read_text()
    (here / "link").symlink_to(here / "a" / "data")
    moved = here / "moved"
    shutil.copytree(here / "a" / "data", moved)
    for typed in ("./data/", str(here / "a" / "data"), "../link", str(moved)):
        status, said = call(capsys, "run", "--dataset", typed, "--out", out, *RUN)
        assert status == 0, said
        assert "area under the budget curve" in said
    monkeypatch.chdir(here / "b")
    for finished in (True, False):
        status, said = call(capsys, "run", "--dataset", "data", "--out", out, *RUN)
        assert status == 2
        assert EXCHANGED in said
        assert "cat → fox" in said
        assert "area under" not in said
        if finished:
            (here / "o" / "result.json").rename(here / "kept.json")
    # A run that was killed goes on with the data that moved, under the name that they had.
    status, said = call(capsys, "run", "--dataset", str(moved), "--out", out, *RUN)
    assert status == 0, said
    again = json.loads((here / "o" / "result.json").read_text())
    assert again["dataset"] == "data"
    assert again["aubc"] == json.loads(result)["aubc"]
    assert json.loads((here / "o" / CONFIG).read_text())["config"]["data"]["name"] == "data"
    status, said = call(capsys, "run", "--dataset", str(moved), "--out", out, *RUN, "--seed", "3")
    assert (status, "seed is 0 there and 3 here" in said) == (2, True)


def test_the_default_folder_is_one_for_all_spellings(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for typed in ("data", "./data", "data/", str(here / "a" / "data")):
        status, said = call(capsys, "run", "--dataset", typed, *RUN)
        assert status == 0, said
    assert len(list(Path("runs").iterdir())) == 1


def test_a_run_s_data_that_grew_are_taken_by_extend(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("run", "--dataset", "data", "--out", "o", *RUN)
    assert call(capsys, *arguments)[0] == 0
    asked = Path("o/queries.jsonl").read_text()
    (Path("o") / "result.json").unlink()  # killed before its end
    for seed in (20, 21):
        draw(Path("data/train/cat"), seed)  # before all of dog and fox
    status, said = call(capsys, *arguments)
    assert status == 2
    assert "2 training rows added (rows 10, 11 here)" in said
    assert "--extend" in said
    status, said = call(capsys, *arguments, "--extend")
    assert status == 0, said
    assert "2 rows added behind the 30 of the folder" in said
    assert Path("o/queries.jsonl").read_text() == asked  # the same ids, of the same images
    status, said = call(capsys, *arguments)
    assert status == 0, said
    status, said = call(capsys, *arguments, "--extend")
    assert (status, "finished before" in said) == (0, True)
    Path("data/train/cat/000.png").unlink()
    status, said = call(capsys, *arguments, "--extend")
    assert status == 2
    assert "1 training row removed (row 0 there)" in said


def test_a_finished_folder_of_an_older_version_looks_at_its_data(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("run", "--dataset", "data", "--out", str(here / "o"), *RUN)
    assert call(capsys, *arguments)[0] == 0
    (here / "o" / DATA).unlink()
    monkeypatch.chdir(here / "b")
    assert call(capsys, *arguments)[0] == 2
    monkeypatch.chdir(here / "a")
    with pytest.warns(UserWarning, match="kept no record"):
        assert call(capsys, *arguments)[0] == 0
    assert (here / "o" / DATA).exists()


def test_a_benchmark_s_data_have_one_name_and_others_are_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(here / "bench"), *BENCH)
    status, said = call(capsys, "bench", "--dataset", "data", *out)
    assert status == 0, said
    assert "1 cell, 0 finished" in said
    shutil.copytree("data", here / "moved")
    for typed in ("./data", str(here / "moved")):
        status, said = call(capsys, "bench", "--dataset", typed, *out)
        assert status == 0, said
        assert "1 cell, 1 finished" in said
    # A further cell is computed from where the data are now.
    shutil.rmtree("data")
    status, said = call(capsys, "bench", "--dataset", str(here / "moved"), *out, "--seeds", "2")
    assert status == 0, said
    assert {c.config.data.name for c in Store(here / "bench").cells} == {"data"}
    status, said = call(capsys, "bench", "--dataset", str(here / "moved"), *out, "--seeds", "2")
    assert "2 cells, 2 finished" in said
    # Two spellings of one set, and a link to it, are one set.
    both = ("--dataset", str(here / "moved"), "--dataset", "../moved")
    assert "would be the same run" in call(capsys, "bench", *both, *out)[1]
    monkeypatch.chdir(here / "b")
    status, said = call(capsys, "bench", "--dataset", "data", *out)
    assert status == 2
    assert EXCHANGED in said
    # A benchmark from before the record says so once.
    shutil.rmtree(here / "bench" / "data")
    said = [call(capsys, "bench", "--dataset", "data", *out)[1] for _ in range(2)]
    assert ["recorded now" in text for text in said] == [True, False]
