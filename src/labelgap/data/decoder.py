"""The program that opens images for another one: it may crash, hang or run out of memory.

It reads requests (a function and its arguments) from its input and answers each before it reads
the next. `decoders` starts it, and puts another in its place when it ends.
"""

import os
import pickle
import signal
import struct
import sys
from collections.abc import Callable
from typing import IO, Any

_LENGTH = struct.Struct("<Q")


class Clock:
    """Ends this process when one image takes too long, wherever it hangs."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def begin(self) -> None:
        if hasattr(signal, "setitimer"):
            # Without a handler the signal ends the process at once, inside C code too.
            signal.setitimer(signal.ITIMER_REAL, self.seconds)
        else:  # Windows
            import faulthandler

            faulthandler.dump_traceback_later(self.seconds, exit=True)

    def stop(self) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        else:
            import faulthandler

            faulthandler.cancel_dump_traceback_later()


_clock: Clock | None = None


def next_image() -> None:
    """The time for one image begins anew; nothing in a process that is no such program."""
    if _clock is not None:
        _clock.begin()


def send(stream: IO[bytes], content: object) -> None:
    """Write one message."""
    data = pickle.dumps(content, protocol=5)
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one message. Raises `EOFError` where the other side is gone."""
    head = _exactly(stream, _LENGTH.size)
    return pickle.loads(_exactly(stream, _LENGTH.unpack(head)[0]))


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if data is None or len(data) < count:
        raise EOFError
    return data


def main() -> None:
    """Answer until the input ends. Arguments: seconds for one image, bytes of memory."""
    global _clock
    seconds, memory = float(sys.argv[-2]), int(sys.argv[-1])
    # Whoever started it is interrupted too, and ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        from PIL import Image

        import labelgap.data.images  # noqa: F401  (before memory is bounded, once for all)
        from labelgap.data.heic import register_heic

        Image.init()
        register_heic()
    except Exception as error:  # noqa: BLE001  (told to whoever started it)
        send(answers, f"{type(error).__name__}: {error}")
        return
    _bound(memory)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    send(answers, None)
    _clock = Clock(seconds)
    requests = sys.stdin.buffer
    while True:
        try:
            function, arguments = receive(requests)
        except EOFError:
            return
        _clock.begin()
        answer = _answer(function, arguments)
        _clock.stop()
        try:
            send(answers, answer)
        except BrokenPipeError:
            return


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, function(*arguments)
    except Exception as error:  # noqa: BLE001  (raised where the answer is awaited)
        # What caused it may not travel; its text is in the message.
        error.__cause__ = error.__context__ = None
        return False, error


def _bound(memory: int) -> None:
    """Allow so much more memory than this program has now: then `MemoryError`, and not a machine
    that swaps. Only where the system counts it (Linux)."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = now + memory if hard == resource.RLIM_INFINITY else min(now + memory, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
