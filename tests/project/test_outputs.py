"""Where exports and predictions go, and what they must never go over."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from console import call
from small_project import CLASSES, make_images

from labelgap.core.errors import ConfigError, FolderError, UnknownName
from labelgap.project.exchange.begin import begin
from labelgap.project.exchange.export import export
from labelgap.project.exchange.outputs import FORMATS, format_of
from labelgap.project.exchange.predictions import refuse_predictions
from labelgap.project.keep.settings import HOME
from labelgap.project.keep.store import Project


@pytest.fixture
def listed(tmp_path):
    """A project of a manifest labels.csv."""
    folder = tmp_path / "images"
    truth = make_images(folder, 6)
    lines = [f"{path},{label}" for path, label in truth.items()]
    (folder / "labels.csv").write_text("\n".join(["path,label", *lines, ""]))
    begin(folder, manifest=folder / "labels.csv").project.close()
    return folder


@pytest.fixture
def tables(tmp_path):
    """A project of a Parquet table, all.parquet."""
    folder = tmp_path / "tables"
    folder.mkdir()
    make_images(tmp_path / "source", 6)
    data = [p.read_bytes() for p in sorted((tmp_path / "source").iterdir())]
    pq.write_table(pa.table({"image": data, "label": list(CLASSES) * 2}), folder / "all.parquet")
    begin(folder).project.close()
    return folder


def test_export_by_itself_does_not_write_over_the_manifest(listed, monkeypatch, capsys):
    monkeypatch.chdir(listed)
    before = (listed / "labels.csv").read_bytes()
    status, said = call(capsys, "export")
    assert status == 2
    assert "labels.csv is the manifest, from which `add` takes the images. Give --out" in said
    assert (listed / "labels.csv").read_bytes() == before
    assert call(capsys, "export", "--out", "mine.csv") == (0, "6 labels → mine.csv")


@pytest.mark.parametrize(
    ("out", "what"),
    [
        ("LABELS.csv", "manifest"),
        ("../images/labels.csv", "manifest"),
        ("im0003.png", "an image"),
        (f"{HOME}/ledger.sqlite", "project's own folder"),
        (HOME, "project's own folder"),
    ],
)
def test_an_export_goes_over_no_part_of_the_project(listed, out, what):
    with Project.open(listed, "read") as project:
        with pytest.raises(FolderError, match=f"{what}.*Give --out another name"):
            export(project, listed / out, "csv")
        export(project, listed / "other.csv", "csv")


def test_predictions_go_over_no_part_of_the_project(listed):
    with Project.open(listed, "read") as project:
        with pytest.raises(FolderError, match="manifest"):
            refuse_predictions(project, listed / "labels.csv")
        with pytest.raises(UnknownName, match="txt"):
            refuse_predictions(project, listed / "p.txt")
        assert refuse_predictions(project, listed / "p.csv") == "csv"


def test_a_link_on_the_way_does_not_hide_the_place(listed, tmp_path):
    (tmp_path / "way").symlink_to(listed)
    with Project.open(listed, "read") as project, pytest.raises(FolderError, match="manifest"):
        export(project, tmp_path / "way" / "labels.csv", "csv")


def test_no_parquet_file_is_put_among_the_tables(tables, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tables)
    status, said = call(capsys, "export", "--format", "parquet")
    assert status == 2
    assert "labels.parquet is where `add` would take it for a table of images" in said
    status, said = call(capsys, "predict", "--out", "predictions.parquet")
    assert status == 2
    assert "predictions.parquet is where `add` would take it" in said
    outside = tmp_path / "labels.parquet"
    assert call(capsys, "export", "--out", str(outside)) == (0, f"6 labels → {outside}")
    assert call(capsys, "export")[0] == 0
    assert call(capsys, "add")[0] == 0


def test_a_saved_data_set_is_not_written_over(tables):
    (tables / "state.json").write_text('{"_data_files": [{"filename": "all.arrow"}]}')
    with Project.open(tables, "read") as project:
        for name in ("state.json", "all.arrow"):
            with pytest.raises(FolderError, match="data set that holds the images"):
                export(project, tables / name, "coco")


def test_the_suffix_says_the_format():
    made = {"l.csv": "csv", "l.JSONL": "jsonl", "l.parquet": "parquet", "l.json": "coco",
            "l.xml": "cvat", "m.onnx": "onnx"}  # fmt: skip
    for name, format in made.items():
        assert format_of(Path(name)) == format_of(Path(name), format) == format
    assert format_of(None) == "csv"
    assert {format_of(None, name) for name in FORMATS} == set(FORMATS)
    assert format_of(Path("l.txt"), "csv") == "csv"
    assert format_of(Path("out"), "folders") == "folders"


def test_a_suffix_that_contradicts_the_format_is_refused():
    with pytest.raises(ConfigError, match=r"\.parquet is the suffix of parquet") as raised:
        format_of(Path("l.parquet"), "csv")
    assert "Leave out --format csv" in raised.value.cure
    for name in ("l.txt", "sorted", "im05.png"):
        with pytest.raises(UnknownName, match=f"in {name}, without --format"):
            format_of(Path(name))


def test_export_writes_what_the_suffix_says(listed, tmp_path, capsys):
    out = tmp_path / "labels.parquet"
    status, _ = call(capsys, "export", "--out", str(out), "--project", str(listed))
    assert status == 0
    assert pq.read_table(out).num_rows == 6


def test_class_folders_go_beside_the_project_by_themselves(listed, monkeypatch, capsys):
    monkeypatch.chdir(listed)
    out = listed.resolve().parent / "images-labels"
    assert call(capsys, "export", "--format", "folders") == (0, f"6 labels → {out}")
    assert sorted(p.name for p in out.iterdir()) == sorted(CLASSES)
    assert call(capsys, "add")[1].startswith("0 new images")
