"""Every command is there whatever was imported before it was asked for."""

import subprocess
import sys

import pytest

COMMANDS = {
    "run", "bench", "tune", "report", "methods", "config", "check", "init", "add", "classes", "ask",
    "train", "status", "label", "predict", "import", "export", "undo", "backup", "doctor",
    "label-studio", "restore", "evaluate", "errors", "score",
}  # fmt: skip
LIST = """
from typer.main import get_command
from labelgap.cli import with_commands
print(*get_command(with_commands()).commands)
"""


@pytest.mark.parametrize("first", ["", "import labelgap.cli.project", "import labelgap.cli.care"])
def test_the_commands_do_not_depend_on_what_was_imported(first: str) -> None:
    # A process of its own: in this one other tests have registered them already.
    done = subprocess.run(
        [sys.executable, "-c", first + LIST], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == COMMANDS
