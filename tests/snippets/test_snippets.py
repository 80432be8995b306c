"""Every snippet of the guide runs, and chooses items that have no label yet.

The heavy ones: `uv run --group snippets pytest -m slow tests/snippets`.
"""

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"
QUICK = ("scikit_learn", "pytorch", "timm_features", "label_studio")
HEAVY = ("lightning_loop", "hugging_face", "scikit_activeml", "ultralytics_loop")


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The snippet's names after it has run, in a folder of its own."""
    monkeypatch.chdir(folder)
    return runpy.run_path(str(DOCS / "snippets" / f"{name}.py"))


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY)]
)
def test_a_snippet_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run(name, tmp_path, monkeypatch)
    asked = names["asked"]
    ids = np.asarray(getattr(asked, "ids", asked))
    assert len(set(ids.tolist())) == len(ids) > 0
    if "labelled" in names and name not in QUICK:  # the others add what was asked for to it
        assert not np.isin(ids, np.asarray(names["labelled"])).any()
    if "score" in names:
        assert names["score"] > 0.75  # a model that learned from what was chosen; chance is 0.1


@pytest.mark.slow
def test_fiftyone_gets_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fiftyone.core.config import FiftyOneConfigError

    monkeypatch.setenv("FIFTYONE_DO_NOT_TRACK", "1")
    try:
        names = run("fiftyone_fields", tmp_path, monkeypatch)
    except FiftyOneConfigError as error:
        pytest.skip(f"FiftyOne has no MongoDB here: {error}")
    assert names["view"].values("id") == list(names["asked"].ids)
    assert names["view"].values("labelgap_why") == list(names["asked"].reasons)


def test_the_page_names_every_snippet() -> None:
    page = (DOCS / "guides" / "own-trainer.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\(\.\./snippets/(\w+)\.py\)", page))
    assert named == {file.stem for file in (DOCS / "snippets").glob("*.py")}
    assert named == {*QUICK, *HEAVY, "fiftyone_fields"}
