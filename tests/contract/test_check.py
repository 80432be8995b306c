"""`labelgap check` can't be fooled: nothing checked, ended early or tampered with is a failure.

`ENDED` and `CHEATS` are tables of (what the file does, its code, the reason that is told).
"""

import textwrap
from pathlib import Path

import pytest
from console import call
from hypothesis import given
from hypothesis import strategies as st

from labelgap.check.contract import CONTRACTS, run_contract
from labelgap.check.file import Told, check_file, sign
from labelgap.check.guard import Guard
from labelgap.core.errors import ConfigError
from labelgap.loop.own import load_methods

HEAD = """
import sys, os, threading
import numpy as np
import torch
from labelgap import Acquisition, Query
from labelgap.methods import acquisition, method

@acquisition("mine")
class Mine(Acquisition):
    '''The first.'''
    needs = frozenset({"logits"})
    def select(self, view, n):
        logits = view.candidates("logits")
        BODY
        return Query(np.sort(view.candidate_ids)[:n])

method("mine", "cross-entropy", "mine", title="Mine", citation="mine")
"""


def written(folder: Path, body: str = "pass", after: str = "") -> Path:
    file = folder / "mine.py"
    file.write_text(HEAD.replace("BODY", body) + textwrap.dedent(after))
    return file


ENDED = [
    ("ends the program at import", "", "sys.exit(0)", "SystemExit: 0"),
    ("ends the process at import", "", "os._exit(0)", "Nothing was checked. "),
    ("ends the process in a query", "os._exit(0)", "",
     f"{len(CONTRACTS)} of {len(CONTRACTS)} checks were not made"),
    ("dies of a signal", "os.kill(os.getpid(), 11)", "", "died of signal 11"),
    ("registers a method twice", "",
     'method("mine", "cross-entropy", "margin", title="t", citation="c")', "registers the method"),
    ("registers nothing", "", "from labelgap.axes.registry import METHODS; METHODS.pop('mine')",
     "registers no method"),
    ("removes the checks", "",
     "from labelgap.check import contract; contract.CONTRACTS.clear()", "replaces what checks it"),
    ("replaces a check", "",
     "from labelgap.check import contract; contract._select = lambda *a: 0",
     "replaces what checks it: labelgap.check.contract._select"),
    ("replaces what a check calls", "", "torch.equal = lambda *a: True",
     "replaces what checks it: torch.equal"),
    ("replaces a session's verb", "",
     "from labelgap import Session; Session.ask = lambda *a: None",
     "labelgap.session.session.Session.ask"),
    ("starts a thread at import", "",
     "threading.Thread(target=threading.Event().wait, daemon=True, name='mine').start()",
     "leaves threads running: mine"),
]  # fmt: skip


VARIANTS = {"ends the process at import", "dies of a signal", "registers nothing",
            "replaces what a check calls"}  # fmt: skip
"""Seconds each, and near to another of the table."""


@pytest.mark.parametrize(
    ("what", "body", "after", "reason"),
    [pytest.param(*c, id=c[0], marks=[pytest.mark.slow] * (c[0] in VARIANTS)) for c in ENDED],
)
def test_what_ends_or_tampers_is_no_success(tmp_path, capsys, what, body, after, reason):
    status, said = call(capsys, "check", str(written(tmp_path, body or "pass", after)))
    assert status == 1
    said = " ".join(said.split())
    assert reason in said
    assert "Not all was checked, so it counts as failed." in said


CHEATS = [
    ("sys.exit in a query", "sys.exit(0)",
     "it ends the program (sys.exit(0)); raise an error instead"),
    ("threads that stay", "threading.Thread(target=threading.Event().wait, daemon=True).start()",
     "leaves threads running"),
    ("a thread that fails",
     "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
     "a thread of its own died of ZeroDivisionError"),
    ("writes into an array", "view.candidates('logits').zero_()",
     "the query changed candidates('logits') of the view"),
    ("writes into the ids", "view.candidate_ids[::-1].sort()",
     "the query changed candidate_ids of the view"),
    ("replaces an array", "view._labelled = {}",
     "the query changed labelled('logits') of the view"),
    ("writes into the labels", "view.labels[:] = 0", "the query changed labels of the view"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "body", "reason"), CHEATS, ids=[c[0] for c in CHEATS])
def test_what_a_query_may_not_do_is_found(tmp_path, forget, what, body, reason):
    with Guard({"CONTRACTS": CONTRACTS}) as guard:
        (made,) = load_methods(written(tmp_path, body))
        outcome = run_contract(made, guard)
        problems = []
        for sentence, problem in outcome:
            problems.append(problem)
            if "leaves the view" in sentence:
                break  # what follows takes most of the time
    assert reason in "\n".join(problems)


def test_a_method_that_replaces_a_check_while_it_is_asked_is_found(tmp_path, forget):
    body = "import labelgap.check.contract as c; c.weights_hash = lambda network: 0"
    from labelgap.check import contract

    kept = contract.weights_hash
    try:
        with Guard() as guard:
            (made,) = load_methods(written(tmp_path, body))
            _, problem = next(run_contract(made, guard))
        assert problem == "replaces what checks it: labelgap.check.contract.weights_hash"
    finally:
        contract.weights_hash = kept


def test_a_right_file_has_a_record_of_every_check_and_nothing_else(tmp_path, capfd):
    told = list(check_file(written(tmp_path, "print('noise')"), list(CONTRACTS)))
    assert told[0] == Told("method", "mine: cross-entropy × mine")
    assert told[1:] == [Told("check", sentence) for sentence in CONTRACTS]
    out, err = capfd.readouterr()
    assert "noise" in err  # what a method prints can't be taken for a record
    assert not out


def test_forged_records_count_for_nothing(tmp_path):
    """A file that writes what the process would have written, without knowing the token."""
    forged = [{"methods": ["mine"]}, {"method": "mine", "pair": ""}, {"end": True}]
    lines = "".join(sign(b"guess", i, record) + "\n" for i, record in enumerate(forged))
    after = f"""
    for descriptor in range(1, 20):
        try:
            os.write(descriptor, {lines.encode()!r})
        except OSError:
            pass
    os._exit(0)
    """
    *_, last = check_file(written(tmp_path, after=after), list(CONTRACTS))
    assert (last.kind, "Nothing was checked" in last.problem) == ("file", True)


@pytest.mark.slow
def test_a_file_that_hangs_is_ended(tmp_path):
    file = written(tmp_path, after="threading.Event().wait()")
    (told,) = check_file(file, list(CONTRACTS), patience=20.0)
    assert "was killed: out of time" in told.problem


def test_no_checks_are_no_success(tmp_path):
    """As if the list of checks had been emptied on this side."""
    *_, last = check_file(written(tmp_path, "sys.exit(1)"), [])
    assert "Nothing was checked" in last.problem


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        next(check_file(tmp_path / "mine.py", list(CONTRACTS)))


@given(st.binary(min_size=1), st.integers(0, 99), st.text(), st.text())
def test_a_signature_is_of_one_token_place_and_record(token, place, one, other):
    record = {"sentence": one, "problem": other}
    line = sign(token, place, record)
    assert line == sign(token, place, dict(record))
    assert "\n" not in line
    assert line.split(" ")[0] != sign(token, place + 1, record).split(" ")[0]
    assert line.split(" ")[0] != sign(token + b"x", place, record).split(" ")[0]
