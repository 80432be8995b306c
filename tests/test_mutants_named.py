"""The tests that `tests/mutants.py` names for each package are there."""

import ast
from pathlib import Path

HERE = Path(__file__).parent


def test_every_test_file_that_is_named_for_a_package_is_there() -> None:
    # Read, not imported: its tools are installed for mutation testing alone.
    wanted = {"_numeric", "_session", "TESTS"}
    body = [
        node
        for node in ast.parse((HERE / "mutants.py").read_text(encoding="utf-8")).body
        if getattr(node, "name", "") in wanted
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in wanted)
    ]
    scope: dict[str, dict[str, list[str]]] = {}
    exec(compile(ast.Module(body, []), "mutants.py", "exec"), scope)
    files = [file for files in scope["TESTS"].values() for file in files]
    assert len(files) > 50
    assert [file for file in files if not (HERE.parent / file).is_file()] == []
    packages = [HERE.parent / "src" / "labelgap" / package for package in scope["TESTS"]]
    assert all(package.is_dir() for package in packages)
