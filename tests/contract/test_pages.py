"""Every method has a page: its snippet runs, and every option is on it."""

import re
from pathlib import Path

import pytest

from labelgap.axes.registry import tables_of
from labelgap.methods import ACQUISITIONS, METHODS, OBJECTIVES

PAGES = Path(__file__).parents[2] / "docs" / "methods"


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_snippet_runs(name: str) -> None:
    snippets = re.findall(r"```python\n(.*?)```", page(name), re.DOTALL)
    assert snippets, f"docs/methods/{name}.md shows no use"
    for snippet in snippets:
        assert len(snippet.splitlines()) <= 14
        exec(compile(snippet, f"{name}.md", "exec"), {})


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_option_is_documented(name: str) -> None:
    text, method = page(name), METHODS[name]
    options: set[str] = set()
    for cls in (OBJECTIVES[method.objective], ACQUISITIONS[method.acquisition]):
        options |= cls.Options.model_fields.keys() - tables_of(cls).keys()
        for model in tables_of(cls).values():
            options |= set(model.model_fields)
    # A key is named alone or by its whole path.
    named = {key.rpartition(".")[2] for key in re.findall(r"`([a-z_.0-9]+)`", text)}
    missing = sorted(options - named)
    assert not missing, f"docs/methods/{name}.md does not name {missing}"
