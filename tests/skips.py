"""Nothing is skipped unseen: what may be skipped, why, and what brings it.

With CI=true a skip whose reason is not in `ALLOWED` fails the run and is named. Elsewhere the last
lines of a run name every part that was not tested, and the command that brings it. A test whose
package is missing is not skipped at all: the dev group holds the package, and its import fails.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

ALLOWED = {
    "no second device": ("agreement of two devices", "a machine with CUDA"),
    "LABEL_STUDIO_COMMAND": ("a real Label Studio", "see docs/label-studio.md"),
    "LABELGAP_TEST_DATA": (
        "the real CIFAR-10",
        "LABELGAP_TEST_DATA=FOLDER (with cifar10/train.parquet) uv run pytest",
    ),
    "dataset-fashion-mnist": ("the real Fashion-MNIST", "apt-get install dataset-fashion-mnist"),
    "forbids mounting": ("a disk that is full", "run as root where mounting is allowed"),
    "no address but its own": ("the page from another machine", "a network"),
    "SKACTIVEML_SOURCE": (
        "scikit-activeml's own template tests",
        "see tests/snippets/test_skactive.py",
    ),
    "no MongoDB": (
        "FiftyOne's fields",
        "a MongoDB that FiftyOne can start: the group `snippets` has one for Linux",
    ),
    "on this system": ("what only Linux has", "a machine with Linux"),
}
"""Part of a skip's reason: the part that is not tested, and what brings it. CI may lack these."""

REFUSED = {
    "Chromium": ("the page in a browser", "apt-get install chromium chromium-driver"),
}
"""The same of what CI is to have."""


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # xdist's workers send their reports to the one process
        config.pluginmanager.register(Skips(), "skips of the whole run")


class Skips:
    """Every skip of the run, whichever process it was in."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        """The test, or the module that skips itself, and the reason."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def _note(self, report: Any) -> None:
        if report.skipped:
            # An expected failure is a skip too, and has no place and reason.
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "xfail"
            self.seen.append((report.nodeid, reason.removeprefix("Skipped: ")))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        yield  # what pytest itself says comes first
        say = session.config.get_terminal_writer().line
        parts: dict[tuple[str, str], int] = {}
        unknown = [(test, reason) for test, reason in self.seen if not _known(reason, ALLOWED)]
        for test, reason in self.seen:
            part = _known(reason, ALLOWED | REFUSED) or (test, reason)
            parts[part] = parts.get(part, 0) + 1
        for (part, bring), count in parts.items():
            say(f"Not tested: {part} ({count} skipped). What brings it: {bring}")
        if unknown and os.environ.get("CI") == "true":
            for test, reason in unknown:
                say(f"CI has no reason to skip {test}: {reason}", red=True)
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def _known(reason: str, table: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    return next((part for words, part in table.items() if words in reason), None)
