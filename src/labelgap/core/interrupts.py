"""Ctrl-C: answered within a second, whatever is being computed.

Python looks at signals between two of its own steps, and a step can be a minute of somebody's
compiled code. So a thread watches too: where the main one has not ended a moment after Ctrl-C,
the process is ended as it is. That loses nothing: whatever labelgap writes is whole or absent,
and a run goes on from what is on the disk.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

STATUS = 130
"""The exit status of what Ctrl-C stopped: 128 and the signal's number, as shells have it."""
SENTENCE = "stopped; the same command goes on"
GRACE = 0.4
"""Seconds that the main thread has to end in order: files closed, workers ended."""


class Watch:
    """Ctrl-C of one command. `stopped` is set from the first one on."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._said = threading.Lock()
        self._patient = 0
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        self._bell, mouth = socket.socketpair()
        mouth.setblocking(False)
        self._mouth = mouth
        # Written to by the C handler, at once.
        signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="ctrl-c", daemon=True).start()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.stopped.set()
        raise KeyboardInterrupt

    def _watch(self) -> None:
        with self._bell:
            while number := self._bell.recv(1):
                if number[0] != signal.SIGINT or self._patient:
                    continue
                self.stopped.set()
                threading.Event().wait(GRACE)
                if self.say():
                    _show_cursor()
                os._exit(STATUS)

    def leave(self) -> NoReturn:
        """End the process, now that the main thread has ended in order.

        Python would take torch down piece by piece: seconds on a busy machine, and from then on
        the watching thread sleeps.
        """
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or a pipe's end is gone
                stream.flush()
        self.say()
        os._exit(STATUS)

    def say(self) -> bool:
        """Print the one line, once; returns whether this call did."""
        if not self._said.acquire(blocking=False):
            return False
        os.write(2, f"{SENTENCE}\n".encode())
        return True

    @contextmanager
    def patient(self) -> Iterator[None]:
        """A server ends what it is at when Ctrl-C comes, however long that takes."""
        self._patient += 1
        try:
            yield
        finally:
            self._patient -= 1

    def close(self) -> None:
        """Ctrl-C is as it was before."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, self._before)
        self._mouth.close()


_watch: Watch | None = None


def start() -> Watch | None:
    """Watch from now on; None where that is not ours to do (another thread than the main one, or
    Ctrl-C is ignored, as in a job of a shell's background)."""
    global _watch
    if threading.current_thread() is not threading.main_thread():
        return None
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return None
    _watch = Watch()
    return _watch


@contextmanager
def at_leisure() -> Iterator[None]:
    """For servers: the process is not ended before they have ended in order."""
    if _watch is None:
        yield
        return
    with _watch.patient():
        yield


def start_unheard(process: Any) -> None:
    """Start a process of `multiprocessing` that never sees Ctrl-C, which a terminal sends to all,
    and leaves it to this one to end it. Ctrl-C that comes meanwhile is answered afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        process.start()
        return
    from multiprocessing import resource_tracker

    # The first process brings this one along, after which Python lets Ctrl-C through again: so it
    # comes before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _show_cursor() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and stream.isatty():
            os.write(stream.fileno(), b"\x1b[?25h")
