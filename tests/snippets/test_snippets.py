"""Every snippet of the guide runs, and chooses items that have no label yet.

The heavy ones: `uv run --group snippets pytest -m slow tests/snippets`.
"""

import ast
import json
import re
import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"
QUICK = ("scikit_learn", "pytorch", "timm_features", "label_studio", "cvat_tags")
HEAVY = ("lightning_loop", "hugging_face", "scikit_activeml", "ultralytics_loop")
MARK = "# labelgap:"
"""Above it stands the training that a user has already."""


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The snippet's names after it has run, in a folder of its own."""
    monkeypatch.chdir(folder)
    done = [{"image": f"photos/{i}.jpg", "label": ("cat", "dog", "owl")[i % 3]} for i in range(6)]
    (folder / "export.json").write_text(json.dumps(done))  # for Label Studio's
    tags = "".join(f'<image name="{d["image"]}"><tag label="{d["label"]}"/></image>' for d in done)
    (folder / "annotations.xml").write_text(f"<annotations>{tags}</annotations>")  # for CVAT's
    return runpy.run_path(str(DOCS / "snippets" / f"{name}.py"))


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY)]
)
def test_a_snippet_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run(name, tmp_path, monkeypatch)
    asked = names["asked"]
    ids = np.asarray(getattr(asked, "ids", asked))
    assert len(set(ids.tolist())) == len(ids) > 0
    if "labelled" in names and name != "scikit_learn":  # which adds what was asked for to it
        assert not np.isin(ids, np.asarray(names["labelled"])).any()
    if "score" in names:
        assert names["score"] > 0.75  # a model that learned from what was chosen; chance is 0.1
    if {"logits", "truth"} <= set(names):  # one that learned from its first labels
        learned = np.asarray(names["logits"]).argmax(axis=1) == np.asarray(names["truth"])
        assert learned.mean() > 0.5


def test_cvat_gets_a_guess_for_every_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run("cvat_tags", tmp_path, monkeypatch)
    written = ElementTree.parse(tmp_path / "next.xml").findall("image")
    assert [image.attrib["name"] for image in written] == list(names["asked"].ids)
    chances = dict(zip(names["images"], names["chances"].argmax(axis=1), strict=True))
    for number, image in enumerate(written):
        tag = image.find("tag")
        assert image.attrib["id"] == str(number)
        assert tag is not None
        assert tag.attrib["label"] == names["names"][chances[image.attrib["name"]]]


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
    assert names["view"].values("labelgap_rank") == [1, 2, 3, 4, 5]


def test_the_page_names_every_snippet() -> None:
    page = (DOCS / "guides" / "own-trainer.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\(\.\./snippets/(\w+)\.py\)", page))
    assert named == {file.stem for file in (DOCS / "snippets").glob("*.py")}
    assert named == {*QUICK, *HEAVY, "fiftyone_fields"}


def lines_of_code(text: str) -> int:
    """Lines below the mark, if there is one, less docstring, imports, comments and blank lines."""
    above = text[: text.index(MARK)].count("\n") if MARK in text else 0
    lines: set[int] = set()
    for statement in ast.parse(text).body[1:]:
        if not isinstance(statement, (ast.Import, ast.ImportFrom)):
            lines |= set(range(statement.lineno, (statement.end_lineno or 0) + 1))
    return sum(n > above and bool(text.splitlines()[n - 1].strip()) for n in lines)


@pytest.mark.parametrize("name", [*QUICK, *HEAVY, "fiftyone_fields"])
def test_a_snippet_has_ten_lines_at_most(name: str) -> None:
    text = (DOCS / "snippets" / f"{name}.py").read_text(encoding="utf-8")
    assert 0 < lines_of_code(text) <= 10


def test_lines_are_counted_as_people_count_them() -> None:
    text = '"""D."""\nimport x\n\na = 1\n\n# labelgap:\nb = (\n    2\n)\n# no\nfor i in b:\n\n    a'
    assert lines_of_code(text) == 5
    assert lines_of_code(text.replace(MARK, "# ")) == 6
