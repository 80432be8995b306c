"""The state of labelgap's own code, as results record it."""

import shutil
from pathlib import Path

import pytest

from labelgap.session import claim as folder


def state(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(folder, "__file__", str(root / "session" / "claim.py"))
    return folder.source.__wrapped__()


def test_it_follows_what_computes_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = folder.source()
    copy = tmp_path / "labelgap"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(folder.__file__).parents[1], copy, ignore=ignore)
    assert state(copy, monkeypatch) == here
    with (copy / "report" / "style.py").open("a") as file:
        file.write("# another colour\n")
    assert state(copy, monkeypatch) == here
    with (copy / "select" / "kmeans.py").open("a") as file:
        file.write("# another sum\n")
    assert state(copy, monkeypatch) != here
