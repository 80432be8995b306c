"""What a crash, a full disk, a damaged file or a second program can do to a ledger: nothing."""

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from disks import small_file_system

from labelgap.core import lock as _lock
from labelgap.core.errors import LedgerError, StorageError
from labelgap.core.types import QueryItem
from labelgap.ledger import file as _sqlite
from labelgap.ledger import log as log_module
from labelgap.ledger.ledger import Ledger
from labelgap.ledger.state import State

WRITER = textwrap.dedent("""
    import sys
    from labelgap.core.types import QueryItem
    from labelgap.ledger.ledger import Ledger

    def tell(*words):
        print(*words, flush=True)

    path, round = sys.argv[1], int(sys.argv[2])
    tell("started")
    ledger = Ledger.open(path)
    ledger.set_classes(10)
    round = max(ledger.round + 1, round)
    while True:
        ids = [round * 10 + k for k in range(7)]
        tell("asking", round)
        ledger.asked(round, [QueryItem(id, score=0.5) for id in ids])
        tell("asked", round)
        for id in ids[:-1]:
            tell("sending", id)
            ledger.answer(id, id % 10, person="anna", request=f"r{id}")
            tell("stored", id)
        round += 1
""")


def run_writer(path, round=0):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(round)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process, word):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(word):
            return lines
    raise AssertionError(process.stderr.read())


def killed_run(path, rng, early):
    """Run the writer, SIGKILL it at a random instant, return the lines it completed."""
    process = run_writer(path)
    lines = wait_for(process, "started" if early else "stored")
    time.sleep(rng.uniform(0, 0.03))
    process.send_signal(signal.SIGKILL)
    lines += process.stdout  # not communicate(): it forgets what is buffered here
    errors = process.stderr.read()
    process.communicate()
    assert errors == ""
    assert process.returncode == -signal.SIGKILL
    return [line.split() for line in lines if line.endswith("\n")]


def sigkill_loop(folder, times):
    rng = random.Random(20)
    path = folder / "ledger.sqlite"
    acknowledged, asked, in_flight = set(), set(), set()
    for k in range(times):
        for word, *number in killed_run(path, rng, early=k % 5 == 0):
            if word == "stored":
                acknowledged.add(int(number[0]))
            elif word == "asked":
                asked.add(int(number[0]))
            elif word == "sending":
                in_flight.add(int(number[0]))
        with Ledger.open(path) as ledger:  # the dead writer's lock is free
            ledger.set_classes(10)
            stored = [e.request for e in ledger.events() if e.kind in ("labelled", "corrected")]
            assert len(stored) == len(set(stored))
            ids = {int(request[1:]) for request in stored}
            assert acknowledged <= ids
            assert ids <= in_flight
            assert len(in_flight - acknowledged) <= k + 1
            assert ledger.labels == {id: id % 10 for id in ids}
            # A client repeats what was not acknowledged: each is then stored exactly once.
            for id in sorted(in_flight - acknowledged):
                ledger.answer(id, id % 10, person="anna", request=f"r{id}")
            acknowledged |= in_flight
            assert ledger.labels == {id: id % 10 for id in in_flight}
            rounds = [e.round for e in ledger.events() if e.kind == "asked"]
            assert asked <= set(rounds)
            assert all(rounds.count(round) == 7 for round in set(rounds))
            asked |= set(rounds)
    assert len(acknowledged) >= times * 4 // 5  # one of every run that is not killed at its start
    leftovers = {p.name for p in folder.iterdir()} - {"ledger.sqlite", "ledger.sqlite.lock"}
    # What a kill during creation leaves: the unfinished copy, and SQLite's journal of it.
    assert all(name.endswith((".tmp", ".tmp-journal")) for name in leftovers), leftovers


def test_sigkill_at_25_instants_loses_nothing_acknowledged(tmp_path):
    sigkill_loop(tmp_path, 25)


@pytest.mark.slow
def test_sigkill_at_100_instants_loses_nothing_acknowledged(tmp_path):
    sigkill_loop(tmp_path, 100)


def test_sigkill_while_the_ledger_is_created_leaves_all_or_nothing(tmp_path):
    rng = random.Random(21)
    for k in range(8):
        path = tmp_path / str(k) / "ledger.sqlite"
        path.parent.mkdir()
        lines = killed_run(path, rng, early=True)
        stored = {int(words[1]) for words in lines if words[0] == "stored"}
        with Ledger.open(path) as ledger:
            assert stored <= set(ledger.labels)
            ledger.set_classes(10)
            ledger.answer(10**6, 1)


def test_a_torn_copy_opens_to_a_prefix(tmp_path):
    path = tmp_path / "ledger.sqlite"
    rng = random.Random(3)
    lengths = set()
    with Ledger.open(path) as ledger:
        ledger.set_classes(10)
        for id in range(60):
            ledger.asked(id, [QueryItem(id), QueryItem(id + 100)])
            ledger.answer(id, id % 10)
        whole = list(ledger.events())
        base, log = path.read_bytes(), (tmp_path / "ledger.sqlite-wal").read_bytes()
        for k in range(40):
            folder = tmp_path / f"copy{k}"
            folder.mkdir()
            cut = 0 if k == 0 else len(log) if k == 1 else rng.randrange(len(log))
            (folder / "ledger.sqlite").write_bytes(base)
            (folder / "ledger.sqlite-wal").write_bytes(log[:cut])
            with Ledger.open(folder / "ledger.sqlite") as copy:
                found = list(copy.events())
                assert found == whole[: len(found)]
                # Whole transactions: a query's two items come together.
                asked = [e.round for e in found if e.kind == "asked"]
                assert all(asked.count(round) == 2 for round in asked)
                copy.set_classes(10)
                copy.answer(999, 1)
            lengths.add(len(found))
    assert {0, len(whole)} <= lengths
    assert len(lengths) > 20


@pytest.mark.parametrize("instant", ["before", "within", "after"])
def test_an_interrupt_around_the_commit_leaves_state_and_file_equal(tmp_path, instant, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.set_classes(10)
        ledger.asked(0, [QueryItem(id) for id in range(5)])
        ledger.answers({0: 1, 1: 1})
        apply = State.apply
        rows_seen = []

        def interrupted(state, rows):
            rows = list(rows)
            rows_seen.extend(rows)
            if rows and instant == "within":
                apply(state, rows[:1])
            elif rows and instant == "after":
                apply(state, rows)
            if rows:
                raise KeyboardInterrupt

        monkeypatch.setattr(State, "apply", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ledger.answers({2: 3, 3: 4, 0: 5})
        monkeypatch.undo()
        assert len(rows_seen) == 3
        assert ledger.labels == {0: 5, 1: 1, 2: 3, 3: 4}
        assert ledger.outstanding_ids().tolist() == [4]
        ledger.asked(0, [QueryItem(9)])
        assert ledger.queries(0)[-1].rank == 6
        with Ledger.open(path, read_only=True) as other:
            assert other.labels == ledger.labels


class Unsure(sqlite3.Connection):
    """Commits, and fails before it can say so."""

    failures = 0

    def execute(self, sql, *values):
        cursor = super().execute(sql, *values)
        if sql == "COMMIT" and self.failures:
            self.failures -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return cursor


def test_a_commit_whose_success_is_unknown_is_looked_up(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.set_classes(10)
        ledger._database.close()
        ledger._database = sqlite3.connect(path, factory=Unsure, isolation_level=None)
        ledger._database.failures = 1
        with pytest.raises(LedgerError, match="I/O error"):
            ledger.answer(1, 2, request="r")
        assert ledger.labels == {1: 2}
        event = ledger.answer(1, 2, request="r")
        assert [e for e in ledger.events() if e.id == 1] == [event]


# -------------------------------------------------------------------- two programs


def test_the_second_writer_is_told_who_holds_the_ledger(tmp_path):
    path = tmp_path / "ledger.sqlite"
    process = run_writer(path)
    try:
        wait_for(process, "stored")
        with pytest.raises(LedgerError) as caught:
            Ledger.open(path)
        message = str(caught.value)
        assert f"pid {process.pid} on {socket.gethostname()} since 20" in message
        assert "another program" in message
        link = tmp_path / "link.sqlite"
        link.symlink_to(path)
        with pytest.raises(LedgerError, match=f"pid {process.pid}"):
            Ledger.open(link)
        with Ledger.open(path, read_only=True) as reader:
            assert len(reader.labels) >= 1
    finally:
        process.kill()
        process.communicate()
    with Ledger.open(path) as ledger, pytest.raises(LedgerError, match="in use by this process"):
        Ledger.open(ledger.path)


def test_the_text_of_a_dead_or_damaged_lock_stops_nobody(tmp_path):
    path = tmp_path / "ledger.sqlite"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    lock = tmp_path / "ledger.sqlite.lock"
    for text in (json.dumps({"pid": dead.pid, "host": socket.gethostname(), "since": "x"}), "{"):
        lock.write_text(text)
        with Ledger.open(path):
            assert json.loads(lock.read_text())["pid"] == os.getpid()
        assert lock.read_text() == ""


def test_a_holder_without_a_name_is_reported_as_such(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path):
        for text in ("", "[1]", '{"pid": 3}', "\x00"):
            (tmp_path / "ledger.sqlite.lock").write_text(text)
            with pytest.raises(LedgerError, match="has not written its name"):
                Ledger.open(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_neither_writes_nor_keeps_the_lock(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.open(path)
    ledger.set_classes(3)
    answer_end, worker_end = os.pipe()
    wait_end, go_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go_end)  # so that the parent's end, closed, ends the wait below
        try:
            ledger.answer(1, 1)
        except LedgerError as error:
            os.write(worker_end, str(error).encode())
        os.read(wait_end, 1)
        ledger.close()
        os._exit(0)
    try:
        assert "is its fork" in os.read(answer_end, 1000).decode()
        ledger.answer(1, 2)
        ledger.close()
        with Ledger.open(path) as again:  # although the worker still lives
            again.answer(2, 1)
            os.write(go_end, b".")
            assert os.waitpid(child, 0)[1] == 0
            again.answer(3, 1)
            assert again.labels == {1: 2, 2: 1, 3: 1}
    finally:
        for descriptor in (answer_end, worker_end, wait_end, go_end):
            os.close(descriptor)


# -------------------------------------------------------------------- full and read-only


def refuse_until_space(ledger, make_space):
    """Fill until refused; everything before is kept; with space again it goes on."""
    stored = 0

    def fill():
        nonlocal stored
        for stored in range(100_000):
            ledger.answer(stored, 1, person="p" * 3000, request=f"r{stored}")

    with pytest.raises(LedgerError, match=r"full|I/O") as caught:
        fill()
    assert "safe" in caught.value.cure
    assert stored > 3
    assert ledger.labels == dict.fromkeys(range(stored), 1)
    with pytest.raises(LedgerError):
        ledger.answers(dict.fromkeys(range(1000, 1900), 2), person="q" * 3000)
    assert ledger.labels == dict.fromkeys(range(stored), 1)
    make_space()
    ledger.answer(stored, 1, person="p" * 3000, request=f"r{stored}")
    assert ledger.labels == dict.fromkeys(range(stored + 1), 1)
    return stored + 1


def test_a_full_database_refuses_the_answer_and_keeps_the_others(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.set_classes(3)
        pages = ledger._database.execute("PRAGMA page_count").fetchone()[0]
        ledger._database.execute(f"PRAGMA max_page_count={pages + 20}")

        def make_space():
            ledger._database.execute("PRAGMA max_page_count=100000")

        count = refuse_until_space(ledger, make_space)
    with Ledger.open(path) as ledger:
        assert ledger.labels == dict.fromkeys(range(count), 1)


@pytest.fixture
def small_disk(tmp_path):
    with small_file_system(tmp_path / "disk", "400k") as folder:
        yield folder


def test_a_full_disk_refuses_the_answer_and_keeps_the_others(small_disk, tmp_path):
    path = small_disk / "ledger.sqlite"
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(100_000))
    with Ledger.open(path) as ledger:
        ledger.set_classes(3)
        count = refuse_until_space(ledger, ballast.unlink)
        ballast.write_bytes(bytes(8000))
        with pytest.raises(LedgerError, match="could not be written"):
            [ledger.snapshot(small_disk / f"copy{k}.sqlite") for k in range(50)]
        assert not list(small_disk.glob(".*.tmp*"))
    shutil.copy(path, tmp_path / "kept.sqlite")
    with Ledger.open(tmp_path / "kept.sqlite") as ledger:
        assert ledger.labels == dict.fromkeys(range(count), 1)


def in_child_without_privileges(action):
    """Run `action` as a user whom permissions bind (root's are not checked); its return value."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            result = action()
        except BaseException as error:  # noqa: BLE001  (reported to the parent)
            result = repr(error)
        os.write(writer, result.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_read_only_folders_and_files_refuse_writing_and_can_be_read():
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "ledger.sqlite"
        with Ledger.open(path) as ledger:
            ledger.set_classes(3)
            ledger.answer(1, 2)
        before = path.read_bytes()
        path.chmod(0o444)
        folder.chmod(0o555)
        (folder / "ledger.sqlite.lock").chmod(0o444)

        def write(**arguments):
            try:
                with Ledger.open(path, **arguments) as ledger:
                    ledger.answer(2, 2)
            except LedgerError as error:
                return f"refused: {error}"
            return "stored"

        def read():
            with Ledger.open(path, read_only=True) as ledger:
                return repr(ledger.labels)

        refused = in_child_without_privileges(write)
        assert refused.startswith("refused: The lock file"), refused
        refused = in_child_without_privileges(lambda: write(lock=False))
        assert refused.startswith("refused:"), refused
        assert "writable" in refused
        assert in_child_without_privileges(read) == "{1: 2}"
        folder.chmod(0o777)
        (folder / "ledger.sqlite.lock").chmod(0o666)
        refused = in_child_without_privileges(write)
        assert refused.startswith("refused:"), refused
        assert "writable" in refused
        assert path.read_bytes() == before
    finally:
        folder.chmod(0o777)
        shutil.rmtree(folder)


# -------------------------------------------------------------------- damaged and old


def healthy(path, events=400):
    with Ledger.open(path) as ledger:
        ledger.set_classes(3)
        ledger.asked(0, [QueryItem(id, explanation="x" * 100) for id in range(events)])
        ledger.answers(dict.fromkeys(range(events), 1), request="r")
    return path.read_bytes()


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("empty", lambda b: b"", "is empty"),
        ("text", lambda b: b"path,label\na.png,3\n", "not an SQLite file"),
        ("zeros", lambda b: bytes(len(b)), "not an SQLite file"),
        ("header only", lambda b: b[:16], "damaged"),
        ("one page", lambda b: b[:4096], "damaged"),
        ("half", lambda b: b[: len(b) // 2], "damaged"),
        ("last byte", lambda b: b[:-1], "damaged"),
        ("last page", lambda b: b[:-4096], "damaged"),
        ("zeroed page", lambda b: b[: 4096 * 9] + bytes(4096) + b[4096 * 10 :], "damaged"),
        ("noise", lambda b: b[:8192] + random.Random(1).randbytes(len(b) - 8192), "damaged"),
    ],
)
def test_a_damaged_file_is_named_and_left_untouched(tmp_path, name, damage, message, read_only):
    path = tmp_path / "ledger.sqlite"
    damaged = damage(healthy(path))
    path.write_bytes(damaged)
    with pytest.raises(LedgerError, match=message) as caught:
        Ledger.open(path, read_only=read_only)
    assert str(path) in caught.value.cause
    assert caught.value.cure == "Restore a snapshot of it, or give another path."
    assert path.read_bytes() == damaged
    path.unlink()
    healthy(path)  # and the lock is free again


def test_a_zeroed_page_anywhere_is_found(tmp_path):
    path = tmp_path / "ledger.sqlite"
    whole = healthy(path)
    assert len(whole) > 20 * 4096
    for start in range(0, len(whole), 4096):
        path.write_bytes(whole[:start] + bytes(4096) + whole[start + 4096 :])
        with pytest.raises(LedgerError, match=r"damaged|not an SQLite file"):
            Ledger.open(path)


def test_events_that_contradict_each_other_are_named(tmp_path):
    path = tmp_path / "ledger.sqlite"
    healthy(path, 3)
    with sqlite3.connect(path) as database:
        database.execute(
            "INSERT INTO events (time, kind, id, round, person, label, data)"
            " VALUES ('', 'undone', 77, 0, '', NULL, '{\"undoes\": 1}')"
        )
    database.close()
    with pytest.raises(StorageError, match=r"Event 8 of .* contradicts"):
        Ledger.open(path)


def test_other_files_are_refused_and_left_untouched(tmp_path):
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    before = other.read_bytes()
    with pytest.raises(LedgerError, match="another program"):
        Ledger.open(other)
    assert other.read_bytes() == before
    with pytest.raises(LedgerError, match="is not a file"):
        Ledger.open(tmp_path)
    with pytest.raises(LedgerError, match="does not exist"):
        Ledger.open(tmp_path / "absent" / "ledger.sqlite")


def test_a_log_without_its_ledger_is_not_overwritten(tmp_path):
    path = tmp_path / "ledger.sqlite"
    log = tmp_path / "ledger.sqlite-wal"
    process = run_writer(path)
    wait_for(process, "stored")
    process.kill()
    process.communicate()
    held = path.read_bytes()
    path.unlink()
    before = log.read_bytes()
    assert before
    with pytest.raises(LedgerError, match="may hold labels"):
        Ledger.open(path)
    assert log.read_bytes() == before
    path.write_bytes(held)
    with Ledger.open(path) as ledger:
        assert ledger.labels


NEXT = "ALTER TABLE events ADD COLUMN seconds REAL;"


def test_an_older_version_is_migrated_on_a_copy_after_a_snapshot(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    healthy(path)
    with Ledger.open(path) as ledger:
        before, labels = list(ledger.events()), ledger.labels
    monkeypatch.setattr(_sqlite, "MIGRATIONS", (*_sqlite.MIGRATIONS, NEXT))
    with pytest.raises(LedgerError, match="older version"):
        Ledger.open(path, read_only=True)
    with Ledger.open(path) as ledger:
        assert list(ledger.events()) == before
        assert ledger.labels == labels
        ledger.answer(9999, 2)
        columns = [row[1] for row in ledger._database.execute("PRAGMA table_info(events)")]
        assert columns[-1] == "seconds"
        assert ledger._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {"ledger.sqlite", "ledger.v1.sqlite", "ledger.sqlite.lock"}
    monkeypatch.undo()
    with Ledger.open(tmp_path / "ledger.v1.sqlite", read_only=True) as old:
        assert list(old.events()) == before
    newer = path.read_bytes()
    with pytest.raises(LedgerError, match="version 2, and this program knows up to 1"):
        Ledger.open(path)
    assert path.read_bytes() == newer


def test_a_failing_migration_leaves_the_ledger_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    process = run_writer(path)  # killed, so that the log holds the labels
    wait_for(process, "stored")
    process.kill()
    process.communicate()
    copy = tmp_path / "read"
    copy.mkdir()
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        shutil.copy(tmp_path / name, copy / name)
    with Ledger.open(copy / "ledger.sqlite") as ledger:
        before = list(ledger.events())
    good = _sqlite.MIGRATIONS
    losing = "DROP TRIGGER events_never_go; DELETE FROM events;"
    for step, message in (
        (f"{NEXT} SELECT nonsense;", "could not be migrated: no such"),
        (losing, "lose events"),
    ):
        monkeypatch.setattr(_sqlite, "MIGRATIONS", (*good, step))
        with pytest.raises(LedgerError, match=message):
            Ledger.open(path)
        monkeypatch.setattr(_sqlite, "MIGRATIONS", good)
        with Ledger.open(path) as ledger:
            assert list(ledger.events()) == before
    assert not list(tmp_path.glob(".*"))
    assert (tmp_path / "ledger.v1-2.sqlite").exists()


def test_a_reader_holds_up_a_migration(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    healthy(path)
    with Ledger.open(path, read_only=True):
        monkeypatch.setattr(_sqlite, "MIGRATIONS", (*_sqlite.MIGRATIONS, NEXT))
        monkeypatch.setattr(_sqlite, "TIMEOUT", 0.05)
        with pytest.raises(LedgerError, match="locked"):
            Ledger.open(path)
    with Ledger.open(path) as ledger:
        assert len(ledger.labels) == 400


# -------------------------------------------------------------------- network file systems


def mounts(tmp_path, text):
    table = tmp_path / "mounts"
    table.write_text(text)
    return table


def test_network_file_systems_are_told_by_the_longest_mount(tmp_path):
    table = mounts(
        tmp_path,
        "/dev/sda1 / ext4 rw 0 0\n"
        "server:/home /home nfs4 rw 0 0\n"
        "/dev/sdb1 /home/anna/local ext4 rw 0 0\n"
        "//nas/pictures /mnt/my\\040pictures cifs rw 0 0\n"
        "x /mnt/over ext4 rw 0 0\n"
        "y /mnt/over fuse.sshfs rw 0 0\n"
        "broken\n",
    )
    kinds = {
        "/data/a.sqlite": None,
        "/home/bert/a.sqlite": "nfs4",
        "/homes/a.sqlite": None,
        "/home/anna/local/a.sqlite": None,
        "/mnt/my pictures/deep/a.sqlite": "cifs",
        "/mnt/over/a.sqlite": "fuse.sshfs",
    }
    assert {p: _lock.network_file_system(Path(p), table) for p in kinds} == kinds
    assert _lock.network_file_system(Path("/home/bert"), tmp_path / "absent") is None


def test_a_network_file_system_is_refused_unless_allowed(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setattr(log_module, "network_file_system", lambda path: "nfs4")
    with pytest.raises(LedgerError, match="nfs4") as caught:
        Ledger.open(path)
    assert "allow_network=True" in caught.value.cure
    assert list(tmp_path.iterdir()) == []
    with Ledger.open(path, allow_network=True) as ledger:
        assert ledger._database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert ledger._database.execute("PRAGMA synchronous").fetchone() == (3,)
        ledger.set_classes(3)
        ledger.answer(1, 1)
        with Ledger.open(path, read_only=True) as reader:
            assert reader.labels == {1: 1}


def test_durability_settings(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert ledger._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert ledger._database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


# -------------------------------------------------------------------- size


MILLION = textwrap.dedent("""
    import json, sys, time
    from labelgap.core.types import QueryItem
    from labelgap.ledger.ledger import Ledger

    path = sys.argv[1]
    with Ledger.open(path) as ledger:
        ledger.set_classes(10)
        for round in range(50):
            ids = range(round * 10_000, (round + 1) * 10_000)
            parts = {"gap": 0.25, "critic": 0.5}
            ledger.asked(round, [QueryItem(id, 0.75, parts, id % 10, "unlike") for id in ids])
            ledger.answers({id: id % 10 for id in ids}, person="anna", request=f"round {round}")
    start = time.process_time()  # the processor's: what others do beside it does not count
    ledger = Ledger.open(path)
    opened = time.process_time() - start
    start = time.process_time()
    ids = ledger.labelled_ids()
    listed = time.process_time() - start
    laps = []
    for id in range(200):
        start = time.perf_counter()
        ledger.answer(id, 3, person="bert")
        laps.append(time.perf_counter() - start)
    laps.sort()
    found = [len(ids), ledger.seq, ledger.history(1)[0].id]
    print(json.dumps([found, opened, listed, laps[100], laps[197]]))
""")


@pytest.mark.slow
def test_a_million_events_open_in_seconds(tmp_path, capsys):
    # In its own process: the suite's type checks of every call would be most of the time.
    command = [sys.executable, "-c", MILLION, str(tmp_path / "ledger.sqlite")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found, opened, listed, median, tail = json.loads(output)
    assert found == [500_000, 1_000_201, 199]
    with capsys.disabled():
        print(
            f"\n1,000,001 events: open {opened:.2f} s, labelled_ids {listed:.2f} s,"
            f" answer {1e3 * median:.2f} ms median {1e3 * tail:.2f} ms p99"
        )
    assert opened < 10
