"""Waiting for what another thread, process or browser does."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 300.0
"""Seconds after which it will never happen. Only a failure takes so long, so a busy machine loses
nothing: no test may expect something within a time, or sleep until it should have happened."""


def until(condition: Callable[[], T], seconds: float = PATIENCE) -> T:
    """What the condition gives, as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {condition.__name__}"
        time.sleep(0.02)
    return found
