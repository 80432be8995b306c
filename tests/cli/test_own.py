"""A user's own method, network and data set, as docs/own-method.md shows them."""

import re
from pathlib import Path

import numpy as np
import pytest
from console import call

from labelgap.check.contract import run_contract
from labelgap.core.errors import ConfigError
from labelgap.loop.oracle import Oracle
from labelgap.loop.own import load_methods
from labelgap.session.session import Session

PAGE = Path(__file__).parents[2] / "docs" / "own-method.md"


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_documented_method_keeps_every_contract(tmp_path: Path, forget: None) -> None:
    file = tmp_path / "mine.py"
    file.write_text(snippets()[0])
    (made,) = load_methods(file)
    assert made.name == "logit-norm"
    broken = {sentence: problem for sentence, problem in run_contract(made) if problem}
    assert not broken


def test_the_documented_objective_keeps_every_contract(tmp_path: Path, forget: None) -> None:
    file = tmp_path / "confidence.py"
    file.write_text(snippets()[1])
    (made,) = load_methods(file)
    broken = {sentence: problem for sentence, problem in run_contract(made) if problem}
    assert not broken


@pytest.mark.parametrize(
    "old",
    [
        "    outputs = frozenset({'confidence'})",
        "    def output(self, name, network, modules, x, known):\n        return known['logits']",
    ],
)
def test_an_objective_of_the_form_before_is_told_what_to_write(
    old: str, tmp_path: Path, forget: None
) -> None:
    file = tmp_path / "old.py"
    file.write_text(snippets()[1].replace('    provides = {"confidence": confidence}', old))
    with pytest.raises(ConfigError, match=r"(?s)Confidence .*provides = .*own-method.md"):
        load_methods(file)


def test_a_method_that_cheats_is_caught(tmp_path: Path, forget: None) -> None:
    file = tmp_path / "bad.py"
    file.write_text(
        snippets()[0]
        .replace("logit-norm", "first")
        .replace(
            'return top_query(view, n, -view.candidates("logits").norm(dim=1), "shortness")',
            "import numpy as np\n        from labelgap.core.types import Query\n"
            "        return Query(np.random.choice(view.candidate_ids, n, replace=True))",
        )
    )
    (made,) = load_methods(file)
    broken = [sentence for sentence, problem in run_contract(made) if problem]
    assert any("distinct" in sentence for sentence in broken)
    assert any("outside a stream" in sentence for sentence in broken)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1 / 0\n", "ZeroDivisionError.*line 1"),
        ("x = 1\n", "registers no method"),
        (
            "from labelgap.axes.registry import method\n"
            "method('margin', 'cross-entropy', 'margin', title='', citation='')\n",
            "built-in",
        ),
    ],
)
def test_a_file_that_is_no_method(text: str, message: str, tmp_path: Path, forget: None) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_methods(file)


def test_the_documented_network_and_data_set_run(forget: None) -> None:
    space: dict[str, object] = {}
    exec(snippets()[2], space)
    session = space["session"]
    assert isinstance(session, Session)
    session.tell(Oracle(session.task).answer(session.ask(30)))
    session.fit()
    assert type(session.training.network).__name__ == "Linear"
    assert len(session.ask(10)) == 10
    exec(snippets()[3], space)
    mine, p = space["session"], space["p"]
    assert isinstance(mine, Session)
    assert isinstance(p, np.ndarray)
    assert p.shape == (50, 2)
    assert np.allclose(p.sum(axis=1), 1, atol=1e-5)
    assert len(mine.ask(5)) == 5


def test_ids_in_place_of_a_query_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], forget: None
) -> None:
    file = tmp_path / "bare.py"
    file.write_text(
        "from labelgap.axes.registry import Acquisition, acquisition, method\n"
        "@acquisition('bare')\n"
        "class Bare(Acquisition):\n"
        "    '''Ids and nothing else.'''\n"
        "    def select(self, view, n):\n"
        "        return view.candidate_ids[:n]\n"
        "method('bare', 'cross-entropy', 'bare', title='Bare', citation='mine')\n"
    )
    words = ["run", "--method", str(file), "--out", str(tmp_path / "run"), "--rounds", "1"]
    words += ["--steps", "2", "--threads", "1", "--set", "network.width=4"]
    status, text = call(capsys, *words)
    assert status == 2
    assert "'bare' returned a ndarray" in text
    assert "Query(ids)" in text
