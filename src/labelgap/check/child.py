"""The process in which a user's file is checked: `python -m labelgap.check.child FILE`.

Reads a token from its input, runs every check of every method that the file registers, and writes
one signed record for each (see `file`). What the file prints goes to the error stream.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labelgap.check.contract import CONTRACTS, run_contract
from labelgap.check.file import sign
from labelgap.check.guard import Guard
from labelgap.core.device import set_threads
from labelgap.core.errors import LabelgapError
from labelgap.core.wording import plain
from labelgap.loop.own import load_methods


def main(file: Path) -> None:
    """Check a file and write the records."""
    write = _writer(bytes.fromhex(sys.stdin.readline().strip()))
    set_threads(1)  # the cases are tiny
    with Guard({"CONTRACTS": CONTRACTS}) as guard:
        try:
            methods = load_methods(file)
        except LabelgapError as error:
            write({"refused": plain(f"{error.cause} {error.cure}".strip())})
            return
        problems = guard.problems()
        if problems:
            write({"refused": f"{file.name} {'; '.join(problems)}, when it is imported."})
            return
        write({"methods": [m.name for m in methods]})
        for entry in methods:
            write({"method": entry.name, "pair": f"{entry.objective} × {entry.acquisition}"})
            for sentence, problem in run_contract(entry, guard):
                write({"sentence": sentence, "problem": problem})
        write({"end": True})


def _writer(token: bytes) -> Callable[[dict[str, Any]], None]:
    """Records go to what was the standard output; from now on that is the error stream."""
    records = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdin.close()
    place = 0

    def write(record: dict[str, Any]) -> None:
        nonlocal place
        records.write(sign(token, place, record) + "\n")
        records.flush()
        place += 1

    return write


if __name__ == "__main__":
    main(Path(sys.argv[1]))
