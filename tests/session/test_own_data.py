"""A session's folder goes on with its own data, by whatever path they come, and with no others."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelgap
from labelgap.core.device import machine
from labelgap.core.errors import ConfigError, DataError, FolderError
from labelgap.data.types import Split, Task
from labelgap.loop.oracle import Oracle
from labelgap.loop.run import run
from labelgap.session.claim import CONFIG, DATA, prepare
from labelgap.session.own_data import NO_RECORD
from labelgap.session.presets import resolve
from labelgap.session.session import Session

rng = np.random.default_rng(0)
LABELS = np.arange(60) % 3
INPUTS = (rng.normal(size=(60, 4)) + LABELS[:, None]).astype(np.float32)
CLASSES = ("cat", "dog", "fox")


def task(rows: Any = slice(40), *, labels: Any = LABELS, name: str = "mine") -> Task:
    test = (INPUTS[40:50], LABELS[40:50])
    return Task.from_arrays(INPUTS[rows], labels[rows], test=test, classes=CLASSES, name=name)


def session(data: Task, folder: Path, **values: Any) -> Session:
    return Session(data, method="margin", folder=folder, training={"steps": 5}, **values)


def begun(folder: Path, data: Task | None = None) -> dict[int, int]:
    """A folder with twelve answers; returns them."""
    data = data or task()
    with session(data, folder) as s:
        s.tell(Oracle(data).answer(s.ask(12)))
        s.fit()
        return s.ledger.labels


def test_the_same_data_go_on_under_any_name(tmp_path: Path) -> None:
    labels = begun(tmp_path / "s")
    with session(task(name="elsewhere"), tmp_path / "s") as s:
        assert s.ledger.labels == labels
        assert s.restore()
    with Session.open(tmp_path / "s", task()) as s:
        assert len(s.ask(3)) == 3


CHANGED = np.where(np.arange(60) == 5, 0, LABELS)
OTHERS = [
    (task(slice(3, 43)), r"3 training rows added.*3 training rows removed \(rows 0, 1, 2 there\)"),
    (task(slice(30)), "10 training rows removed"),
    (task(labels=CHANGED), r"1 training row with another label \(5: fox → cat\)"),
    (task(slice(44)), r"4 training rows added \(rows 40, 41, 42, 43 here\).*extend=True"),
    (task(slice(39, None, -1)), "another order.*--extend"),
]


@pytest.mark.parametrize(("other", "said"), OTHERS, ids=[o[1][:30] for o in OTHERS])
def test_other_data_are_refused_with_what_differs_and_nothing_is_changed(
    tmp_path: Path, other: Task, said: str
) -> None:
    begun(tmp_path / "s")
    record = (tmp_path / "s" / DATA).read_bytes()
    with pytest.raises(FolderError, match=said):
        session(other, tmp_path / "s")
    with pytest.raises(FolderError, match="was begun with other data than these of 'mine'"):
        Session.open(tmp_path / "s", other)
    assert (tmp_path / "s" / DATA).read_bytes() == record
    session(task(), tmp_path / "s").close()


def test_data_that_grew_go_on_with_the_ids_that_were(tmp_path: Path) -> None:
    labels = begun(tmp_path / "s")
    rows = rng.permutation(np.r_[0:40, 50:60])  # ten new ones, anywhere
    grown = task(rows)
    with pytest.raises(FolderError, match="extend=True"):
        session(grown, tmp_path / "s")
    with pytest.warns(UserWarning, match="10 rows added behind the 40"):
        s = session(grown, tmp_path / "s", extend=True)
    for _ in range(2):  # and later without the word, in either order
        with s:
            assert s.ledger.labels == labels
            assert np.array_equal(s.task.train.inputs[:40], INPUTS[:40])
            assert sorted(map(tuple, s.task.train.inputs[40:])) == sorted(map(tuple, INPUTS[50:]))
            assert all(LABELS[id] == label for id, label in labels.items())
            assert sorted(s.unlabelled_ids()) == sorted(set(range(50)) - set(labels))
            s.fit()
            s.ask(5)
            ordered = s.task
        s = session(grown, tmp_path / "s")
    s.close()
    session(ordered, tmp_path / "s").close()
    with pytest.raises(FolderError, match="10 training rows removed"):
        session(task(), tmp_path / "s")  # nor back


def test_what_lost_rows_is_no_growth(tmp_path: Path) -> None:
    begun(tmp_path / "s")
    with pytest.raises(FolderError, match="3 training rows removed"):
        session(task(slice(3, 44)), tmp_path / "s", extend=True)
    with pytest.raises(ConfigError, match="folder="):
        Session(task(), method="margin", extend=True)


def test_a_folder_from_before_the_record_says_so_once(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    labels = begun(tmp_path / "s")
    (tmp_path / "s" / DATA).unlink()
    with pytest.warns(UserWarning, match=NO_RECORD[:40]):
        session(task(), tmp_path / "s").close()
    recwarn.clear()
    with session(task(), tmp_path / "s") as s:
        assert s.ledger.labels == labels
    assert not [w for w in recwarn if "record" in str(w.message)]
    with pytest.raises(FolderError, match="other data"):
        session(task(slice(30)), tmp_path / "s")


def test_a_damaged_record_is_named_with_its_cure(tmp_path: Path) -> None:
    begun(tmp_path / "s")
    (tmp_path / "s" / DATA).write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"data\.npz.*remove this file"):
        session(task(), tmp_path / "s")


def test_a_start_that_was_refused_binds_to_no_data(tmp_path: Path) -> None:
    begun(tmp_path / "s")
    for file in (tmp_path / "s").iterdir():
        if file.name not in (CONFIG, DATA):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    session(task(slice(30)), tmp_path / "s").close()


def test_a_session_of_digits_that_moved_by_17_rows_is_refused(tmp_path: Path) -> None:
    """In a process of its own, as a script: the second half must not run."""
    script = f"""
import numpy as np
from labelgap import Oracle, Session, load
from labelgap.data import Augment, Task
given = dict(method="margin", folder={str(tmp_path / "s")!r}, training={{"steps": 2}})
full, classes = load("digits"), tuple("0123456789")
def part(begin):
    rows = full.train.subset(np.arange(begin, begin + 600))
    return Task.of("mine", classes, rows, full.test, Augment())
with Session(part(0), **given) as s:
    s.tell(Oracle(part(0)).answer(s.ask(20)))
print("begun", flush=True)
Session(part(17), **given)
print("went on")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["begun"]
    assert "17 training rows added" in done.stderr
    assert "17 training rows removed" in done.stderr


# ------------------------------------------------------------------------------- labelgap.run

RUN: dict[str, Any] = {
    "loop": {"initial": 9, "budget": 6, "rounds": 1},
    "training": {"steps": 5},
    "network": {"hidden": [8]},
}


def test_a_run_tells_what_differs_finished_or_not(tmp_path: Path) -> None:
    first = labelgap.run("margin", task(), folder=tmp_path / "r", **RUN)
    assert labelgap.run("margin", task(), folder=tmp_path / "r", **RUN) == first
    for _ in range(2):
        with pytest.raises(FolderError, match="1 training row with another label"):
            labelgap.run("margin", task(labels=CHANGED), folder=tmp_path / "r", **RUN)
        (tmp_path / "r" / "result.json").unlink(missing_ok=True)
    grown = task(np.r_[50:60, 0:40])
    with pytest.raises(FolderError, match=r"10 training rows added.*--extend"):
        labelgap.run("margin", grown, folder=tmp_path / "r", **RUN)
    with pytest.warns(UserWarning, match="10 rows added"):
        found = labelgap.run("margin", grown, folder=tmp_path / "r", extend=True, **RUN)
    assert found["rounds"] == first["rounds"]  # what was done stays done
    assert labelgap.run("margin", grown, folder=tmp_path / "r", **RUN) == found


def test_a_run_begun_before_the_record_is_still_known(tmp_path: Path) -> None:
    first = labelgap.run("margin", task(), folder=tmp_path / "r", **RUN)
    for finished in (True, False):
        (tmp_path / "r" / DATA).unlink()
        if not finished:
            (tmp_path / "r" / "result.json").unlink()
        with pytest.raises(FolderError, match="other data"):
            labelgap.run("margin", task(slice(30)), folder=tmp_path / "r", **RUN)
        with pytest.warns(UserWarning, match="kept no record"):
            again = labelgap.run("margin", task(), folder=tmp_path / "r", **RUN)
        assert again["rounds"] == first["rounds"]
        assert (tmp_path / "r" / DATA).exists()


def loop_run(folder: Path, task: Task, **values: Any) -> dict[str, Any]:
    data, extend = values.pop("data_as_loaded", None), values.pop("extend", False)
    config = resolve({**RUN, "method": "margin", **values})
    here = machine("cpu", "float32")
    prepare(folder, config, here)
    return run(config, task, folder, here, data=data, extend=extend)


def test_a_simulated_pool_is_known_by_its_data_and_is_not_extended(tmp_path: Path) -> None:
    values = {"data": {"imbalance": 4.0, "label_noise": 0.1}}
    first = loop_run(tmp_path, task(), **values)
    assert loop_run(tmp_path, task(), **values) == first
    with pytest.raises(FolderError, match="4 training rows added"):
        loop_run(tmp_path, task(slice(44)), **values)
    with pytest.raises(ConfigError, match="simulates"):
        loop_run(tmp_path, task(slice(44)), extend=True, **values)


def test_features_are_known_by_the_data_that_they_are_of(tmp_path: Path) -> None:
    def features(data: Task, by: float) -> Task:
        train, test = (
            Split(part.inputs * np.float32(by), part.labels) for part in (data.train, data.test)
        )
        return Task.of(data.name, data.classes, train, test, data.augment)

    seen = features(task(), 2)
    first = loop_run(tmp_path, seen, data_as_loaded=task())
    assert first["audit"]["task_fingerprint"] == seen.fingerprint
    assert json.loads((tmp_path / CONFIG).read_text())["task"] == seen.fingerprint
    other = task(labels=CHANGED)
    with pytest.raises(FolderError, match="1 training row with another label"):
        loop_run(tmp_path, features(other, 2), data_as_loaded=other)
    with pytest.raises(FolderError, match="other data"):  # another backbone's, of the same data
        loop_run(tmp_path, features(task(), 3), data_as_loaded=task())
    config = resolve({**RUN, "method": "margin"})
    with Session(seen, config, folder=tmp_path, machine=machine("cpu", "float32")) as s:
        assert s.restore()  # who opens a run's folder gives what its network sees
    (tmp_path / DATA).unlink()  # as an older version left it
    Session(seen, config, folder=tmp_path, machine=machine("cpu", "float32")).close()
    with pytest.raises(FolderError, match="other data"):
        Session(task(), config, folder=tmp_path, machine=machine("cpu", "float32"))
    with pytest.warns(UserWarning, match="kept no record"):
        assert loop_run(tmp_path, seen, data_as_loaded=task()) == first
