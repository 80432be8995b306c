"""Random's curve beside a run's own: a run in a run, which takes nothing from it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from console import call
from typer.testing import CliRunner

import labelgap
from labelgap.cli import with_commands
from labelgap.core import device as devices
from labelgap.core.area import labels_to_reach
from labelgap.core.device import machine as machine_of
from labelgap.data import load
from labelgap.loop import baseline
from labelgap.report import beside
from labelgap.session.presets import resolve

SMALL = (
    "--steps 12 --rounds 2 --initial 30 --budget 15 --threads 1 --precision float32 --device cpu"
    " --set network.width=4"
).split()
TINY: dict[str, Any] = {
    "training": {"steps": 12},
    "loop": {"initial": 30, "budget": 15, "rounds": 2},
    "network": {"width": 4},
}


pytestmark = pytest.mark.xdist_group("baseline")  # on one worker: the run is made once


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run's folder with its baseline, and what the terminal said."""
    folder = tmp_path_factory.mktemp("baseline") / "run"
    done = CliRunner().invoke(with_commands(), ["run", "--out", str(folder), *SMALL])
    assert done.exit_code == 0, done.output
    return folder, " ".join(done.output.split())


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def computed(folder: Path) -> dict[str, Any]:
    """A result without what a clock says."""
    found = result(folder)
    for entry in found["rounds"]:
        entry.pop("seconds")
    return found


def times(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_terminal_and_the_report_say_first_what_was_saved(compared: tuple[Path, str]) -> None:
    folder, said = compared
    sentence = beside.in_words(result(folder), result(folder / "baseline"))
    assert sentence.replace("\u00a0", " ") in said
    assert "Random's curve beside it: about" in said
    page = (folder / "report.html").read_text("utf-8")
    assert page.index(sentence) < page.index("test accuracy with")
    assert "Random: " in page  # for those who do not see the picture


def test_the_baseline_is_random_of_the_same_seed_and_initial_set(
    compared: tuple[Path, str],
) -> None:
    own, random = result(compared[0]), result(compared[0] / "baseline")
    assert (random["method"], random["objective"], random["acquisition"]) == (
        "random", "cross-entropy", "random",
    )  # fmt: skip
    for key in ("seed", "dataset", "preset", "machine", "classes"):
        assert random[key] == own[key]
    for part in ("data", "network", "training", "loop"):
        assert random["config"][part] == own["config"][part]
    for key in ("initial_set_sha256", "initial_weights_sha256", "task_fingerprint"):
        assert random["audit"][key] == own["audit"][key]
    assert [r["labels"] for r in random["rounds"]] == [r["labels"] for r in own["rounds"]]


def test_it_is_what_random_would_be_alone(
    compared: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "--method", "random", "--baseline", "--out", str(tmp_path / "r"))
    status, said = call(capsys, *words, *SMALL)
    assert status == 0
    assert "no curve to draw beside it" in said
    assert not (tmp_path / "r" / "baseline").exists()
    alone, inner = tmp_path / "r", compared[0] / "baseline"
    assert (alone / "queries.jsonl").read_bytes() == (inner / "queries.jsonl").read_bytes()
    assert computed(alone) == computed(inner)


def test_it_changes_nothing_of_the_run_and_can_be_drawn_later(
    compared: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "plain"
    status, said = call(capsys, "run", "--no-baseline", "--out", str(folder), *SMALL)
    assert status == 0
    assert "Random" not in said
    assert not (folder / "baseline").exists()
    assert (folder / "queries.jsonl").read_bytes() == (compared[0] / "queries.jsonl").read_bytes()
    assert computed(folder) == computed(compared[0])
    before = times(folder)
    assert call(capsys, "run", "--out", str(folder), *SMALL)[0] == 0
    assert times(folder) == before  # a finished run begins no comparison unasked
    status, said = call(capsys, "run", "--baseline", "--out", str(folder), *SMALL)
    assert status == 0
    sentence = beside.in_words(result(folder), result(folder / "baseline"))
    assert " ".join(sentence.split()) in said
    assert sentence in (folder / "report.html").read_text("utf-8")
    assert computed(folder / "baseline") == computed(compared[0] / "baseline")


def test_twice_costs_nothing(
    compared: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = times(compared[0])
    status, said = call(capsys, "run", "--out", str(compared[0]), *SMALL)
    assert status == 0
    assert "Random" in said
    assert times(compared[0]) == before


def in_python(folder: Path, method: str = "daal", **more: Any) -> dict[str, Any]:
    """The command's run by the one call of the library."""
    settings = TINY | {"precision": "float32", "device": "cpu"}
    return labelgap.run(method, "digits", folder=folder, **settings, **more)


def timeless(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in found["rounds"]]


def test_one_call_gives_the_curves_of_the_command(
    compared: tuple[Path, str], tmp_path: Path
) -> None:
    devices.set_threads(1)
    alone = in_python(tmp_path / "run")
    assert "baseline" not in alone
    assert not (tmp_path / "run" / "baseline").exists()
    both = in_python(tmp_path / "run", baseline=True)  # of a finished run, later
    assert {k: v for k, v in both.items() if k != "baseline"} == alone
    assert timeless(both) == computed(compared[0])["rounds"]
    assert timeless(both["baseline"]) == computed(compared[0] / "baseline")["rounds"]
    before = times(tmp_path / "run")
    assert in_python(tmp_path / "run", baseline=True) == both
    assert times(tmp_path / "run") == before
    assert result(tmp_path / "run") == alone  # the file is the run's own


def test_randoms_own_baseline_is_itself(tmp_path: Path) -> None:
    both = in_python(tmp_path / "run", "random", baseline=True)
    assert both["baseline"] == result(tmp_path / "run")
    assert not (tmp_path / "run" / "baseline").exists()


DRIVER = """
import os, signal, sys
from labelgap.learn import learner
last, finished, plain = int(sys.argv.pop(1)), sys.argv.pop(), learner.StageRunner.step
done = 0

def step(self, number):
    global done
    plain(self, number)
    done += os.path.exists(finished)
    if done == last:
        os.kill(os.getpid(), signal.SIGKILL)

learner.StageRunner.step = step
learner.CHECKPOINT_SECONDS = 0.0
from labelgap.cli import main
main()
"""


@pytest.mark.slow
def test_killed_in_the_comparison_the_same_command_goes_on(
    compared: tuple[Path, str], tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", DRIVER]
    rest = ["run", "--out", str(folder), *SMALL, str(folder / "result.json")]
    for last in (5, 9):  # steps after the run itself is finished
        killed = subprocess.run([*command, str(last), *rest], capture_output=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        assert not (folder / "baseline" / "result.json").exists()
        assert not (folder / "report.html").exists()
    done = subprocess.run([*command, "0", *rest], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for part in (Path(), Path("baseline")):
        assert computed(folder / part) == computed(compared[0] / part)
    assert (folder / "report.html").exists()


@pytest.mark.slow
def test_a_page_from_before_the_comparison_is_drawn_anew(
    compared: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed between the comparison's last line and the page, which is older then."""
    folder = tmp_path / "run"
    shutil.copytree(compared[0], folder)
    (folder / "report.html").write_text("old")
    written = (folder / "report.html").stat().st_mtime
    os.utime(folder / "baseline" / "result.json", (written + 1, written + 1))
    assert call(capsys, "run", "--out", str(folder), *SMALL)[0] == 0
    assert "Random" in (folder / "report.html").read_text("utf-8")


# ------------------------------------------------------------------ whether it is drawn


def planned(
    tmp_path: Path, asked: bool | None = None, preset: str = "smoke", **values: Any
) -> baseline.Plan:
    config = resolve({**TINY, **values}, preset=preset)
    machine = machine_of("cpu", "float32")
    return baseline.plan(baseline.config_of(config), tmp_path, load("digits"), machine, asked)


def test_days_are_not_spent_unasked(tmp_path: Path) -> None:
    assert planned(tmp_path).drawn
    assert not planned(tmp_path, False).drawn
    for plan in (
        planned(tmp_path, preset="paper"),
        planned(tmp_path, training={"steps": 10_000_000}),
    ):
        assert not plan.drawn
        assert plan.said
        assert "`--baseline` draws it" in plan.said
        assert "\n" not in plan.said
    assert planned(tmp_path, True, preset="paper").drawn
    assert planned(tmp_path, True, training={"steps": 10_000_000}).drawn
    # What was begun goes on, whatever the machine does meanwhile.
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "config.json").write_text("{}")
    assert planned(tmp_path, training={"steps": 10_000_000}).drawn


@pytest.mark.parametrize(
    "values",
    [
        {"method": "daal", "mixture": {"em_steps": 2}},
        {"method": "bald", "network": {"dropout": 0.3}},
        {"objective_name": "daal", "acquisition_name": "margin"},
    ],
)
def test_only_the_pair_is_another(values: dict[str, Any]) -> None:
    config = resolve({"seed": 3, **values})
    random = baseline.config_of(config)
    assert random is not None
    theirs, ours = config.model_dump(mode="json"), random.model_dump(mode="json")
    pair = {"method", "objective_name", "acquisition_name", "objective", "acquisition"}
    assert {k for k in ours if ours[k] != theirs.get(k)} <= pair
    assert baseline.config_of(random) is None


# ------------------------------------------------------------------ what was saved


def run_of(name: str, *curve: float) -> dict[str, Any]:
    rounds = [{"labels": 40 * (k + 1), "accuracy": a} for k, a in enumerate(curve)]
    return {"method": name, "rounds": rounds}


def test_labels_saved_by_hand() -> None:
    random = run_of("random", 0.5, 0.6, 0.7)
    found = beside.saved(run_of("x", 0.5, 0.7, 0.9), random)
    assert (found.needed, found.random, found.labels) == (80, 120, 40)
    # Between two rounds by a straight line: half way from 40 to 80 labels.
    assert beside.saved(run_of("x", 0.5, 0.9, 0.9), random).needed == 60
    # Random had its last accuracy before, and lost it for a while: it did not need them all.
    assert beside.saved(run_of("x", 0.5, 0.7, 0.9), run_of("r", 0.5, 0.9, 0.7)).random == 60


def test_words_say_no_more_than_the_numbers() -> None:
    random = run_of("random", 0.5, 0.6, 0.7)
    for curve, start in (
        (
            (0.5, 0.7, 0.9),
            "40 labels saved: x reached 70.0\u00a0% with 80 labels, Random with 120.",
        ),
        ((0.5, 0.6, 0.69), "No labels saved: Random reached 70.0\u00a0% with 120 labels, x never"),
        ((0.5, 0.6, 0.7), "No labels saved: x reached 70.0\u00a0% with 120 labels, Random with"),
    ):
        assert beside.in_words(run_of("x", *curve), random).startswith(start)
    slower = beside.in_words(run_of("x", 0.5, 0.6, 0.7), run_of("random", 0.5, 0.7, 0.7))
    assert slower.startswith("40 labels more than Random: ")


def test_labels_to_reach_inverts_the_curve() -> None:
    labels, curve = np.array([10, 20, 40]), np.array([0.1, 0.5, 0.9])
    for n in (10.0, 13.0, 20.0, 33.0, 40.0):
        height = float(np.interp(n, labels, curve))
        assert labels_to_reach(labels, curve, height) == pytest.approx(n, abs=1e-9)
    assert np.isnan(labels_to_reach(labels, curve, 0.91))
