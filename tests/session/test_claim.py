"""Whose folder it is: one configuration's, one task's, one machine's, and what it says of that."""

import errno
import hashlib
import json
import re
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labelgap._version import __version__
from labelgap.check.case import tiny_task
from labelgap.core.config import RunConfig
from labelgap.core.device import Machine
from labelgap.core.errors import ConfigError, DiskError, FolderError
from labelgap.data.types import Split, Task
from labelgap.session import claim
from labelgap.session.presets import resolve

PLACE = Machine(torch.device("cpu"), "float32")


def config(**values: Any) -> RunConfig:
    return resolve({"method": "random", **values})


def begun(folder: Path) -> Path:
    """A folder in which something was done."""
    claim.prepare(folder, config(), PLACE)
    (folder / "ledger.sqlite").touch()
    return folder


def facts(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found


def edit(folder: Path, **machine: Any) -> None:
    known = facts(folder)
    known["machine"] |= machine
    (folder / "config.json").write_text(json.dumps(known))


# ---------------------------------------------------------------------- the configuration


def test_a_new_folder_says_whose_it_is_and_is_known_again(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    assert claim.prepare(folder, config(), PLACE) == []
    assert facts(folder) == {
        "config": config().model_dump(mode="json"),
        "machine": {
            "device": "cpu",
            "precision": "float32",
            "threads": torch.get_num_threads(),
            "versions": claim.versions(),
        },
    }
    text = (folder / "config.json").read_text()
    assert text.startswith('{\n "config"')  # people read it
    (folder / "ledger.sqlite").touch()
    assert claim.prepare(folder, config(), PLACE) == []
    assert (folder / "config.json").read_text() == text
    assert claim.read_config(folder) == config()


def test_another_configuration_is_refused_once_something_was_done(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    text = (folder / "config.json").read_text()
    other = config(seed=3, training={"lr": 0.5})
    said = re.escape(f"{folder} belongs to another configuration: seed is 0 there and 3 here")
    with pytest.raises(FolderError, match=rf"{said} \(2 keys differ\)"):
        claim.prepare(folder, other, PLACE)
    assert (folder / "config.json").read_text() == text


def test_a_configuration_takes_the_name_that_the_folders_data_have(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    moved = config(seed=5, data={"name": "digits-elsewhere", "open_set": 0.5})
    found = claim.as_begun(folder, moved)
    assert found == config(seed=5, data={"name": "digits", "open_set": 0.5})
    assert moved.data.name == "digits-elsewhere"


def test_a_disk_that_fails_is_no_damaged_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path / "run")

    def fails(self: Path, *_: object, **__: object) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_text", fails)
    with pytest.raises(DiskError, match="input/output error"):
        claim.read_config(folder)


@pytest.mark.parametrize("known", ["by its record", "by its task"])
def test_the_path_of_data_that_a_folder_knows_does_not_count(tmp_path: Path, known: str) -> None:
    folder = begun(tmp_path / "run")
    moved = config(data={"name": "digits-elsewhere"})
    with pytest.raises(FolderError, match=r"data\.name is 'digits' there"):
        claim.prepare(folder, moved, PLACE)
    if known == "by its record":
        (folder / "data.npz").touch()
    else:
        claim.claim_task(folder, tiny_task())
    before = (folder / "config.json").read_text()
    assert claim.prepare(folder, moved, PLACE) == []
    assert (folder / "config.json").read_text() == before
    with pytest.raises(FolderError, match=r"seed is 0 there.*\(1 keys differ\)"):
        claim.prepare(folder, config(seed=3, data={"name": "elsewhere"}), PLACE)
    (folder / "ledger.sqlite").unlink()  # nothing was done: the folder is free
    assert claim.prepare(folder, moved, PLACE) == []
    assert claim.read_config(folder).data.name == "digits-elsewhere"


def test_a_start_that_was_refused_leaves_the_folder_free(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    claim.prepare(folder, config(), PLACE)
    (folder / ".config.json.abc").touch()  # of a process that was killed while it wrote
    assert claim.prepare(folder, config(seed=3), PLACE) == []
    assert claim.read_config(folder).seed == 3
    assert (folder / "config.json").read_text().startswith('{\n "config"')


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(FolderError, match="is not empty and is no run of labelgap"):
        claim.prepare(tmp_path, config(), PLACE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(FolderError, match=r"is no run of labelgap: config\.json is missing"):
        claim.read_config(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert claim.prepare(empty, config(), PLACE) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("device", "cuda"), ("precision", "bfloat16"), ("threads", 99), ("versions", {})],
)
def test_what_makes_bits_differ_is_told_and_stops_nobody(
    tmp_path: Path, key: str, value: Any
) -> None:
    folder = begun(tmp_path / "run")
    now = facts(folder)["machine"][key]
    edit(folder, **{key: value})
    assert claim.prepare(folder, config(), PLACE) == [
        f"This folder was begun with {key} {value!r}, now it is {now!r}: the rest of the run will "
        "not be bit-identical."
    ]
    assert facts(folder)["machine"][key] == value


def test_a_folder_that_does_not_know_its_machine_is_not_suspected(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    for known in ({"config": facts(folder)["config"], "machine": {"threads": 99}},
                  {"config": facts(folder)["config"]}):  # fmt: skip
        (folder / "config.json").write_text(json.dumps(known))
        assert len(claim.prepare(folder, config(), PLACE)) == len(known.get("machine", {}))


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    for damaged in (b"{", b"\xff\xfe", b"[1]"):
        (folder / "config.json").write_bytes(damaged)
        for use in (claim.read_config, lambda f: claim.prepare(f, config(), PLACE)):
            with pytest.raises(FolderError, match=r"config\.json cannot be read"):
                use(folder)
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    with pytest.raises(FolderError, match=r"config\.json cannot be read"):
        claim.read_config(folder)


def test_a_file_without_a_configuration_differs_in_all_of_it(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    (folder / "config.json").write_text("{}")
    with pytest.raises(FolderError, match=r"belongs to another configuration: acquisition"):
        claim.prepare(folder, config(), PLACE)
    with pytest.raises(FolderError, match=r"config\.json holds no configuration"):
        claim.read_config(folder)


def test_differences_are_named_by_their_path() -> None:
    old = {"a": 1, "b": {"x": 1, "y": 2, "deep": {"z": 3}}, "c": {"k": 1}, "same": {"v": 1}}
    new = {"a": 2, "b": {"x": 1, "y": 5, "deep": {"z": 4}}, "d": 0, "c": 7, "same": {"v": 1}}
    assert list(claim.differing(old, new).items()) == [
        ("a", (1, 2)),
        ("b.deep.z", (3, 4)),
        ("b.y", (2, 5)),
        ("c", ({"k": 1}, 7)),
        ("d", (None, 0)),
    ]
    assert claim.differing(new, new) == {}


def test_keys_of_before_are_looked_for_on_both_axes() -> None:
    for axis in ("objective", "acquisition"):
        tree = {f"{axis}_name": "daal", axis: {"critic_lr": 1.0}}
        with pytest.raises(
            ConfigError, match=rf"'critic_lr' of {axis} in mine is now 'critic\.lr'"
        ):
            claim.refuse_moved(tree, "mine")
    claim.refuse_moved({"objective_name": "daal", "acquisition_name": "a user's own"}, "mine")


# ---------------------------------------------------------------------- the task


def other_task() -> Task:
    task = tiny_task()
    return replace(task, fingerprint="0" * 64)


def test_a_folder_is_of_one_task_from_its_first_answer_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    claim.prepare(folder, config(), PLACE)
    claim.claim_task(folder, other_task())
    claim.claim_task(folder, tiny_task())  # nothing was done with the other one
    known = facts(folder)
    assert known["task"] == tiny_task().fingerprint
    assert (folder / "config.json").read_text().startswith('{\n "config"')
    assert known["config"] == config().model_dump(mode="json")
    (folder / "ledger.sqlite").touch()
    before = (folder / "config.json").stat().st_mtime_ns
    claim.claim_task(folder, tiny_task())
    assert (folder / "config.json").stat().st_mtime_ns == before
    said = re.escape(f"{folder} was begun with other data than these of 'tiny'")
    with pytest.raises(FolderError, match=said) as caught:
        claim.claim_task(folder, other_task())
    assert caught.value.cure == "Choose another folder, or give the data that it was begun with."
    assert facts(folder) == known


def test_a_folder_from_before_the_note_is_given_it(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run")
    claim.claim_task(folder, tiny_task())
    assert facts(folder)["task"] == tiny_task().fingerprint


def test_a_task_is_its_inputs_labels_and_names() -> None:
    task = tiny_task()
    flipped = Split(task.train.inputs[::-1].copy(), task.train.labels)
    assert Task.of("tiny", task.classes, flipped, task.test, task.augment).fingerprint != (
        task.fingerprint
    )
    assert isinstance(claim.other_data(Path("f"), task), FolderError)


# ---------------------------------------------------------------------- versions, source


def test_versions_are_of_what_computes_and_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def version(package: str) -> str:
        asked.append(package)
        if package in ("timm", "scipy"):
            raise PackageNotFoundError(package)
        return f"{package} 1"

    monkeypatch.setattr(claim, "version", version)
    found = claim.versions()
    assert asked == ["torch", "numpy", "scipy", "scikit-learn", "timm", "torchvision"]
    assert found.pop("labelgap") == __version__
    assert found.pop("python").count(".") == 2
    assert found == {p: f"{p} 1" for p in ("torch", "numpy", "scikit-learn", "torchvision")}


def test_the_state_of_the_code_is_a_hash_of_names_and_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {"b.py": b"2", "a/z.py": b"1", "session/claim.py": b"", "a/b/c.py": b"\xff"}
    for name, content in {**contents, "notes.txt": b"x"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    for room in ("bench", "check", "cli", "project", "report"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "a.py").write_bytes(room.encode())
    monkeypatch.setattr(claim, "__file__", str(tmp_path / "session" / "claim.py"))
    names = ["a/b/c.py", "a/z.py", "b.py", "session/claim.py"]
    text = b"".join(name.encode() + b"\0" + contents[name] + b"\0" for name in names)
    assert claim.source.__wrapped__() == hashlib.sha256(text).hexdigest()[:12]


def test_facts_name_the_device_that_computes() -> None:
    found = claim.machine_facts(Machine(torch.device("cuda", 1), "bfloat16"))
    assert (found["device"], found["precision"]) == ("cuda:1", "bfloat16")
    assert found["threads"] == torch.get_num_threads()
    assert found["versions"]["numpy"] == np.__version__
