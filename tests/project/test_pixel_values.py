"""A project of images that are not 8-bit: one range, recorded, shown, and used everywhere."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from console import call
from PIL import Image

from labelgap.core.errors import FolderError, UnknownName
from labelgap.data.images import decode
from labelgap.project.exchange.begin import begin
from labelgap.project.exchange.shown import original
from labelgap.project.keep.doctor import repack
from labelgap.project.keep.settings import read_settings
from labelgap.project.keep.store import Project

R = np.random.default_rng(1)


def twelve_bits(folder: Path, n: int = 12, top: int = 4095, first: int = 0) -> np.ndarray:
    """n images of values 0 … top in 16 bits, each brighter than the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    values = (R.random((n, 8, 8)) * np.linspace(top / 4, top, n)[:, None, None]).astype(np.uint16)
    for i, image in enumerate(values, first):
        Image.fromarray(image).save(folder / f"{i:03d}.png")
    return values


def squares(project: Project) -> np.ndarray:
    return project.pixels.open(project.items.count())[..., 0]


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(255 * ((values.astype(np.float64) - low) / (high - low)).clip(0, 1))


def test_one_range_is_chosen_recorded_and_shown(tmp_path, capsys):
    values = twelve_bits(tmp_path / "images")
    status, said = call(capsys, "init", str(tmp_path / "images"), "--classes", "a,b")
    assert status == 0
    assert "16-bit pixels:" in said
    assert "become 0 … 255 (the data's own range)" in said
    assert "black or nearly" not in said
    kept = read_settings(tmp_path / "images" / ".labelgap" / "project.json")
    low, high = kept.scales["16-bit"]
    assert (low, high) == pytest.approx(np.percentile(values, [0.1, 99.9]))
    with Project.open(tmp_path / "images") as project:
        np.testing.assert_array_equal(squares(project), scaled(values, low, high))
        shown = original(project, project.items.get(3), 100)
        np.testing.assert_array_equal(np.asarray(shown)[..., 0], scaled(values[3], low, high))


def test_images_that_come_later_have_the_same_range(tmp_path):
    """However they look themselves: what is brighter than all before is white."""
    first = twelve_bits(tmp_path)
    begun = begin(tmp_path, classes=["a", "b"])
    with begun.project as project:
        low, high = project.settings.scales["16-bit"]
        later = twelve_bits(tmp_path, 4, 65535, first=100)
        project.add()
        assert project.settings.scales == {"16-bit": (low, high)}
        both = np.concatenate([first, later])
        np.testing.assert_array_equal(squares(project), scaled(both, low, high))
        before = squares(project).copy()
        repack(project)
        np.testing.assert_array_equal(squares(project), before)
    with Project.open(tmp_path) as again:
        assert again.pixels.scales.ranges == {"16-bit": (low, high)}


def test_a_kind_that_comes_later_gets_its_own(tmp_path):
    twelve_bits(tmp_path)
    with begin(tmp_path, classes=["a", "b"]).project as project:
        before = dict(project.settings.scales)
        values = R.random((8, 8)).astype(np.float32)
        Image.fromarray(values).save(tmp_path / "z.tif")
        project.add()
        assert project.settings.scales == {**before, "float": (0.0, 1.0)}
        np.testing.assert_array_equal(squares(project)[-1], np.rint(255 * values))


def test_the_whole_range_of_the_type_says_that_all_is_black(tmp_path, capsys):
    values = twelve_bits(tmp_path / "images", 5)
    options = ("init", str(tmp_path / "images"), "--classes", "a,b", "--scaling", "type")
    status, said = call(capsys, *options)
    assert status == 0
    assert "16-bit pixels: 0 … 65535 become 0 … 255 (the type's range)" in said
    assert "5 images are black or nearly" in said
    with Project.open(tmp_path / "images") as project:
        np.testing.assert_array_equal(squares(project), np.rint(values / 257))
    status, said = call(capsys, *options[:-1], "own")
    assert status == 2
    assert "has scaling 'type'" in said


def test_dark_images_of_8_bits_are_told_too(tmp_path):
    """Masks of 0 and 1 are a data set's commonest black images."""
    for i in range(3):
        Image.fromarray(R.integers(0, 2, (8, 8), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    Image.fromarray(np.full((8, 8), 40, np.uint8)).save(tmp_path / "bright.png")
    begun = begin(tmp_path, classes=["a", "b"])
    begun.project.close()
    assert begun.report.dark == ["0.png", "1.png", "2.png"]


def test_nan_is_quarantined(tmp_path):
    values = R.random((8, 8)).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "fine.tif")
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "nan.tif")
    begun = begin(tmp_path, classes=["a", "b"])
    begun.project.close()
    assert [(path, reason) for path, reason, _ in begun.report.quarantined] == [
        ("nan.tif", "NaN pixels")
    ]


def test_rows_of_a_table(tmp_path):
    values = twelve_bits(tmp_path / "elsewhere")
    data = [{"bytes": (tmp_path / "elsewhere" / f"{i:03d}.png").read_bytes()} for i in range(12)]
    (tmp_path / "table").mkdir()
    table = pa.table({"image": data, "label": [i % 2 for i in range(12)]})
    pq.write_table(table, tmp_path / "table" / "all.parquet")
    with begin(tmp_path / "table").project as project:
        low, high = project.settings.scales["16-bit"]
        np.testing.assert_array_equal(squares(project), scaled(values, low, high))


def test_a_project_of_before_keeps_its_pixels(tmp_path):
    """It was packed by the type's range, and says nothing of it."""
    first = twelve_bits(tmp_path, 4)
    with begin(tmp_path, classes=["a", "b"], scaling="type").project as project:
        assert squares(project).max() <= 16
    file = tmp_path / ".labelgap" / "project.json"
    tree = json.loads(file.read_text())
    del tree["scaling"], tree["scales"]
    file.write_text(json.dumps(tree))
    with Project.open(tmp_path) as project:
        later = twelve_bits(tmp_path, 4, first=10)
        project.add()
        both = np.concatenate([first, later])
        np.testing.assert_array_equal(squares(project), np.rint(both / 257))


def test_another_rule_is_refused(tmp_path):
    twelve_bits(tmp_path, 3)
    with pytest.raises(UnknownName, match="'log' in --scaling"):
        begin(tmp_path, classes=["a", "b"], scaling="log")
    assert not (tmp_path / ".labelgap").exists()
    begin(tmp_path, classes=["a", "b"]).project.close()
    with pytest.raises(FolderError, match="scaling"):
        begin(tmp_path, classes=["a", "b"], scaling="own")


def test_the_exported_model_sees_what_training_saw(tmp_path):
    """Its loader packs a file as the project did."""
    from labelgap.data.scales import Scales

    values = twelve_bits(tmp_path, 6)
    with begin(tmp_path, classes=["a", "b"]).project as project:
        kept = json.loads(json.dumps(project.settings.model_dump(mode="json")["scales"]))
        scales = Scales({kind: (low, high) for kind, (low, high) in kept.items()})
        for i in range(len(values)):
            file = tmp_path / f"{i:03d}.png"
            item = (file.name, file.read_bytes())
            got = decode(item, 3, None, project.settings.image_size, scales)
            np.testing.assert_array_equal(got[..., 0], squares(project)[i])
