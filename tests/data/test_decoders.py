"""A decoder that crashes, hangs or eats memory costs one image, and no process is left behind."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import bad_decoders
import numpy as np
import pytest
from PIL import Image
from waiting import PATIENCE, until

from labelgap.core.errors import DataError, LabelgapError
from labelgap.data import apart, decoders
from labelgap.data.decoders import Decoders, Lost, Stopped
from labelgap.data.images import ColourFound, decode


@pytest.fixture
def pool(monkeypatch):
    made = Decoders(2, seconds=1.0)
    monkeypatch.setattr(decoders, "_shared", made)
    yield made
    made.stop()


def gone(process: int) -> bool:
    """Whether a process has ended (one that nobody has waited for included)."""
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return True
    return state.rpartition(")")[2].split()[0] == "Z"


def test_results_and_errors_come_back_as_they_are(pool, tmp_path):
    Image.new("RGB", (5, 4), (9, 200, 3)).save(tmp_path / "a.png")
    item = ("a.png", tmp_path / "a.png")
    assert np.array_equal(pool.run(decode, item, 3, None, None), decode(item, 3, None, None))
    with pytest.raises(ColourFound):
        pool.run(decode, item, 1, None, None)
    (tmp_path / "b.png").write_bytes(b"nothing")
    with pytest.raises(DataError) as caught:
        pool.run(decode, ("b.png", tmp_path / "b.png"), 3, None, None)
    assert caught.value.cause.startswith("b.png: not a readable image")
    assert caught.value.cure == "Replace it or remove it."


@pytest.mark.parametrize(
    ("word", "told"), [(b"CRASH", r"crashed \(SIGSEGV\)"), (b"HANG", "longer than 1 s")]
)
def test_the_request_that_ends_a_process_is_told_and_the_next_goes_on(pool, word, told):
    with pytest.raises(Lost, match=told):
        pool.run(bad_decoders.picture, word, 10)
    assert pool.run(abs, -3) == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is bounded on Linux")
def test_memory_is_bounded_and_the_process_goes_on():
    pool = Decoders(1, memory=256 << 20)
    try:
        process = pool.run(os.getpid)
        with pytest.raises(MemoryError):
            pool.run(bytearray, 300 << 20)
        assert len(pool.run(bytearray, 50 << 20)) == 50 << 20
        assert pool.run(os.getpid) == process
    finally:
        pool.stop()


def test_a_process_killed_from_outside_is_not_the_images_fault(pool, tmp_path):
    assert pool.run(bad_decoders.die_once, str(tmp_path / "mark")) == "alive"
    process = pool.run(os.getpid)
    os.kill(process, signal.SIGKILL)  # while it waits
    until(lambda: gone(process))
    assert pool.run(abs, -3) == 3


def test_no_more_processes_than_allowed_and_the_idle_ones_are_ended(pool):
    threads = [threading.Thread(target=pool.run, args=(abs, -1)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert 1 <= len(pool._idle) <= 2
    pool.rest(0)
    assert not pool._idle


def test_a_process_that_cannot_be_started_is_no_fault_of_the_image(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(LabelgapError, match=r"cannot be started: .*nowhere"):
        Decoders(1).run(abs, -1)


def test_one_that_ends_at_its_start_is_told(monkeypatch):
    monkeypatch.setattr(sys, "path", ["/nowhere"])
    with pytest.raises(LabelgapError, match=r"cannot be started: it ended with status 1\."):
        Decoders(1).run(abs, -1)


def test_stop_ends_what_is_under_way(pool, tmp_path):
    mark, raised = tmp_path / "mark", []

    def hang():
        try:
            pool.run(bad_decoders.begun, str(mark))
        except Stopped as error:
            raised.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    until(mark.exists)
    pool.stop()
    thread.join(PATIENCE)
    assert len(raised) == 1
    assert gone(int(mark.read_text()))


_PROGRAM = """
import sys; sys.path[:0] = sys.argv[2:]
import bad_decoders
from labelgap.data.decoders import Decoders
Decoders(1, seconds={seconds}).run(bad_decoders.begun, sys.argv[1])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_when_its_parent_goes(tmp_path, number):
    mark = tmp_path / "mark"
    # Killed, nobody is there to end it: its own clock does, also while it hangs.
    program = _PROGRAM.format(seconds=1e6 if number == signal.SIGINT else 1)
    command = [sys.executable, "-c", program, str(mark), str(Path(bad_decoders.__file__).parent)]
    parent = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    until(mark.exists)
    child = int(mark.read_text())
    if number == signal.SIGINT:
        os.killpg(parent.pid, number)  # as a terminal does: to both
    else:
        parent.kill()
    assert parent.wait(PATIENCE) != 0
    until(lambda: gone(child))


@pytest.fixture
def bad(pool, monkeypatch):
    for name in ("decode", "stacked", "picture"):
        monkeypatch.setattr(apart, name, getattr(bad_decoders, name))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (b"CRASH", r"crashed \(SIGSEGV\)"),
        (b"HANG", "longer than 1 s"),
        (b"MEMORY", "too much memory"),
        (b"ODD", "RuntimeWarning: a type that nobody expects"),
    ],
)
def test_packing_names_the_image_that_ended_the_process(bad, tmp_path, word, told):
    items = []
    for i in range(5):
        file = tmp_path / f"{i}.png"
        Image.new("L", (4, 4), i).save(file)
        items.append((file.name, file))
    assert len(next(apart.decode_all(items, 1, None, None, lambda n: None))) == 5
    items[3][1].write_bytes(items[3][1].read_bytes() + word)
    with pytest.raises(DataError, match=rf"^3\.png: .*{told}"):
        list(apart.decode_all(items, 1, None, None, lambda n: None))


def test_a_picture_of_an_image_that_hangs(bad):
    with pytest.raises(DataError, match="longer than 1 s"):
        apart.picture_apart(b"HANG", 10)


def test_arrays_need_no_process(pool):
    array = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert np.array_equal(apart.decode_apart(("a", array), 3, None, None), array)
    blocks = list(apart.decode_all([("a", array)], 3, None, None, lambda n: None))
    assert np.array_equal(blocks[0][0], array)
    assert not pool._idle
