"""Decoders that crash, hang or eat memory at the sight of a word in the file."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from labelgap.data import images
from labelgap.project.images import look


def _meet(data):
    data = data.read_bytes() if isinstance(data, Path) else data
    if b"CRASH" in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    if b"HANG" in data:
        time.sleep(1e6)
    if b"MEMORY" in data:
        np.ones(1 << 40, dtype=np.uint8)
    if b"ODD" in data:
        raise RuntimeWarning("a type that nobody expects")


def seen(path, data, channels, side, *scales):
    try:
        _meet(data)
    except (MemoryError, RuntimeWarning) as error:
        return look.Seen(reason=look._reason(error), detail=look._detail(error))
    return look.seen(path, data, channels, side, *scales)


def decode(item, channels, shape, image_size, *scales):
    try:
        _meet(item[1])
    except (MemoryError, RuntimeWarning) as error:
        raise images.unreadable(item[0], error) from error
    return images.decode(item, channels, shape, image_size, *scales)


def stacked(chunk, channels, shape, image_size, *scales):
    return np.stack([decode(item, channels, shape, image_size, *scales) for item in chunk])


def picture(data, longest, *scales):
    _meet(data)
    return images.picture(data, longest, *scales)


def die_once(mark):
    """Killed from outside the first time, as by a system short of memory."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def begun(mark):
    """Write the process's number, and hang."""
    temporary = Path(f"{mark}.{os.getpid()}")
    temporary.write_text(str(os.getpid()))
    temporary.rename(mark)
    time.sleep(1e6)


def seen_once_begun(path, data, channels, side, *scales):
    if data.startswith(b"BEGUN"):
        begun(data.removeprefix(b"BEGUN").decode())
    return look.seen(path, data, channels, side, *scales)
