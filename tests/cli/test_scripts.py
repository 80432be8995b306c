"""For scripts: JSON, exit status, colour, completion, what the machine is."""

import json
import math
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from console import call
from PIL import Image

from labelgap.cli import with_commands
from labelgap.cli.scripts import print_json
from labelgap.methods import METHODS

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]")


def program(
    *arguments: str, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with standard output in a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "labelgap", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **env},
        check=False,
    )


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    status, text = call(capsys, *arguments)
    assert status == 0, text
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def test_what_json_lacks_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    values = [math.nan, math.inf, -math.inf, 0.5, True, None, np.float32(np.nan)]
    print_json({"a": values, 3: {"b": (1, np.int64(2))}, "c": np.array([[1.0, np.nan]])})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": [None, None, None, 0.5, True, None, None],
        "3": {"b": [1, 2]},
        "c": [[1.0, None]],
    }


def test_methods_are_told_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    told = json_of(capsys, "methods", "--json")["methods"]
    assert [m["name"] for m in told] == sorted(METHODS)
    gap = next(m for m in told if m["name"] == "gap")
    assert gap["needs"] == ["features", "logits"]
    assert gap["citation"] == METHODS["gap"].citation


def test_a_project_is_told_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for i in range(20):
        pixels = rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    at = ("--project", str(tmp_path))
    status, said = call(capsys, "init", str(tmp_path), "--classes", "a,b", "--image-size", "12")
    assert status == 0, said
    told = json_of(capsys, "status", "--json", *at)
    assert told["classes"] == ["a", "b"]
    assert told["items"] == 20
    assert told["labelled"] == 0
    assert told["per_class"] == [0, 0]
    assert told["project"] == str(tmp_path)


def test_the_system_is_told_in_words_and_as_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json_of(capsys, "doctor", "--system", "--json", "--project", str(tmp_path / "not yet"))
    assert told["versions"]["torch"] == version("torch")
    assert told["threads"]["torch"] == torch.get_num_threads()
    assert told["devices"][0]["name"] == "cpu"
    assert told["disk"]["folder"] == str(tmp_path)
    assert 0 < told["disk"]["free"] <= told["disk"]["total"]
    assert any(pool.get("internal_api") == "openblas" for pool in told["blas"])
    status, text = call(capsys, "doctor", "--system")
    assert status == 0
    for fact in (torch.__version__.split("+")[0], np.__version__, "chosen", "GiB free", "openblas"):
        assert fact in text


def test_json_alone_is_no_check(capsys: pytest.CaptureFixture[str]) -> None:
    status, text = call(capsys, "doctor", "--json")
    assert status == 2
    assert "doctor --system --json" in text


def test_exit_statuses_are_those_of_the_page(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "guides" / "scripts.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| ", page, re.M)
    assert rows == ["0", "1", "2", "130"]
    assert program("--version").returncode == 0
    own = tmp_path / "broken.py"
    own.write_text("import nothing_of_this_name\n")
    assert program("check", str(own)).returncode == 1
    wrong = program("run", "--method", "entropie")
    assert wrong.returncode == 2
    assert "error:" in wrong.stderr
    assert not wrong.stdout
    assert "130 Ctrl-C" in " ".join(program("--help").stdout.split())


def test_no_color_is_respected() -> None:
    """Colours are there where somebody asks for them, and NO_COLOR leaves them out."""
    forced = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "NO_COLOR": ""}
    wrong = ("run", "--method", "entropie")
    assert COLOUR.search(program(*wrong, **forced).stderr)
    without = program(*wrong, **{**forced, "NO_COLOR": "1"})
    assert without.returncode == 2
    assert not COLOUR.search(without.stderr)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str) -> None:
    """What the completion that is installed asks the program."""
    names = {command.name for command in with_commands().registered_commands if command.name}
    variables = {
        "bash": {"COMP_WORDS": "labelgap ", "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "labelgap "},
        "fish": {"_TYPER_COMPLETE_ARGS": "labelgap ", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    # The program's name decides the variable's: as it is installed, not as a module.
    binary = Path(sys.executable).with_name("labelgap")
    said = subprocess.run(
        [str(binary)],
        capture_output=True,
        text=True,
        env={**os.environ, **variables, "_LABELGAP_COMPLETE": f"complete_{shell}"},
        check=False,
    )
    for name in {"run", "status", "label-studio", *names} - {None}:
        assert name in said.stdout, said.stdout + said.stderr
