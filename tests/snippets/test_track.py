"""`labelgap run --track`: what the real trackers have on the disk afterwards; no network.

MLflow and Weights & Biases: `uv run --group snippets pytest -m slow tests/snippets`.
"""

import json
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console import call

SMALL = (
    "run --steps 8 --rounds 2 --initial 20 --budget 10 --threads 1 --precision float32 "
    "--device cpu --method margin --set network.width=4"
).split()
LABELS = [20, 30, 40]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this machine can be reached."""
    connect = socket.socket.connect

    def here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a connection to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", here)
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def finished(
    tracker: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    status, said = call(capsys, *SMALL, "--out", str(folder), "--track", tracker)
    assert status == 0, said
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return [*result["rounds"], {"aubc": result["aubc"]}]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / "tensorboard"))
    read.Reload()
    return {
        name: [(event.step, event.value) for event in read.Scalars(name)]
        for name in read.Tags()["scalars"]
    }


@pytest.mark.usefixtures("offline")
def test_tensorboard_has_every_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    *rounds, last = finished("tensorboard", tmp_path / "run", capsys)
    found = scalars(tmp_path / "run")
    assert [step for step, _ in found["accuracy"]] == LABELS
    assert [value for _, value in found["accuracy"]] == pytest.approx(
        [r["accuracy"] for r in rounds]
    )
    assert found["aubc"] == [(LABELS[-1], pytest.approx(last["aubc"]))]
    assert "seconds/train" in found
    # A second call of the same command adds nothing.
    finished("tensorboard", tmp_path / "run", capsys)
    assert scalars(tmp_path / "run") == found


DRIVER = """
import os, signal, sys
from labelgap.report import track
last, plain = int(sys.argv.pop()), track.Tracking._keep
done = 0

def keep(self):
    global done
    done += 1
    if done == last:  # the tracker was told, and this is not noted yet
        os.kill(os.getpid(), signal.SIGKILL)
    plain(self)

track.Tracking._keep = keep
from labelgap.cli import main
main()
"""


def killed(tracker: str, folder: Path, keeps: int) -> None:
    """The command, killed after a tracker was told and before `Tracking` notes it."""
    command = [sys.executable, "-c", DRIVER, *SMALL, "--no-baseline", "--out", str(folder)]
    done = subprocess.run([*command, "--track", tracker, str(keeps)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_a_killed_run_tells_every_round_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    # The note of the beginning comes first. The second round is told again; the last number too.
    for keeps in (3, 2, 2):
        killed("tensorboard", folder, keeps)
    *_, last = finished("tensorboard", folder, capsys)
    found = scalars(folder)
    assert [step for step, _ in found["accuracy"]] == LABELS
    assert [step for step, _ in found["seconds/train"]] == LABELS
    assert found["aubc"] == [(LABELS[-1], pytest.approx(last["aubc"]))]


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_a_round_told_and_not_noted_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a kill between the two leaves on the disk: the numbers, and an older note."""
    folder = tmp_path / "run"
    *_, last = finished("tensorboard", folder, capsys)
    told = scalars(folder)
    note = folder / "tracking.json"
    for rounds in ([], [0], [0, 1, 2]):
        note.write_text(json.dumps({"tensorboard": {"run": "tensorboard", "rounds": rounds}}))
        finished("tensorboard", folder, capsys)
        assert scalars(folder) == told
    assert told["aubc"] == [(LABELS[-1], pytest.approx(last["aubc"]))]


@pytest.mark.slow
def test_a_finished_run_can_be_told_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = call(capsys, *SMALL, "--out", str(tmp_path / "run"))
    assert status == 0, said
    assert not (tmp_path / "run" / "tracking.json").exists()
    finished("tensorboard", tmp_path / "run", capsys)
    assert [step for step, _ in scalars(tmp_path / "run")["accuracy"]] == LABELS


def test_an_unknown_tracker_is_refused_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = call(capsys, *SMALL, "--out", str(tmp_path / "run"), "--track", "tensorbord")
    assert status == 2
    assert "Did you mean 'tensorboard'?" in said
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_is_not_installed_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    status, said = call(capsys, *SMALL, "--out", str(tmp_path / "run"), "--track", "wandb")
    assert status == 2
    assert "wandb" in said.split("Install it:")[1]


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_mlflow_has_every_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mlflow.tracking import MlflowClient

    *rounds, last = finished("mlflow", tmp_path / "run", capsys)
    finished("mlflow", tmp_path / "run", capsys)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("labelgap").experiment_id])
    history = client.get_metric_history(run.info.run_id, "accuracy")
    assert [(m.step, m.value) for m in history] == [
        (labels, pytest.approx(r["accuracy"])) for labels, r in zip(LABELS, rounds, strict=True)
    ]
    (tmp_path / "run" / "tracking.json").write_text(
        json.dumps({"mlflow": {"run": run.info.run_id, "rounds": [0]}})
    )
    finished("mlflow", tmp_path / "run", capsys)  # as after a kill before the note
    assert len(client.get_metric_history(run.info.run_id, "accuracy")) == len(LABELS)
    assert len(client.get_metric_history(run.info.run_id, "aubc")) == 1
    assert run.data.metrics["aubc"] == pytest.approx(last["aubc"])
    assert run.data.params["method"] == "margin"
    assert run.info.status == "FINISHED"


def records(log: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log, which a .wandb file is after the 7 bytes of its head."""
    assert log.startswith(b":W&B")
    at, block, parts = 7, 32768, b""
    while at + 7 <= len(log):
        if block - at % block < 7:  # no room for a head: the block is padded
            at += block - at % block
            continue
        _, length, kind = struct.unpack("<IHB", log[at : at + 7])
        parts += log[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_wandb_has_every_round_offline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from wandb.proto import wandb_internal_pb2

    *rounds, last = finished("wandb", tmp_path / "run", capsys)
    (file,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    seen = []
    for data in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            seen.append(
                {(i.key or "/".join(i.nested_key)): json.loads(i.value_json) for i in items}
            )
    accuracy = [row["accuracy"] for row in seen if "accuracy" in row]
    assert accuracy == pytest.approx([r["accuracy"] for r in rounds])
    assert [row["_step"] for row in seen if "accuracy" in row] == LABELS
    assert [row["aubc"] for row in seen if "aubc" in row] == [pytest.approx(last["aubc"])]
