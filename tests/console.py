"""The command line, called in this process."""

import sys

import pytest

from labelgap.cli import main


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit status and everything printed, white space folded."""
    status = 0
    old, sys.argv = sys.argv, ["labelgap", *arguments]
    try:
        main()
    except SystemExit as stop:
        status = int(stop.code or 0)
    finally:
        sys.argv = old
    out = capsys.readouterr()
    return status, " ".join((out.out + out.err).split())
