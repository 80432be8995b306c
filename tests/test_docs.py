"""README and the pages of the site: short, complete, and every snippet of Python runs."""

import importlib.util
import inspect
import json
import re
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import labelgap
from labelgap.methods import METHODS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
HELD_ELSEWHERE = {"own-method.md"}  # tests/cli/test_own.py runs its snippets as files
PAGES = [README, *sorted(p for p in (ROOT / "docs").rglob("*.md") if p.parent.name != "methods")]
SNIPPETS = [
    pytest.param(snippet, id=f"{page.name}-{number}")
    for page in PAGES
    if page.name not in HELD_ELSEWHERE
    for number, snippet in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    )
]


def tool(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of `tools/` as a module."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_the_snippet_runs(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "snippet", "exec"), {"__name__": "snippet"})


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "docs/guides/notebook.ipynb").read_text("utf-8"))
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert cells
    assert not any(c.get("outputs") for c in notebook["cells"]), "outputs are made by tools/site.py"
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, "notebook", "exec"), names)


def test_readme_is_short() -> None:
    lines = README.read_text("utf-8").splitlines()
    assert len(lines) < 80
    assert not [line for line in lines if len(line) > 120]


def test_every_method_is_on_the_page_of_methods() -> None:
    page = (ROOT / "docs/methods.md").read_text("utf-8")
    assert set(re.findall(r"\]\(methods/(.+?)\.md\)", page)) == set(METHODS)


def test_every_method_has_a_figure_but_what_learns_from_crops() -> None:
    pages = {file.stem: file.read_text("utf-8") for file in (ROOT / "docs/methods").glob("*.md")}
    shown = {name for name, text in pages.items() if f"](figures/{name}.png)" in text}
    assert shown == set(METHODS) - {"fixmatch"}
    assert shown == {file.stem for file in (ROOT / "docs/methods/figures").glob("*.png")}


def test_every_page_in_the_navigation_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    site = tool("site", monkeypatch)
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    wanted = re.findall(r"^ +- .+: (\S+\.md)$", nav, re.MULTILINE)
    places = {site.place(name) for name in site.files()}
    assert len(wanted) > 15
    assert not set(wanted) - places
    pages = {f"methods/{file.name}" for file in (ROOT / "docs/methods").glob("*.md")}
    assert not pages - set(wanted)
    guides = {site.place(f"docs/guides/{f.name}") for f in (ROOT / "docs/guides").iterdir()}
    assert not guides - set(wanted)


def test_an_entry_of_a_docstring_keeps_its_words_on_the_site(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = tool("docstrings", monkeypatch).parsed(inspect.getdoc(labelgap.choose) or "")
    assert "\nseed\n    equal calls with equal seeds choose the same." in text
    assert "\nlogits, probabilities\n    [N, K], one of them" in text
    assert "\nReturns\n-------\n:\n    n distinct ids" in text
    assert "\nDeviceError\n    an array on a GPU.\n" in text
    assert "([gap](methods/gap.md))" in text
    assert not re.search(r"^\w+: ", text.partition("\nParameters\n")[2], re.MULTILINE)


def test_links_lead_on_from_where_a_page_stands_on_the_site(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = tool("site", monkeypatch)
    names = ["README.md", "docs/a.md", "docs/guides/b.md", "benchmarks/r/c.md", "docs/p.png"]
    places = {name: site.place(name) for name in names}
    text = (
        "[b](guides/b.md#part) ![p](p.png) [c](../benchmarks/r/c.md) [home](../README.md) "
        "[web](https://x.org) [here](#a) [a script](../tools/x.py) [x `y`](../src/y)\n"
        "```\n[not](a/link.md)\n```\n"
        "float32 [2, 2]; and `x[2, 2]`"
    )
    assert site.led("docs/a.md", text, places) == (
        "[b](guides/b.md#part) ![p](p.png) [c](benchmarks/r/c.md) [home](index.md) "
        "[web](https://x.org) [here](#a) a script (`tools/x.py`) x `y` (`src/y`)\n"
        "```\n[not](a/link.md)\n```\n"
        "float32 \\[2, 2\\]; and `x[2, 2]`"
    )
    up = site.led("docs/guides/b.md", "[c](../../benchmarks/r/c.md) [a](../a.md)", places)
    assert up == "[c](../benchmarks/r/c.md) [a](../a.md)"
    assert site.led("benchmarks/r/c.md", "[a](../../docs/a.md)", places) == "[a](../../a.md)"


def test_the_matrix_has_every_python_with_every_choice_of_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    matrix = tool("matrix", monkeypatch)
    cells = matrix.cells(["3.11", "3.14"], matrix.RESOLUTIONS, ["hf"], None)
    assert [str(c) for c in cells] == [
        "Python 3.11, lowest-direct [hf]", "Python 3.11, highest [hf]",
        "Python 3.14, lowest-direct [hf]", "Python 3.14, highest [hf]",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_the_wheel_works_without_the_clone(
    resolution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tool("matrix", monkeypatch).main(["--resolution", resolution]) == 0


def test_a_snippet_stands_on_the_page_that_links_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    site = tool("site", monkeypatch)
    name = "docs/guides/own-trainer.md"
    page = site.led(name, (ROOT / name).read_text("utf-8"), {name: "guides/own-trainer.md"})
    for file in sorted((ROOT / "docs/snippets").glob("*.py")):
        assert file.read_text("utf-8").rstrip() in page
        assert f"[{file.name}](#{file.stem})" in page
        assert f"{{ #{file.stem} }}" in page


def test_the_lowest_versions_are_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a wheel's needs alone a resolver takes the newest, whatever it is told."""
    matrix = tool("matrix", monkeypatch)
    wheel = tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(
            "a-1.dist-info/METADATA",
            "Metadata-Version: 2.4\nName: a\nVersion: 1\nRequires-Dist: torch>=2.6\n"
            "Requires-Dist: old>=1; python_version < '3'\n"
            "Requires-Dist: ray>=2.51; extra == 'ray'\nRequires-Dist: b>=3; extra == 'hf'\n",
        )
    assert matrix.needs(wheel, []) == ["torch>=2.6"]
    assert matrix.needs(wheel, ["ray"]) == ["torch>=2.6", "ray>=2.51"]
