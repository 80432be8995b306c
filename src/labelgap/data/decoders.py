"""Processes that open images, so that no image can take this one down.

Decoders are large C programs: a damaged file can make one crash, hang or eat all memory. Each
process has one request at a time, so that it is known which one ended it.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from labelgap.core.errors import LabelgapError
from labelgap.data.decoder import receive, send

T = TypeVar("T")

SECONDS = 60.0
"""For one image. The largest that is accepted, 50 Mpx, takes about two; a busy machine ten."""
MEMORY = 4 << 30
"""Bytes for one image. 50 Mpx with transparency and 16 bits take about one and a half GiB."""
# The same modules as here, whatever lies in the working directory.
_PROGRAM = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]);"
    " from labelgap.data.decoder import main; main()"
)
# Somebody else ended it, or the system, which was short of memory: not surely the image's fault.
_FROM_OUTSIDE = frozenset(
    -getattr(signal, name) for name in ("SIGKILL", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Lost(Exception):
    """The process ended while it had a request; says how, in words."""


class Stopped(Exception):
    """`stop` ended the process while it had a request."""


class _Decoder:
    def __init__(self, seconds: float, memory: int) -> None:
        self.seconds, self.memory = seconds, memory
        path = json.dumps(sys.path)
        command = [sys.executable, "-P", "-c", _PROGRAM, path, str(seconds), str(memory)]
        single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | single,
            )
        except OSError as error:
            raise _no_start(str(error)) from error
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests, self._answers = self.process.stdin, self.process.stdout
        try:
            failure = receive(self._answers)
        except EOFError as error:
            self.end()
            raise _no_start(f"it ended with status {self.process.returncode}") from error
        if failure is not None:
            self.end()
            raise _no_start(failure)

    def ask(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        try:
            send(self._requests, (function, arguments))
            fine, value = receive(self._answers)
        except (EOFError, OSError, ValueError) as error:  # ValueError: closed by `end`
            # It has closed its end, so that it is about to go: how says its status.
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
            self._close()
            raise Lost(self._how()) from error
        except BaseException:  # an interrupt: it is in the midst of something
            self.end()
            raise
        if not fine:
            raise value
        result: T = value
        return result

    def _how(self) -> str:
        status = self.process.returncode
        if status == -getattr(signal, "SIGALRM", -1):  # 1 is how Windows' clock ends it
            return f"decoding takes longer than {self.seconds:g} s"
        if status in _FROM_OUTSIDE:
            return "the decoder was killed, as when memory runs out"
        if status < 0:
            with suppress(ValueError):
                return f"the decoder crashed ({signal.Signals(-status).name})"
        return f"the decoder crashed (status {status})"

    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        """End it now; reading its answer in another thread then ends too."""
        self.process.kill()
        self._close()

    def _close(self) -> None:
        self.process.wait()
        for stream in (self._requests, self._answers):
            with suppress(OSError, ValueError):
                stream.close()


def _no_start(why: str) -> LabelgapError:
    return LabelgapError(
        f"The program that opens images cannot be started: {why}.",
        "Free memory or processes and try again.",
    )


class Decoders:
    """At most `count` such processes, started when they are needed; for use from any thread.

    count: as many as there are processors, and two at least: one may hang.
    seconds, memory: for one image.
    """

    def __init__(
        self, count: int | None = None, seconds: float = SECONDS, memory: int = MEMORY
    ) -> None:
        self.count: int = count or max(2, os.cpu_count() or 1)
        self._limits = seconds, memory
        self._free = threading.BoundedSemaphore(self.count)
        self._mutex = threading.Lock()
        self._idle: list[_Decoder] = []
        self._busy: set[_Decoder] = set()
        self._owner = os.getpid()

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function of a module gives, called in one of the processes.

        Raises what it raises, `Lost` where it ends the process, and `LabelgapError` where none
        can be started.
        """
        with self._free:
            decoder = self._take()
            try:
                return decoder.ask(function, arguments)
            except Lost as error:
                if decoder not in self._busy:
                    raise Stopped from error
                if decoder.process.returncode not in _FROM_OUTSIDE:
                    raise
            finally:
                self._give(decoder)
            decoder = self._take()
            try:
                return decoder.ask(function, arguments)
            finally:
                self._give(decoder)

    def _take(self) -> _Decoder:
        with self._mutex:
            while self._idle:
                decoder = self._idle.pop()
                if decoder.alive():
                    self._busy.add(decoder)
                    return decoder
                decoder.end()
        decoder = _Decoder(*self._limits)
        with self._mutex:
            self._busy.add(decoder)
        return decoder

    def _give(self, decoder: _Decoder) -> None:
        with self._mutex:
            if decoder in self._busy and decoder.alive():
                self._idle.append(decoder)
            self._busy.discard(decoder)

    def rest(self, keep: int = 1) -> None:
        """End the idle ones but `keep`: each holds 100 MB."""
        with self._mutex:
            ended, self._idle = self._idle[keep:], self._idle[:keep]
        for decoder in ended:
            decoder.end()

    def stop(self) -> None:
        """End all of them now; requests under way raise `Stopped`. The next one starts others."""
        if os.getpid() != self._owner:  # a fork: they are its parent's
            return
        with self._mutex:
            idle, self._idle = self._idle, []
            busy, self._busy = self._busy, set()
        for decoder in busy:
            decoder.process.kill()  # its thread closes the rest
        for decoder in idle:
            decoder.end()


_shared: Decoders | None = None
_making = threading.Lock()


def shared() -> Decoders:
    """Those of this process; none runs before the first image, and none after its end."""
    global _shared
    with _making:
        if _shared is None or _shared._owner != os.getpid():
            _shared = Decoders()
            atexit.register(_shared.stop)
        return _shared
