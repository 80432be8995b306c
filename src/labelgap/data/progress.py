"""A progress bar for work that turns out to be long."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from labelgap.core.pace import Pace
from labelgap.core.terminal import console
from labelgap.core.wording import duration, how_fast

_PATIENCE = 2.0  # seconds without a sign of life that a person puts up with


class _Rate(ProgressColumn):
    """So many a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g}/s" if task.speed else "", style="progress.data.speed")


def bars(console: Console) -> Progress:
    """Bars with what is done, how fast it goes and the time left; gone when they end."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


def say(lines: Iterable[str]) -> None:
    """Lines on standard error, as they are."""
    screen = console(stderr=True, markup=False)
    for line in lines:
        screen.print(line)


@contextmanager
def late_progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield `advance(n)`; once the work has taken 2 s a bar appears on standard error.

    Where standard error is no terminal it is one line, once, with the rate and the time left.
    """
    started = time.monotonic()
    screen = console(stderr=True)
    bar = bars(screen)
    task = bar.add_task(description, total=total)
    shown, done, pace = False, 0, Pace()

    def advance(n: int) -> None:
        nonlocal shown, done
        done += n
        bar.advance(task, n)
        # From the first sign of life on: what came before it, such as loading, is done once.
        now = pace.at(description, done, total)
        if not shown and time.monotonic() - started > _PATIENCE:
            if screen.is_terminal:
                shown = True
                bar.start()
            elif now:
                shown = True
                rate, left = now
                screen.print(f"{description} … {how_fast(rate)}, about {duration(left)} left")

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
