"""The command line as a user meets it: results, errors with a cure and exit status 2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from console import call
from typer.testing import CliRunner

from labelgap.cli import main, with_commands
from labelgap.data import load
from labelgap.data.types import Task
from labelgap.methods import ACQUISITIONS, METHODS, OBJECTIVES

SMALL = [
    "--steps",
    "12",
    "--rounds",
    "2",
    "--initial",
    "30",
    "--budget",
    "15",
    "--threads",
    "1",
    "--precision",
    "float32",
    "--device",
    "cpu",
    "--set",
    "network.width=4",
]


of_the_run = pytest.mark.xdist_group("finished")
"""On one worker, so that the run is made once."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run of the whole method."""
    folder = tmp_path_factory.mktemp("run") / "daal"
    result = CliRunner().invoke(with_commands(), ["run", "--out", str(folder), *SMALL])
    assert result.exit_code == 0, result.output
    return folder


@of_the_run
def test_a_run_leaves_what_it_promises(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names >= {
        "result.json", "queries.jsonl", "ledger.sqlite", "curve.png", "embedding.png",
        "report.html",
    }  # fmt: skip
    result = json.loads((finished / "result.json").read_text())
    assert [r["labels"] for r in result["rounds"]] == [30, 45, 60]
    assert set(result["rounds"][0]["seconds"]) == {
        "train", "align", "score", "select", "evaluate",
    }  # fmt: skip
    assert result["audit"]["claimed_labels"] == result["audit"]["distinct_labels"] == 60
    accuracy = [r["accuracy"] for r in result["rounds"]]
    by_hand = (accuracy[0] / 2 + accuracy[1] + accuracy[2] / 2) / 2
    assert abs(result["aubc"] - by_hand) < 1e-12
    for key in ("schema", "dataset", "method", "objective", "acquisition", "seed", "preset"):
        assert key in result
    assert result["config"]["objective"]["alpha"] > 0


@of_the_run
def test_queries_have_a_line_for_each_item_and_no_times(finished: Path) -> None:
    lines = [json.loads(x) for x in (finished / "queries.jsonl").read_text().splitlines()]
    assert len(lines) == len({x["id"] for x in lines}) == 60
    first, later = lines[:30], lines[30:]
    assert all(x["round"] == 0 and x["score"] is None for x in first)
    assert {x["round"] for x in later} == {1, 2}
    assert all(set(x["parts"]) == {"likelihood_gap", "critic"} for x in later)
    assert all(set(x) == {"id", "round", "score", "parts", "pseudo_label"} for x in lines)


@of_the_run
def test_a_finished_folder_prints_its_result_and_changes_nothing(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in finished.iterdir()}
    status, text = call(capsys, "run", "--out", str(finished), *SMALL)
    assert status == 0
    assert "area under the budget curve" in text
    assert {p.name: p.stat().st_mtime_ns for p in finished.iterdir()} == before


@of_the_run
def test_a_folder_of_another_configuration_is_refused_with_the_difference(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "result.json").read_bytes()
    status, text = call(capsys, "run", "--out", str(finished), "--seed", "1", *SMALL)
    assert status == 2
    assert "seed is 0 there and 1 here" in text
    assert (finished / "result.json").read_bytes() == before


WRONG = [
    (["--dataset", "fashon-mnist"], "Did you mean 'fashion-mnist'"),
    (["--method", "dall"], "Did you mean 'daal'"),
    (["--preset", "cup"], "Did you mean 'cpu'"),
    (["--set", "objective.alhpa=1"], "Did you mean 'alpha'"),
    (["--set", "loop.budgt=1"], "Did you mean 'budget'"),
    (["--set", "objective.alpha=-1"], "objective.alpha = -1"),
    (["--set", "seed"], "has no value"),
    (["--acquisition", "bald"], "network.dropout"),
    (["--objective", "cross-entropy", "--acquisition", "predicted-loss"], "ll4al"),
    (["--initial", "5000"], "items asked for in round 0"),
    (["--budget", "1400"], "items asked for in round 1"),
    (["--set", "loop.initial_per_class=500"], "were asked for in the initial set"),
    (["--device", "cuda"], "CUDA"),
    (["--device", "toaster"], "not a device"),
    (["--steps", "5", "--epochs", "2"], "Choose one"),
    (["--config", "missing.toml"], "no such file"),
    (["--dataset", "cifar10", "--data-root", "nowhere"], "data root nowhere"),
    (["--network", "resnext"], "Unknown network 'resnext'"),
    (["--imbalance", "0.5"], "imbalance"),
]


@pytest.mark.parametrize(("flags", "message"), WRONG, ids=lambda x: " ".join(x)[:40])
def test_errors_name_cause_and_cure(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("LABELGAP_CACHE", str(tmp_path / "cache"))
    small = list(SMALL)
    if "--steps" in flags:
        small = small[2:]
    for flag in flags:
        if flag in small:
            at = small.index(flag)
            del small[at : at + 2]
    status, text = call(capsys, "run", "--out", str(tmp_path / "out"), *small, *flags)
    assert status == 2, text
    assert message.lower() in text.lower()
    assert "Traceback" not in text


def test_an_output_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    status, text = call(capsys, "run", "--out", str(blocked / "run"), *SMALL)
    assert status == 2
    assert "could not be written: Not a directory" in text


def test_a_foreign_folder_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    status, text = call(capsys, "run", "--out", str(tmp_path), *SMALL)
    assert status == 2
    assert "no run of labelgap" in text
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_toml_file_and_flags_over_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.toml"
    file.write_text('method = "margin"\nseed = 4\n[loop]\ninitial = 25\n')
    flags = [x for x in SMALL if x not in ("--initial", "30")]
    folder = tmp_path / "run"
    status, text = call(
        capsys, "run", "--config", str(file), "--out", str(folder), "--seed", "5", *flags
    )
    assert status == 0, text
    config = json.loads((folder / "result.json").read_text())["config"]
    assert (config["method"], config["seed"], config["loop"]["initial"]) == ("margin", 5, 25)


def test_config_lists_every_option_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = call(capsys, "config", "--json")
    assert status == 0
    assert json.loads(text)["objective"]["alpha"] > 0
    status, text = call(capsys, "config", "--preset", "paper", "--json")
    values = json.loads(text)
    assert values["training"]["lr"] == 0.1
    assert values["training"]["epochs"] == 200
    assert values["training"]["batch_size"] == 100
    assert values["training"]["milestones"] == [0.8]
    assert values["objective"]["align_steps"] == 10_000
    assert values["critic"]["sigmoid"] is True
    assert values["mixture"]["average"] == "parameters"
    assert values["loop"] == {
        "initial": 1000, "initial_per_class": None, "budget": 1000, "rounds": 9,
        "pool_subset": 10_000,
    }  # fmt: skip
    status, text = call(capsys, "config", "--preset", "paper", "--dataset", "cifar100", "--json")
    assert json.loads(text)["loop"]["initial"] == 2000


def test_the_catalogue_is_legible_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listings = {}
    for words in (["methods"], ["config"]):
        monkeypatch.setattr(sys, "argv", ["labelgap", *words])
        with pytest.raises(SystemExit, match="0"):
            main()
        listings[words[0]] = capsys.readouterr().out
    assert all(len(line) <= 80 for text in listings.values() for line in text.splitlines())
    first = {line.split(" ")[0] for line in listings["methods"].splitlines()}
    assert set(METHODS) <= first
    flat = " ".join(listings["methods"].split())
    for cls in (*OBJECTIVES.values(), *ACQUISITIONS.values()):
        told = (cls.__doc__ or "").splitlines()[0] in flat  # brackets are no markup
        assert told is not getattr(cls, "upper_line", False), cls  # an upper line is no method
    for pair in (
        "fixmatch × random needs images; trains on unlabelled items training",
        "vaal × vaal needs unlabelled_logit; trains on unlabelled items training",
        "cross-entropy × isal needs logits, the network itself training",
        "cross-entropy × alfa-mix needs features, logits, the network itself training",
        "cross-entropy × random needs nothing training",
    ):
        assert pair in flat
    keys = [line.split()[0] for line in listings["config"].splitlines() if line[:1] != " "]
    assert {"training.lr", "objective.alpha", "acquisition.beta"} <= set(keys)
    assert "source: paper Eq. 4" in listings["config"]
    assert "evidence:" in listings["config"]


def test_help_starts_without_torch() -> None:
    code = (
        "import sys; sys.argv = ['labelgap', '--help']\n"
        "from labelgap.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout


def test_library_use_in_ten_lines() -> None:
    from labelgap import Oracle, Session

    task: Task = load("digits")
    session = Session(task, method="daal", training={"steps": 10}, network={"width": 4})
    oracle = Oracle(task)
    session.tell(oracle.answer(session.ask(40)))
    session.fit()
    query = session.ask(20)
    assert len(query) == 20
    session.tell(oracle.answer(query))
    assert 0 <= session.evaluate().accuracy <= 1


def test_help_shows_defaults_written_in_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    # Rich would take them for markup and show nothing.
    for command, shown in (
        ("run", "[default: daal]"),
        ("bench", "[default: runs/bench-<grid>]"),
        ("init", "[default: timm:tf_efficientnet_lite0, pretrained, comes with labelgap]"),
    ):
        status, text = call(capsys, command, "--help")
        assert status == 0
        assert shown in text


@pytest.mark.parametrize("words", [["run"], ["ask", "2"], ["train"]])
def test_no_threads_are_refused_by_name(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = call(capsys, *words, "--threads", "0")
    assert status == 2
    assert "'--threads'" in text


def test_a_refused_start_does_not_claim_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--out", str(tmp_path / "run"), "--threads", "1", "--device", "cpu"]
    status, text = call(capsys, *words, "--network", "foo")
    assert status == 2
    assert "'foo'" in text
    small = ["--steps", "2", "--rounds", "0", "--set", "network.width=4"]
    status, text = call(capsys, *words, "--method", "random", *small)
    assert status == 0, text
    status, text = call(capsys, *words, "--method", "margin", *small)
    assert status == 2  # now there is something to lose
    assert "another configuration" in text
