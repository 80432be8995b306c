"""What the disk refuses is told by what it is, with the file and a cure, and never as damage."""

import errno
import json
import os
import sqlite3

import numpy as np
import pytest
from disks import fill, read_only, small_file_system
from PIL import Image

from labelgap.core import disk
from labelgap.core.disk import disk_error, not_the_disk, told, trouble
from labelgap.core.errors import DiskError, FolderError, LedgerError, StorageError
from labelgap.core.files import write_text
from labelgap.core.tensors import read_tensors
from labelgap.data import load, parquet
from labelgap.data.idx import read_idx
from labelgap.frozen.rows import CHUNK, stored
from labelgap.ledger.file import check
from labelgap.ledger.ledger import Ledger
from labelgap.session.claim import read_json

NUMBERS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota on this disk is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EIO: "input/output error",
}


@pytest.fixture
def small(tmp_path):
    with small_file_system(tmp_path / "disk", "600k") as folder:
        yield folder


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_is_refused_names_file_cause_and_cure(tmp_path, monkeypatch, number, call):
    file = tmp_path / "settings.json"
    write_text(file, "before")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(DiskError) as caught:
        write_text(file, "after")
    assert caught.value.cause.startswith(f"{file} could not be written: ")
    assert NUMBERS[number] in caught.value.cause
    assert caught.value.cure
    assert file.read_text() == "before"
    assert os.listdir(tmp_path) == ["settings.json"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_read_that_is_refused_is_no_damage(tmp_path, monkeypatch, number):
    file = tmp_path / "config.json"
    file.write_text("{}")

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), str(file))

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    with pytest.raises(DiskError, match=NUMBERS[number]) as caught:
        read_json(file)
    assert "Remove the" not in caught.value.cure
    monkeypatch.undo()
    monkeypatch.setattr("labelgap.core.tensors.load_file", refuse)
    with pytest.raises(DiskError, match=NUMBERS[number]):
        read_tensors(tmp_path / "weights.safetensors")


def test_the_disks_error_is_one_of_a_folder_and_of_a_ledger():
    error = disk_error(OSError(errno.ENOSPC, "no"), "/some/file")
    assert isinstance(error, FolderError)
    assert isinstance(error, StorageError)
    assert error.trouble == disk.FULL
    assert trouble(error) == disk.FULL  # told on
    wrapped = ValueError("wrapped")
    wrapped.__cause__ = OSError(errno.EIO, "no")
    assert trouble(wrapped) == disk.INPUT_OUTPUT


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a"),
        FileNotFoundError(errno.ENOENT, "no such file"),
        OSError("image file is truncated"),
        sqlite3.DatabaseError("file is not a database"),
    ],
)
def test_other_errors_are_not_the_disks(tmp_path, error):
    assert trouble(error, tmp_path / "a") is None
    assert disk_error(error, tmp_path / "a") is None
    not_the_disk(error, tmp_path / "a")  # returns


def test_told_names_other_errors_of_the_system_too(tmp_path):
    no_such = r"/a could not be made: No such file"
    with pytest.raises(DiskError, match=no_such) as caught, told(tmp_path / "a", "made"):
        (tmp_path / "a" / "b").mkdir()
    assert caught.value.trouble is None


def test_an_array_on_a_full_disk(small):
    """numpy's own error has no number."""
    ballast = fill(small)
    with pytest.raises(DiskError, match="the disk is full"), told(small / "a.npy"):
        np.save(small / "a.npy", np.zeros(100_000))
    ballast.unlink()
    with told(small / "a.npy"):
        np.save(small / "a.npy", np.zeros(10_000))


def healthy(folder):
    path = folder / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.set_classes(3)
        ledger.answers({0: 1, 1: 2}, request="r")
    return path


def test_a_ledger_on_a_full_disk_is_not_damaged(small):
    path = healthy(small)
    ballast = fill(small)
    for opening in ({}, {"read_only": True}):
        full = r"could not be \w+: the disk is full"
        with pytest.raises(DiskError, match=full) as caught, Ledger.open(path, **opening) as ledger:
            ledger.answer(2, 1)
        assert "estore" not in str(caught.value)
        assert "damaged" not in str(caught.value)
    ballast.unlink()
    with Ledger.open(path) as ledger:
        ledger.answer(2, 1)
        assert ledger.labels == {0: 1, 1: 2, 2: 1}


def test_each_answer_is_stored_or_refused_and_none_is_lost(small):
    """Ever less room; whatever was acknowledged is there, whatever was refused is not."""
    path, acknowledged = healthy(small), {0: 1, 1: 2}
    for k in range(2, 12):
        ballast = fill(small)
        with ballast.open("r+b") as file:  # a little room, in another amount each time
            file.truncate(max(0, ballast.stat().st_size - 9_000 * k))
        try:
            with Ledger.open(path) as ledger:
                for i in range(400):
                    ledger.answer(1000 * k + i, 1, person="p" * 800)
                    acknowledged[1000 * k + i] = 1
        except DiskError as error:
            assert error.trouble == disk.FULL  # noqa: PT017  (some rounds have room for all)
        ballast.unlink()
        with Ledger.open(path) as ledger:
            assert ledger.labels == acknowledged
        with Ledger.open(path) as ledger:
            ledger.export_jsonl(small / "out.jsonl")
        lines = (small / "out.jsonl").read_text().splitlines()
        assert sum(json.loads(line)["kind"] == "labelled" for line in lines) >= len(acknowledged)
        (small / "out.jsonl").unlink()
        if len(acknowledged) > 200:
            break


def test_a_ledger_on_a_read_only_file_system(small):
    path = healthy(small)
    with read_only(small):
        with pytest.raises(DiskError, match="the file system is read-only") as caught:
            Ledger.open(path)
        assert "estore" not in caught.value.cure
        with Ledger.open(path, read_only=True) as ledger:
            assert ledger.labels == {0: 1, 1: 2}
    with Ledger.open(path) as ledger:
        ledger.answer(2, 0)


@pytest.mark.parametrize(
    ("code", "told_as"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_IOERR_WRITE, "input/output error"),
        (sqlite3.SQLITE_IOERR_FSYNC, "input/output error"),
        (sqlite3.SQLITE_CANTOPEN, "input/output error"),
        (sqlite3.SQLITE_READONLY, "permission denied"),
    ],
)
def test_sqlites_numbers_are_told_and_are_no_damage(tmp_path, monkeypatch, code, told_as):
    path = healthy(tmp_path)

    def refuse(*_, **__):
        error = sqlite3.OperationalError("some words")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr("labelgap.ledger.file.readable", refuse)
    with pytest.raises(DiskError, match=told_as):
        check(path)
    monkeypatch.undo()
    check(path)


def test_what_is_damaged_is_still_called_so(tmp_path):
    path = healthy(tmp_path)
    data = bytearray(path.read_bytes())
    data[4096 * 2 : 4096 * 3] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(LedgerError, match="damaged") as caught:
        check(path)
    assert not isinstance(caught.value, DiskError)
    assert "Restore" in caught.value.cure


def test_features_on_a_full_disk_are_kept_and_go_on(small):
    """What was computed before the disk was full is not computed again, nor called damaged."""
    cache, calls = small / "cache", []
    shape = (2 * CHUNK + 10, 8)

    def compute(start, stop):
        calls.append(start)
        return np.full((stop - start, 8), start, dtype=np.float32)

    def get():
        return stored(cache / "features" / "k", cache, shape, compute, lambda n: None, {})

    ballast = fill(small)
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - CHUNK * 8 * 4 - 24_000)
    with pytest.raises(DiskError, match="the disk is full") as caught:
        get()
    assert "LABELGAP_CACHE" in caught.value.cure
    ballast.unlink()
    before = len(calls)
    assert get().features[-1, 0] == 2 * CHUNK
    assert 0 not in calls[before:]  # its chunk was whole
    ballast, before = fill(small), len(calls)
    assert get().features[0, 0] == 0
    assert len(calls) == before
    ballast.unlink()


def test_packing_on_a_full_disk_goes_on_with_room(small, tmp_path, monkeypatch):
    for split in ("train", "test"):
        for k in range(2):
            folder = tmp_path / "set" / split / f"c{k}"
            folder.mkdir(parents=True)
            for i in range(20):
                pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    for leave in (0, 30_000, 90_000):
        ballast = fill(small)
        with ballast.open("r+b") as file:
            file.truncate(ballast.stat().st_size - leave)
        with pytest.raises(DiskError, match="the disk is full") as caught:
            load(str(tmp_path / "set"), cache=small / "cache")
        assert "LABELGAP_CACHE" in caught.value.cure
        ballast.unlink()
    assert len(load(str(tmp_path / "set"), cache=small / "cache").train.labels) == 40


@pytest.mark.parametrize("number", NUMBERS)
def test_a_data_set_that_the_disk_does_not_give_is_not_called_damaged(
    tmp_path, monkeypatch, number
):
    file = tmp_path / "train.parquet"

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), str(file))

    monkeypatch.setattr("pyarrow.parquet.ParquetFile", refuse)
    with pytest.raises(DiskError, match=NUMBERS[number]) as caught:
        parquet._open(file)
    assert "anew" not in caught.value.cure
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(DiskError, match=NUMBERS[number]):
        read_idx(tmp_path / "labels", 1)
