"""The checks of a user's file, run in a process of their own.

The file's code may end its process, hang, or print what it likes. So what counts is not how that
process ended: it is a record of every check of every method by name, each signed with a token that
the process was given before it ran the file. A record that is missing is a failure.
"""

import hashlib
import hmac
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from labelgap.core.errors import ConfigError

PATIENCE = 900.0
"""Seconds that one check may take. The slowest, of a fault at any event, takes a minute."""


@dataclass(frozen=True)
class Told:
    """One thing that the run of the checks has to tell.

    Attributes
    ----------
    kind: "method" begins the checks of one; "check" is the outcome of one of its checks; "file" is
        something about the file as a whole.
    name: the method's name and its pair, or the sentence of the check.
    problem: what went wrong; "" where nothing did.
    """

    kind: Literal["method", "check", "file"]
    name: str
    problem: str = ""


def sign(token: bytes, place: int, record: dict[str, Any]) -> str:
    """A line that says the record, and that who wrote it at this place knew the token."""
    text = json.dumps(record, ensure_ascii=True)
    return f"{hmac.new(token, f'{place} {text}'.encode(), hashlib.sha256).hexdigest()} {text}"


def check_file(file: Path, sentences: Sequence[str], patience: float = PATIENCE) -> Iterator[Told]:
    """Check every method that a file registers, and tell as it goes.

    Parameters
    ----------
    sentences: names of the checks that each method must have a record of.
    patience: seconds without a record after which the file counts as hanging.

    The last thing told has the kind "file" and a problem wherever something is missing: no method,
    a check without a record, a process that ended before it had said all. A file all of whose
    checks were made and held gives none of that kind.

    Raises
    ------
    ConfigError: there is no such file.
    """
    if not file.is_file():
        raise ConfigError(f"The file {str(file)!r} of a method does not exist.", "Check the path.")
    token = secrets.token_bytes(32)
    started: dict[str, Any] = {"start_new_session": True} if os.name == "posix" else {}
    # -P: the folder of the caller is not where modules come from.
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "labelgap.check.child", str(file.resolve())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", **started,
    )  # fmt: skip
    try:
        yield from _read(child, token, list(sentences), patience)
    finally:
        _end(child)
        for stream in (child.stdin, child.stdout):
            assert stream
            stream.close()


def _read(
    child: "subprocess.Popen[str]", token: bytes, sentences: list[str], patience: float
) -> Iterator[Told]:
    assert child.stdin
    with suppress(BrokenPipeError):  # it is gone already; its status says so below
        child.stdin.write(token.hex() + "\n")
        child.stdin.close()
    wanted: dict[str, list[str]] = {}
    listed, ended, at = False, False, ""
    for record in _records(child, token, patience):
        if "methods" in record:
            listed = True
            wanted = {name: list(sentences) for name in record["methods"]}
        elif "method" in record:
            at = record["method"]
            yield Told("method", f"{at}: {record['pair']}")
        elif "sentence" in record:
            if record["sentence"] in wanted.get(at, []):
                wanted[at].remove(record["sentence"])
            yield Told("check", record["sentence"], record["problem"])
        elif "refused" in record:
            yield Told("file", "the file", record["refused"])
            return
        else:
            ended = True
    missing = [(name, sentence) for name, left in wanted.items() for sentence in left]
    how = _how_it_ended(child, ended)
    if missing:
        name, sentence = missing[0]
        yield Told(
            "file", "the run",
            f"{len(missing)} of {len(wanted) * len(sentences)} checks were not made, the first of "
            f"{name!r}: “{sentence}”. {how}",
        )  # fmt: skip
    elif not listed or not wanted or not sentences:
        yield Told("file", "the run", f"Nothing was checked. {how}")
    elif not ended or child.wait() != 0:
        yield Told("file", "the run", f"The checks did not come to their end. {how}")


def _records(
    child: "subprocess.Popen[str]", token: bytes, patience: float
) -> Iterator[dict[str, Any]]:
    """The records that are signed, in their order, until the process ends or takes too long."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert child.stdout
    reader = threading.Thread(target=_fill, args=(child.stdout, lines), daemon=True)
    reader.start()
    place, last = 0, time.monotonic()
    while True:
        gone = child.poll() is not None
        try:
            # After its end what it wrote is there, or will be in a moment; a process that it left
            # behind may hold the pipe open, and nothing is waited for.
            line = lines.get(timeout=1.0 if gone else 0.2)
        except queue.Empty:
            if gone:
                return
            if time.monotonic() - last > patience:
                _end(child)
            continue
        signature, _, text = line.rstrip("\n").partition(" ")
        expected = hmac.new(token, f"{place} {text}".encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            continue  # not a record; a record that it takes the place of will be missing
        place, last = place + 1, time.monotonic()
        record = json.loads(text)
        yield record
        if "end" in record or "refused" in record:
            return


def _fill(stream: Iterable[str], lines: "queue.SimpleQueue[str]") -> None:
    for line in stream:
        lines.put(line)


def _how_it_ended(child: "subprocess.Popen[str]", said_so: bool) -> str:
    status = child.poll()
    if said_so:
        return "The process that runs the file said that it was done."
    if status is None or status == -getattr(signal, "SIGKILL", 9):
        return "The process that ran the file was killed: out of time, or out of memory."
    if status < 0:
        return f"The process that ran the file died of signal {-status}."
    return (
        f"The process that ran the file ended with status {status} before it was done: "
        "does the file call `os._exit`?"
    )


def _end(child: "subprocess.Popen[str]") -> None:
    """End the process and whatever it left behind."""
    if os.name == "posix":
        with suppress(ProcessLookupError):  # nothing of it is left
            os.killpg(child.pid, signal.SIGKILL)
    elif child.poll() is None:
        child.kill()
    child.wait()
