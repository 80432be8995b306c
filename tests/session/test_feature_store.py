"""The store of features: whole or absent, resumed by chunk, damage noticed."""

import json
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tolerance import assert_rounded
from waiting import PATIENCE

from labelgap.core.errors import DiskError
from labelgap.frozen.rows import CHUNK, Features, Stored, stored

SHAPE = (2 * CHUNK + 100, 3)
TRUTH = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
TRUTH[:, 2] = 5.0


class Counter:
    """Computes rows of TRUTH and remembers which; may stop before a row as if killed."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls: list[tuple[int, int]] = []
        self.stop_at = stop_at

    def __call__(self, start: int, stop: int) -> Features:
        if self.stop_at is not None and stop > self.stop_at:
            raise KeyboardInterrupt
        self.calls.append((start, stop))
        return TRUTH[start:stop].copy()


def get(
    cache: Path, compute: Callable[[int, int], Features], saved: list[int] | None = None
) -> Stored:
    skipped = [] if saved is None else saved
    return stored(cache / "features" / "k", cache, SHAPE, compute, skipped.append, {"name": "x"})


def making(cache: Path) -> Path:
    return cache / "features" / ".making-k"


def test_rows_statistics_and_no_second_computation(tmp_path: Path) -> None:
    compute = Counter()
    first = get(tmp_path, compute)
    assert compute.calls == [(0, CHUNK), (CHUNK, 2 * CHUNK), (2 * CHUNK, SHAPE[0])]
    second = get(tmp_path, compute)
    assert len(compute.calls) == 3
    for entry in (first, second):
        np.testing.assert_array_equal(entry.features, TRUTH)
        exact = TRUTH.mean(axis=0, dtype=np.float64)
        assert_rounded(entry.mean, exact, len(TRUTH), len(TRUTH) ** -0.5)  # σ = 1
        np.testing.assert_allclose(entry.std[:2], TRUTH[:, :2].std(axis=0, dtype=np.float64))
        assert entry.std[2] == 1.0  # a constant feature
    meta = json.loads((tmp_path / "features" / "k" / "meta.json").read_text())
    assert meta["name"] == "x"


def test_writing_into_the_map_leaves_the_file_alone(tmp_path: Path) -> None:
    get(tmp_path, Counter()).features[:] = 0
    np.testing.assert_array_equal(get(tmp_path, Counter(0)).features, TRUTH)


def nothing(folder: Path) -> None:
    pass


def torn_line(folder: Path) -> None:
    with (folder / "chunks.jsonl").open("ab") as file:
        file.write(b'{"rows": 20')


def torn_chunk(folder: Path) -> None:
    with (folder / "features.npy").open("ab") as file:
        file.write(b"12345")


def truncated(folder: Path) -> None:
    os.truncate(folder / "features.npy", (folder / "features.npy").stat().st_size - 5)


def flipped(folder: Path) -> None:
    data = bytearray((folder / "features.npy").read_bytes())
    data[128 + CHUNK * 12 + 7] ^= 1
    (folder / "features.npy").write_bytes(data)


def other_header(folder: Path) -> None:
    data = bytearray((folder / "features.npy").read_bytes())
    data[60] ^= 1
    (folder / "features.npy").write_bytes(data)


def no_journal(folder: Path) -> None:
    (folder / "chunks.jsonl").unlink()


@pytest.mark.parametrize(
    ("harm", "kept"),
    [
        (nothing, 2),
        (torn_line, 2),
        (torn_chunk, 2),
        (truncated, 1),
        (flipped, 1),
        (other_header, 0),
        (no_journal, 0),
    ],
)
def test_resumes_after_the_last_whole_chunk(
    tmp_path: Path, harm: Callable[[Path], None], kept: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, Counter(stop_at=2 * CHUNK))
    harm(making(tmp_path))
    compute, saved = Counter(), []
    np.testing.assert_array_equal(get(tmp_path, compute, saved).features, TRUTH)
    assert compute.calls[0][0] == kept * CHUNK
    assert sum(saved) == kept * CHUNK
    assert not making(tmp_path).exists()


def killed(cache: Path) -> None:
    def compute(start: int, stop: int) -> Features:
        if start:
            os.kill(os.getpid(), signal.SIGKILL)
        return TRUTH[start:stop].copy()

    get(cache, compute)


def test_a_killed_process_loses_one_chunk(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=killed, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    compute = Counter()
    np.testing.assert_array_equal(get(tmp_path, compute).features, TRUTH)
    assert compute.calls == [(CHUNK, 2 * CHUNK), (2 * CHUNK, SHAPE[0])]


@pytest.mark.parametrize("name", ["features.npy", "meta.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_damage_is_told_and_repaired(tmp_path: Path, name: str, harm: str) -> None:
    get(tmp_path, Counter())
    path = tmp_path / "features" / "k" / name
    before = path.stat()
    if harm == "flip":
        data = bytearray(path.read_bytes())
        # In the JSON this breaks the digest's hexadecimal, in the array a value.
        data[data.find(b'"digest"') + 20 if name == "meta.json" else 300] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif harm == "truncate":
        os.truncate(path, before.st_size - 3)
    else:
        path.unlink()
    compute = Counter()
    with pytest.warns(UserWarning, match="damaged.*computing them anew"):
        entry = get(tmp_path, compute)
    np.testing.assert_array_equal(entry.features, TRUTH)
    assert len(compute.calls) == 3
    np.testing.assert_array_equal(get(tmp_path, Counter(0)).features, TRUTH)


def test_a_second_process_waits_and_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go, warn = threading.Event(), threading.Event(), warnings.warn

    def told(*arguments: object, **keywords: object) -> None:
        go.set()
        warn(*arguments, **keywords)

    def slow(start: int, stop: int) -> Features:
        inside.set()
        assert go.wait(PATIENCE)
        return TRUTH[start:stop].copy()

    thread = threading.Thread(target=get, args=(tmp_path, slow))
    thread.start()
    assert inside.wait(PATIENCE)
    monkeypatch.setattr(warnings, "warn", told)  # the first goes on once the second waits
    with pytest.warns(UserWarning, match="Waiting for the features.*in use by"):
        entry = get(tmp_path, Counter(0))  # computing would raise
    thread.join()
    np.testing.assert_array_equal(entry.features, TRUTH)


def test_a_lock_that_cannot_be_written_is_named_with_the_cache_s_cure(tmp_path: Path) -> None:
    (tmp_path / "features" / "k.lock").mkdir(parents=True)  # a folder cannot be written to
    with pytest.raises(DiskError, match=r"lock file.*LABELGAP_CACHE"):
        get(tmp_path, Counter())


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("a file where a folder is due")
    with pytest.raises(DiskError, match="LABELGAP_CACHE"):
        get(tmp_path, Counter())
