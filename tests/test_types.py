"""How much of what users import has types that their own checkers see.

`uv run --group types pytest -n 0 -m slow tests/test_types.py`; about two minutes.
"""

import json
import shutil
import subprocess
import sys

import pytest

LEAST = 0.95
"""Share of the public symbols whose types are complete, of this package alone."""


@pytest.mark.slow
def test_the_types_are_complete() -> None:
    assert shutil.which("node"), "pyright needs Node.js"
    command = [sys.executable, "-m", "pyright", "--verifytypes", "labelgap", "--ignoreexternal"]
    # Its status is 1 as soon as one symbol has no type.
    done = subprocess.run([*command, "--outputjson"], capture_output=True, text=True)
    found = json.loads(done.stdout)["typeCompleteness"]
    missing = [
        f"{symbol['name']}: {said['message'].splitlines()[0]}"
        for symbol in found["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
        for said in symbol["diagnostics"][:1]
    ]
    assert found["exportedSymbolCounts"]["withKnownType"] > 1000
    assert found["completenessScore"] >= LEAST, "\n".join(missing)
