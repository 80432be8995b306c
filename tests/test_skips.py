"""The policy of skips, on small suites of their own: what fails, what is named, in what words."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

SUITE = {
    "test_given.py": """
        import pytest
        def test_passes(): pass
        @pytest.mark.skipif(True, reason="LABELGAP_TEST_DATA is not set")
        def test_real_data(): pass
    """,
    "test_browser.py": """
        import pytest
        pytestmark = pytest.mark.skipif(True, reason="no Chromium with its driver is installed")
        def test_one(): pass
        def test_two(): pass
    """,
    "test_module.py": """
        import pytest
        pytest.importorskip("a_package_that_is_not_there")
    """,
    "test_inside.py": """
        import pytest
        @pytest.fixture
        def tired(): pytest.skip("too tired")
        def test_fixture(tired): pass
    """,
}


def run(folder: Path, files: Iterable[str], ci: bool, workers: int = 2) -> tuple[int, list[str]]:
    """Exit status and lines of a run of these files of the suite, with nothing else around it."""
    for name in files:
        lines = SUITE[name].splitlines()
        (folder / name).write_text("\n".join(line.removeprefix(8 * " ") for line in lines))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CI", "PYTEST"))}
    environment |= {"PYTHONPATH": str(Path(__file__).parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "xdist",
        "-n",
        str(workers),
        "-p",
        "skips",
    ]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder), *files],
        cwd=folder,
        env=environment | ({"CI": "true"} if ci else {}),
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.splitlines()


def test_a_listed_reason_passes_and_is_told(tmp_path: Path) -> None:
    status, said = run(tmp_path, ["test_given.py"], ci=True)
    assert status == 0, said
    assert said[-1].startswith("Not tested: the real CIFAR-10 (1 skipped). What brings it: ")
    assert "LABELGAP_TEST_DATA=FOLDER" in said[-1]


@pytest.mark.parametrize("workers", [0, 2])
def test_any_other_skip_fails_ci_and_is_named(tmp_path: Path, workers: int) -> None:
    status, said = run(tmp_path, SUITE, ci=True, workers=workers)
    assert status == 1, said
    named = [line for line in said if line.startswith("CI has no reason to skip ")]
    assert said[-4:] == named
    for test, reason in (
        ("test_browser.py::test_one", "no Chromium with its driver is installed"),
        ("test_browser.py::test_two", "no Chromium with its driver is installed"),
        ("test_module.py", "could not import 'a_package_that_is_not_there'"),
        ("test_inside.py::test_fixture", "too tired"),
    ):
        assert any(f"skip {test}: {reason}" in line for line in named), (test, named)


def test_elsewhere_parts_are_told_in_words_with_what_brings_them(tmp_path: Path) -> None:
    status, said = run(tmp_path, SUITE, ci=False)
    assert status == 0, said
    told = [line for line in said if line.startswith("Not tested: ")]
    assert said[-4:] == told
    assert (
        "Not tested: the page in a browser (2 skipped). "
        "What brings it: apt-get install chromium chromium-driver"
    ) in told
    assert any("test_module.py (1 skipped)" in line for line in told)
