"""What a benchmark shows while it runs: cells at work, cells left, time left."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from labelgap.bench.grid.grid import Cell
from labelgap.bench.running.clock import Clock
from labelgap.bench.running.engines import Event
from labelgap.core.terminal import console
from labelgap.core.wording import duration


class Board:
    """A live table where somebody looks; in a pipe a line for each cell that ends."""

    def __init__(self) -> None:
        self.console = console()
        self._at: dict[str, tuple[Cell, float, str]] = {}
        self._done = self._failed = self._total = 0
        self._clock: Clock | None = None
        self._note = ""
        self._live: Live | None = None

    def say(self, text: str) -> None:
        self.console.print(text)

    def begin(self, cells: Sequence[Cell], clock: Clock) -> None:
        self._total, self._clock = len(cells), clock

    @contextmanager
    def live(self) -> Iterator[None]:
        """The table, as long as cells run."""
        if not self.console.is_terminal:
            yield
            return
        with Live(
            console=self.console, get_renderable=self._table, refresh_per_second=2, transient=True
        ) as self._live:
            yield
        self._live = None

    # ------------------------------------------------------------------ the observer's side

    def started(self, cell: Cell) -> None:
        self._note = ""
        self._at[cell.identity] = (cell, monotonic(), "")
        if self._clock:
            self._clock.started(cell)

    def happened(self, event: Event) -> None:
        cell, kind, facts = event.cell, event.kind, event.facts
        if kind == "round":
            if self._clock:
                self._clock.heard(cell, facts["round"])
            _, began, _ = self._at[cell.identity]
            last = cell.config.loop.rounds
            text = f"round {facts['round']}/{last}  accuracy {facts['accuracy']:.4f}"
            self._at[cell.identity] = (cell, began, text)
        elif kind == "warning":
            self.console.print(f"[yellow]warning:[/] {cell.folder}: {facts['text']}")
        else:
            _, began, text = self._at.pop(cell.identity)
            self._end(cell, kind, monotonic() - began, text)

    def _end(self, cell: Cell, kind: str, seconds: float, text: str) -> None:
        if kind == "lost":
            self.console.print(f"[yellow]{cell.folder}: its worker died; it is tried again[/]")
            return
        if self._clock:
            self._clock.ended(cell, kind == "done")
        self._done += kind == "done"
        self._failed += kind == "failed"
        colour = "green" if kind == "done" else "red"
        self.console.print(
            f"[{colour}]{kind:>6}[/] {self._done + self._failed:>4}/{self._total} {cell.folder}  "
            f"{text}  {duration(seconds)}{'' if self._live else '; ' + self._rest()}"
        )

    def waiting(self, reason: str) -> None:
        self._note = f"waiting: {reason}"

    def _rest(self) -> str:
        return f"{duration(self._clock.left())} left" if self._clock else ""

    def _table(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for cell, began, text in self._at.values():
            table.add_row(cell.folder, text, duration(monotonic() - began))
        left = self._total - self._done - self._failed
        line = f"{self._done} done, {self._failed} failed, {left} left; {self._rest()}"
        return Group(table, Text(line, style="bold"), Text(self._note, style="yellow"))
