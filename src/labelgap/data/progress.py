"""A progress bar for work that turns out to be long."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.progress import Progress

from labelgap.core.terminal import console

_PATIENCE = 2.0  # seconds without a sign of life that a person puts up with


def say(lines: Iterable[str]) -> None:
    """Lines on standard error, as they are."""
    screen = console(stderr=True, markup=False)
    for line in lines:
        screen.print(line)


@contextmanager
def late_progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield `advance(n)`; once the work has taken 2 s a bar appears on standard error.

    Where standard error is no terminal it is one line, once.
    """
    started = time.monotonic()
    screen = console(stderr=True)
    bar = Progress(console=screen, transient=True)
    task = bar.add_task(description, total=total)
    shown = False

    def advance(n: int) -> None:
        nonlocal shown
        bar.advance(task, n)
        if not shown and time.monotonic() - started > _PATIENCE:
            shown = True
            if screen.is_terminal:
                bar.start()
            else:
                screen.print(f"{description} …")

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
