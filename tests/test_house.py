"""The house: small files, and a map that is true."""

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = 350


def test_no_file_of_the_package_is_long() -> None:
    package = ROOT / "src" / "labelgap"
    files = [f for kind in ("*.py", "*.js") for f in package.rglob(kind)]
    long = {
        f.relative_to(ROOT).as_posix(): n
        for f in files
        if (n := len(f.read_text(encoding="utf-8").splitlines())) > LINES
    }
    assert files
    assert not long, f"over {LINES} lines, each with more than one idea: {long}"


def test_the_drawn_floors_are_those_that_the_imports_keep() -> None:
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    layers = contract["importlinter:contract:floors"]["layers"].split("\n")
    kept = [sorted(re.findall(r"\w+", layer)) for layer in layers if layer]
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = [
        sorted(re.findall(r"`(\w+)/`", row.split("|")[2]))
        for row in page.splitlines()
        if re.match(r"\| \d+ \|", row)
    ]
    assert drawn == kept, "docs/architecture.md and .importlinter draw different houses"
    rooms = {p.name for p in (ROOT / "src" / "labelgap").iterdir() if (p / "__init__.py").exists()}
    assert {room for floor in kept for room in floor} == rooms
