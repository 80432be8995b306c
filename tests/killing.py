"""A child process that is killed before every single write, and so after the one before it."""

import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import FrameType

_SYSTEM = {"replace", "rename", "fsync", "unlink", "remove", "mkdir", "rmdir", "write", "link",
           "sendfile", "copy_file_range"}  # fmt: skip


def _writes(function: object) -> bool:
    """Whether a function in C may change what lies on the disk."""
    name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    if isinstance(owner, sqlite3.Connection | sqlite3.Cursor):
        return name in ("execute", "executescript", "backup", "commit", "close")
    if getattr(function, "__module__", None) in ("posix", "io", "_io"):
        return name in _SYSTEM
    return name == "write" and type(owner).__module__ == "_io"


def killed_at_every_write(
    prepare: Callable[[int], Path],
    act: Callable[[Path], object],
    check: Callable[[Path], object],
    since: str = "",
) -> int:
    """Run `act` in a child that dies at its n-th write, for n = 1, 2, … until it gets through.

    prepare: makes a fresh folder for the n-th time. check: what must hold after every death, and
        after the run that was not killed.
    since: a function by its name: writes before its first call are of no interest (temporary
        files of another folder).

    Returns how often it was killed.
    """
    for n in count(1):
        folder = prepare(n)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                sys.setprofile(_killer(n, since))
                act(folder)
                sys.setprofile(None)
                status = 0
            except BaseException:  # noqa: BLE001  (told to the parent by the status)
                sys.setprofile(None)
                traceback.print_exc()
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            check(folder)
            continue
        assert os.WEXITSTATUS(status) == 0, f"write {n}: the child failed"
        check(folder)
        return n - 1
    raise AssertionError("unreachable")


def _killer(n: int, since: str) -> Callable[..., None]:
    seen, begun = 0, not since

    def watch(frame: FrameType, event: str, function: object) -> None:
        nonlocal seen, begun
        begun = begun or (event == "call" and frame.f_code.co_name == since)
        if begun and event == "c_call" and _writes(function):
            seen += 1
            if seen == n:
                os.kill(os.getpid(), signal.SIGKILL)

    return watch
