"""Packing once: what is decoded again and when, and what a torn or full disk does."""

import os
import stat
import subprocess
import sys
import time

import data_files as files
import numpy as np
import pytest

import labelgap.data.pack as pack
from labelgap.core.errors import DataError, DiskError
from labelgap.data import load
from labelgap.data.cache import cache_folder, content_digest, write_record


@pytest.fixture
def root(tmp_path):
    files.write_class_folders(tmp_path / "own", files.pictures(6, 8, 8, 3))
    return tmp_path / "own"


@pytest.fixture
def decodes(monkeypatch):
    """How many times a set was decoded."""
    calls = []
    make = pack._make

    def counting(*arguments):
        calls.append(arguments)
        make(*arguments)

    monkeypatch.setattr(pack, "_make", counting)
    return calls


def test_a_second_load_maps_the_first_ones_file(root, decodes):
    first, second = load(str(root)), load(str(root))
    assert len(decodes) == 1
    assert isinstance(second.train.inputs, np.memmap)
    np.testing.assert_array_equal(first.train.inputs, second.train.inputs)
    for name in ("classes", "mean", "std", "fingerprint"):
        assert getattr(first, name) == getattr(second, name)


def test_writing_to_the_map_does_not_reach_the_file(root):
    task = load(str(root))
    before = task.train.inputs.copy()
    task.train.inputs[:] = 0
    np.testing.assert_array_equal(load(str(root)).train.inputs, before)


def test_the_same_contents_elsewhere_are_not_packed_again(root, tmp_path, decodes):
    load(str(root))
    root.rename(tmp_path / "moved")
    load(str(tmp_path / "moved"))
    assert len(decodes) == 1


def test_image_size_has_a_copy_of_its_own(root, decodes):
    assert load(str(root)).input_shape == (8, 8, 3)
    assert load(str(root), image_size=4).input_shape == (4, 4, 3)
    assert load(str(root)).input_shape == (8, 8, 3)
    assert len(decodes) == 2


def test_a_file_changed_at_the_same_size_and_time_is_noticed(root, monkeypatch):
    images = files.pictures(2, 8, 8, 1)
    path = root / "train" / "ant" / "000.png"
    raw = [files.png(image) for image in images]
    size = max(map(len, raw))
    padded = [r + bytes(size - len(r)) for r in raw]
    path.write_bytes(padded[0])
    files.age(root)
    stat = path.stat()
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)  # old enough for a recorded digest
    first = load(str(root))
    path.write_bytes(padded[1])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    assert path.stat().st_size == stat.st_size
    second = load(str(root))
    assert second.fingerprint != first.fingerprint
    np.testing.assert_array_equal(second.train.inputs[0][..., :1], images[1])


def test_digests_are_recorded_only_when_the_files_are_old_enough(root, tmp_path, monkeypatch):
    paths = sorted(p for p in root.rglob("*.png"))
    cache = tmp_path / "digests-here"
    fresh = content_digest(paths, root, cache)
    assert not (cache / "digests").exists(), "files this young may change within the clock's tick"
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)
    assert content_digest(paths, root, cache) == fresh
    assert len(list((cache / "digests").iterdir())) == 1
    monkeypatch.setattr("labelgap.data.cache.file_digest", lambda *_: pytest.fail("read again"))
    assert content_digest(paths, root, cache) == fresh


def test_renaming_a_file_changes_the_digest(root, tmp_path):
    def digest():
        return content_digest(sorted(root.rglob("*.png")), root, tmp_path / "c")

    before = digest()
    path = root / "train" / "ant" / "000.png"
    path.rename(path.with_name("zzz.png"))
    assert digest() != before


@pytest.mark.parametrize("damage", ["inputs", "labels", "meta", "meta gone"])
def test_a_torn_copy_is_made_anew(root, cache, decodes, damage):
    first = load(str(root))
    (folder,) = (cache / "packed").iterdir()
    if damage == "meta gone":
        (folder / "meta.json").unlink()
    elif damage == "meta":
        (folder / "meta.json").write_text('{"sizes"')
    else:
        path = folder / f"train-{damage}.npy"
        path.write_bytes(path.read_bytes()[:-5])
    second = load(str(root))
    assert len(decodes) == 2
    assert second.fingerprint == first.fingerprint


def test_a_failed_packing_leaves_nothing(root, cache):
    (root / "test" / "cat" / "002.png").write_text("no image")
    with pytest.raises(DataError):
        load(str(root))
    assert list((cache / "packed").iterdir()) == []


def test_what_a_killed_process_left_is_swept_a_day_later(root, cache):
    old, young = cache / "packed" / ".making-old", cache / "packed" / ".making-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    day_ago = time.time() - 90_000
    os.utime(old, (day_ago, day_ago))
    load(str(root))
    assert not old.exists()
    assert young.exists()


def test_another_process_that_was_first_wins(root, monkeypatch):
    publish, seen = pack._publish, []

    def second(temporary, folder):
        import shutil

        shutil.copytree(temporary, folder)  # the other process finishes at this instant
        publish(temporary, folder)
        seen.append(folder)

    monkeypatch.setattr(pack, "_publish", second)
    assert len(load(str(root)).train) == 6
    assert len(seen) == 1


def test_processes_that_pack_at_once_agree(root, cache):
    code = f"from labelgap.data import load; print(load({str(root)!r}).fingerprint)"
    runs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outputs = {run.communicate(timeout=600)[0] for run in runs}
    assert all(run.returncode == 0 for run in runs)
    assert len(outputs) == 1
    assert len(list((cache / "packed").iterdir())) == 1


def test_a_cache_that_cannot_be_written_says_what_to_set(root, tmp_path):
    blocked = tmp_path / "a-file"
    blocked.write_text("not a folder")
    with pytest.raises(DiskError, match="could not be written") as caught:
        load(str(root), cache=blocked)
    assert "LABELGAP_CACHE" in caught.value.cure


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_is_an_error_and_not_a_bus_error(root, monkeypatch):
    with pytest.raises(OSError, match="No space"):
        pack._write(
            type(root)("/dev/full"), (2, 999, 999, 3), iter([np.zeros((2, 999, 999, 3), np.uint8)])
        )
    import errno

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pack, "_write", full)
    with pytest.raises(DiskError, match="the disk is full") as caught:
        load(str(root))
    assert "room" in caught.value.cure


def test_an_atomic_write_replaces_whole(tmp_path):
    path = tmp_path / "deep" / "record"
    write_record(path, b"one")
    write_record(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["record"]


@pytest.mark.skipif(os.name == "nt", reason="a folder cannot be synced there")
def test_a_record_is_on_the_disk_with_its_name(tmp_path, monkeypatch):
    synced = []

    def fsync(handle):
        synced.append(stat.S_ISDIR(os.fstat(handle).st_mode))

    monkeypatch.setattr(os, "fsync", fsync)
    write_record(tmp_path / "record", b"one")
    assert synced == [False, True]  # the content, then the folder that names it


def test_a_cache_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="could not be written") as caught:
        write_record(tmp_path / "file" / "record", b"one")
    assert "LABELGAP_CACHE" in caught.value.cure


def test_where_the_cache_is(tmp_path, monkeypatch):
    assert cache_folder(tmp_path) == tmp_path
    monkeypatch.setenv("LABELGAP_CACHE", "/somewhere")
    assert str(cache_folder()) == "/somewhere"
    monkeypatch.delenv("LABELGAP_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert str(cache_folder()) == "/xdg/labelgap"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().parts[-2:] == (".cache", "labelgap")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder().parts[-3:] == ("Library", "Caches", "labelgap")


def test_progress_shows_only_when_it_takes_long(capsys, monkeypatch):
    from labelgap.data import progress

    with progress.late_progress("Packing", 10) as advance:
        advance(10)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_PATIENCE", -1)
    with progress.late_progress("Packing", 10) as advance:
        advance(5)
        advance(5)
    assert capsys.readouterr().err.count("Packing") == 1
