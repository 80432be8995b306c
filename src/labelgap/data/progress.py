"""A progress bar for work that turns out to be long."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

_PATIENCE = 2.0  # seconds without a sign of life that a person puts up with


@contextmanager
def late_progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield `advance(n)`; a bar appears on standard error once the work has taken 2 s."""
    started = time.monotonic()
    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task(description, total=total)
    shown = False

    def advance(n: int) -> None:
        nonlocal shown
        bar.advance(task, n)
        if not shown and time.monotonic() - started > _PATIENCE:
            bar.start()
            shown = True

    try:
        yield advance
    finally:
        if shown:
            bar.stop()
