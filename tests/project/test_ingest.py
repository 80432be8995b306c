"""Items are for ever: identical, moved, changed, vanished and new files; crashes; tables."""

import io
import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_project import CLASSES, image_of, make_images

from labelgap.core.errors import FolderError, LedgerError
from labelgap.data.images import decode
from labelgap.project.exchange.begin import begin, keep_labels
from labelgap.project.images import ingest as module
from labelgap.project.images.items import Items
from labelgap.project.keep.store import Project


def pixels_of(path, side=12):
    return decode((str(path), path.read_bytes()), 3, None, side)


def test_ids_are_rows_of_the_packed_pixels(project, folder):
    rows = project.pixels.open(60)
    for item in project.items.all():
        np.testing.assert_array_equal(rows[item.id], pixels_of(folder / item.path))
    assert [i.path for i in project.items.all()] == sorted(p.name for p in folder.glob("*.png"))


def test_identical_files_are_one_item(tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 4)
    (folder / "sub").mkdir()
    shutil.copy(folder / "im0001.png", folder / "sub" / "copy.png")
    begun = begin(folder, classes=CLASSES)
    with begun.project as project:
        assert project.items.count() == 4
        assert begun.report.duplicates == [("sub/copy.png", "im0001.png")]
        assert project.item_of("sub/copy.png") == project.item_of("im0001.png")


def test_moved_vanished_changed_and_new_files(project, folder):
    ids = project.items.paths()
    for name in ("im0003.png", "im0004.png", "im0005.png"):
        project.ledger.answer(ids[name], 1, person="anna")
    (folder / "deep").mkdir()
    (folder / "im0003.png").rename(folder / "deep" / "moved.png")
    (folder / "im0004.png").unlink()
    image_of(2, np.random.default_rng(77)).save(folder / "im0005.png")
    image_of(2, np.random.default_rng(78)).save(folder / "new.png")
    report = project.add()
    assert report.moved == [("im0003.png", "deep/moved.png")]
    assert report.vanished == ["im0004.png"]
    assert report.changed == ["im0005.png"]
    assert report.duplicates == []
    assert report.added == 2
    now = project.items.paths()
    assert now["deep/moved.png"] == ids["im0003.png"]
    assert now["im0005.png"] == 60  # other contents are another item
    assert now["new.png"] == 61
    assert {ids["im0003.png"], ids["im0004.png"], ids["im0005.png"]} == set(project.ledger.labels)
    assert not project.items.get(ids["im0004.png"]).present
    # It comes back under another name: the label is there.
    shutil.copy(folder / "im0006.png", folder / "im0007b.png")
    again = project.add()
    assert again.added == 0
    assert again.known > 0


def check_path(project, id, path, present):
    for item in (project.items.get(id), project.items.all()[id]):
        assert (item.path, item.present) == (path, present)


def test_an_image_edited_in_place_leaves_its_path_to_its_item(project, folder):
    path = folder / "im0005.png"
    original = path.read_bytes()
    for k in range(2):
        image_of(2, np.random.default_rng(70 + k)).save(path)
        assert project.add().changed == ["im0005.png"]
        check_path(project, 5, "im0005.png", False)
        check_path(project, 60, "im0005.png", k == 0)
        assert project.item_of("im0005.png") == 60 + k
    assert project.add().changed == []
    path.write_bytes(b"no image")  # quarantined now
    report = project.add()
    assert (report.changed, len(report.quarantined)) == (["im0005.png"], 1)
    check_path(project, 61, "im0005.png", False)
    path.write_bytes(original)
    os.utime(path, ns=(1, 1))
    assert project.add().changed == []
    check_path(project, 5, "im0005.png", True)


def test_an_image_that_was_renamed_to_edit_a_copy_has_moved(project, folder):
    shutil.copy(folder / "im0005.png", folder / "original.png")
    image_of(2, np.random.default_rng(70)).save(folder / "im0005.png")
    report = project.add()
    assert report.moved == [("im0005.png", "original.png")]
    assert (report.changed, report.vanished, report.duplicates) == ([], [], [])
    check_path(project, 5, "original.png", True)


def test_a_project_of_an_older_version_is_read_and_goes_on(project, folder):
    project.items._database.execute("DROP TABLE former")
    project.items._database.execute("DELETE FROM files WHERE item = 5")  # as it was lost then
    project.close()
    with Project.open(folder, "read") as old:
        check_path(old, 5, "", False)
        check_path(old, 6, "im0006.png", True)
    image_of(2, np.random.default_rng(70)).save(folder / "im0006.png")
    with Project.open(folder) as now:
        assert now.add().changed == ["im0006.png"]
        check_path(now, 5, "im0005.png", True)
        check_path(now, 6, "im0006.png", False)
    with Project.open(folder, "read") as read:
        check_path(read, 6, "im0006.png", False)


def test_adding_twice_changes_nothing(project):
    before = project.items.files()
    report = project.add()
    assert (report.added, report.known) == (0, 60)
    assert project.items.files() == before


def test_items_cannot_change_or_go(project):
    for sql in ("UPDATE items SET sha256 = 'x'", "DELETE FROM items"):
        with pytest.raises(Exception, match="for ever"):
            project.items._database.execute(sql)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_init_goes_on_where_it_stopped(tmp_path, monkeypatch, after):
    folder = tmp_path / "images"
    make_images(folder)
    monkeypatch.setattr(module, "_CHUNK", 10)
    done = 0
    put = Items.writing

    def failing(self):
        nonlocal done
        done += 1
        if done > after:
            raise KeyboardInterrupt
        return put(self)

    monkeypatch.setattr(Items, "writing", failing)
    with pytest.raises(KeyboardInterrupt):
        begin(folder, classes=CLASSES)
    monkeypatch.setattr(Items, "writing", put)
    with begin(folder, classes=CLASSES).project as project:
        assert project.items.count() == 60
        rows = project.pixels.open(60)
        for item in project.items.all():
            np.testing.assert_array_equal(rows[item.id], pixels_of(folder / item.path))
        assert project.pixels.file.stat().st_size == 60 * project.pixels.row


def test_sub_folders_name_the_classes(tmp_path):
    rng = np.random.default_rng(0)
    for place in ("cat/a.png", "cat/deep/b.png", "dog/c.png", "unlabelled/d.png", "e.png"):
        path = tmp_path / "images" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        image_of(0, rng).save(path)
    # One image lies in two classes' folders.
    shutil.copy(tmp_path / "images/cat/a.png", tmp_path / "images/dog/a.png")
    begun = begin(tmp_path / "images")
    with begun.project as project:
        assert project.classes == ("cat", "dog")
        ids = project.items.paths()
        assert project.ledger.labels == {ids["cat/deep/b.png"]: 0, ids["dog/c.png"]: 1}
        assert begun.labels.ambiguous == ["dog/a.png"]
        # Later: a new one of each kind, and one that is moved to the other class.
        for place in ("cat/new.png", "emu/new.png"):
            (tmp_path / "images" / place).parent.mkdir(exist_ok=True)
            image_of(1, rng).save(tmp_path / "images" / place)
        (tmp_path / "images/dog/c.png").rename(tmp_path / "images/cat/c.png")
        found = project.find()
        project.add(found)
        said = keep_labels(project, found)
        assert said.unmatched == ["emu/new.png (emu)"]
        assert project.ledger.labels[project.item_of("cat/new.png")] == 0
        assert project.ledger.labels[ids["dog/c.png"]] == 0


def test_sub_folders_are_no_labels_where_the_classes_are_given(tmp_path):
    make_images(tmp_path / "images" / "red", 3)
    with begin(tmp_path / "images", classes=CLASSES).project as project:
        assert keep_labels(project, project.find()).stored == 0
        assert project.ledger.labels == {}


def test_nothing_is_begun_on_a_network_file_system(tmp_path, monkeypatch):
    make_images(tmp_path / "images", 3)
    monkeypatch.setattr("labelgap.ledger.log.network_file_system", lambda path: "nfs4")
    with pytest.raises(LedgerError, match="network file system"):
        begin(tmp_path / "images", classes=CLASSES)
    assert not (tmp_path / "images" / ".labelgap" / "project.json").exists()


def test_a_manifest_gives_images_and_labels(tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 10)
    lines = [
        {"path": f"im000{i}.png", "label": CLASSES[i % 3] if i < 4 else None} for i in range(8)
    ]
    (folder / "m.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    begun = begin(folder, manifest=folder / "m.jsonl")
    with begun.project as project:
        assert project.items.count() == 8
        assert project.classes == ("blue", "green", "red")
        assert len(project.ledger.labels) == 4
    with Project.open(folder) as project:
        assert project.add().added == 0


def encoded(i):
    sink = io.BytesIO()
    image_of(i % 3, np.random.default_rng(i)).save(sink, "PNG")
    return sink.getvalue()


def huggingface(names):
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def table(n):
    images = [{"bytes": encoded(i), "path": f"{i}.png"} for i in range(n)]
    labels = [i % 3 if i % 4 else -1 for i in range(n)]
    made = pa.table({"image": images, "label": pa.array(labels, pa.int64())})
    return made.replace_schema_metadata(huggingface(list(CLASSES)))


def check_table(folder, n):
    with begin(folder).project as project:
        assert project.items.count() == n
        assert project.classes == tuple(sorted(c for c in CLASSES))
        for item in project.items.all():
            i = int(item.path.rpartition("#")[2])
            data = project.reader.read(item.path)
            assert data == encoded(i)
            label = project.ledger.labels.get(item.id)
            named = None if label is None else project.classes[label]
            assert named == (CLASSES[i % 3] if i % 4 else None)


def test_parquet(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    pq.write_table(table(23), folder / "all.parquet", row_group_size=5)
    check_table(folder, 23)


def test_a_data_set_on_disk(tmp_path):
    """The layout that Hugging Face's `save_to_disk` writes: Arrow streams and state.json."""
    folder = tmp_path / "data"
    folder.mkdir()
    made = table(14)
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
        pa.ipc.new_stream(sink, made.schema) as writer,
    ):
        writer.write_table(made, max_chunksize=4)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_indices_files": None}
    (folder / "state.json").write_text(json.dumps(state))
    check_table(folder, 14)


def test_a_data_set_saved_by_its_own_library(tmp_path):
    import datasets  # seconds to load

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))}
    )
    rows = {
        "image": [{"bytes": encoded(i), "path": None} for i in range(9)],
        "label": [i % 3 if i % 4 else -1 for i in range(9)],
    }
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "data"))
    check_table(tmp_path / "data", 9)


def test_a_full_disk_keeps_what_was_there(project, folder, monkeypatch):
    image_of(0, np.random.default_rng(9)).save(folder / "new.png")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labelgap.project.images.pixels.os.fsync", full)
    with pytest.raises(FolderError, match="the disk is full"):
        project.add()
    monkeypatch.undo()
    assert project.items.count() == 60
    assert project.add().added == 1
