"""A name belongs to the place that registered it first."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from labelgap.axes.registry import METHODS, TABLES, NameTaken
from labelgap.core import names
from labelgap.core.errors import ConfigError
from labelgap.loop import own

CELL = """
from labelgap.axes import Acquisition, acquisition, method

@acquisition({name!r})
class Mine(Acquisition):
    '''Cell {number}.'''

    def select(self, view, n):
        raise NotImplementedError

method({name!r}, "cross-entropy", {name!r}, title="Cell {number}", citation="")
"""


def run_cell(name: str, number: int, module: str = "__main__") -> None:
    """A notebook's cell: each run has a file name of its own."""
    text = CELL.format(name=name, number=number)
    exec(compile(text, f"/tmp/ipykernel/{number}.py", "exec"), {"__name__": module})


def test_a_second_registration_is_refused_and_names_both_places(forget: None) -> None:
    run_cell("mine", 1)
    first = dict(TABLES["acquisition"])
    with pytest.raises(NameTaken) as told:
        run_cell("mine", 2, "other")
    assert "other (/tmp/ipykernel/2.py, line 4) registers the acquisition 'mine'" in str(told.value)
    assert "that of __main__ (/tmp/ipykernel/1.py, line 4)" in str(told.value)
    assert TABLES["acquisition"] == first


def test_a_method_too(forget: None) -> None:
    run_cell("mine", 1)
    again = (
        'from labelgap.axes import method\nmethod("mine", "daal", "daal", title="", citation="")'
    )
    with pytest.raises(NameTaken, match=r"other \(a.py, line 2\) registers the method 'mine'"):
        exec(compile(again, "a.py", "exec"), {"__name__": "other"})
    assert METHODS["mine"].title == "Cell 1"


def test_running_a_cell_again_replaces_what_it_registered(forget: None) -> None:
    run_cell("mine", 1)
    run_cell("mine", 2)
    assert TABLES["acquisition"]["mine"].__doc__ == "Cell 2."
    assert METHODS["mine"].title == "Cell 2"


def test_reloading_a_module_replaces_what_it_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: None
) -> None:
    (tmp_path / "reloaded_method.py").write_text(CELL.format(name="mine", number=1))
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("reloaded_method")
    before = TABLES["acquisition"]["mine"]
    importlib.reload(module)
    assert TABLES["acquisition"]["mine"] is not before


def test_another_class_of_the_same_module_is_another_place(forget: None) -> None:
    run_cell("mine", 1)
    other = CELL.format(name="mine", number=2).replace("class Mine", "class Other")
    with pytest.raises(NameTaken):
        exec(compile(other, "b.py", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("kind", sorted(TABLES))
def test_the_built_in_names_are_known_without_importing_them(kind: str) -> None:
    known = names.built_in_places(kind)
    assert known.keys() == {n for n, made in TABLES[kind].items() if not own.is_own(kind, n)}
    for name, place in known.items():
        assert (place.module, place.of) == (TABLES[kind][name].place.module, place.of)
        assert place.again(TABLES[kind][name].place)


def test_a_built_in_name_is_refused_before_the_built_in_methods_are_imported(
    tmp_path: Path,
) -> None:
    """At once, in the notebook's own cell: a later import would have replaced it silently."""
    script = tmp_path / "notebook.py"
    script.write_text(
        "import sys\n"
        "from labelgap.axes import Acquisition, acquisition\n"
        "assert 'labelgap.methods' not in sys.modules\n"
        "@acquisition('margin')\n"
        "class Mine(Acquisition):\n"
        "    def select(self, view, n): ...\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert f"__main__ ({script}, line 4) registers the acquisition 'margin'" in done.stderr
    assert "built-in: labelgap.methods.uncertainty" in done.stderr


def test_an_edited_file_keeps_what_it_no_longer_registers(tmp_path: Path, forget: None) -> None:
    file = tmp_path / "mine.py"
    one, two = CELL.format(name="one", number=1), CELL.format(name="two", number=1)
    file.write_text(one + two)
    assert [m.name for m in own.load_methods(file)] == ["one", "two"]
    file.write_text(one.replace("class Mine", "class Renamed"))
    assert [m.name for m in own.load_methods(file)] == ["one"]
    assert TABLES["acquisition"]["one"].__name__ == "Renamed"
    assert "two" in METHODS
    file.write_text("1 / 0")
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        own.load_methods(file)
    assert TABLES["acquisition"]["one"].__name__ == "Renamed"
