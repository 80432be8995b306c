"""What a run shows in the terminal: cost, round, stage, progress, accuracy so far, result."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from labelgap.core.config import RunConfig
from labelgap.core.device import Machine
from labelgap.core.terminal import console
from labelgap.data.types import Task
from labelgap.report.beside import in_words
from labelgap.report.names import REPORT
from labelgap.session.presets import departing, title_of


class Screen:
    """The terminal of one run. In a pipe it prints a line a round and no bars."""

    def __init__(self, config: RunConfig, machine: Machine, threads: int, folder: Path) -> None:
        self.config: RunConfig = config
        self.machine: Machine = machine
        self.threads: int = threads
        self.folder: Path = folder
        self.console = console(soft_wrap=False)
        self._bars: Progress | None = None
        self._bar: TaskID | None = None
        self._round, self._accuracy, self._stage = 0, "", ""

    def begin(self, task: Task, warnings: list[str]) -> None:
        c = self.config
        shape = "×".join(str(side) for side in task.input_shape)
        self.console.print(
            f"[bold]{title_of(c)}[/] on [bold]{task.name}[/]: {len(task.pool)} unlabelled items "
            f"of {shape}, {task.num_classes} classes, seed {c.seed}"
        )
        self.console.print(
            f"{c.loop.initial} labels, then {c.loop.budget} × {c.loop.rounds}; "
            f"{self.machine.device}, {self.machine.precision}, {self.threads} threads → "
            f"{self.folder}"
        )
        departures = departing(c.model_dump(mode="json"))
        if departures:
            self.console.print(escape(departures))
        self.warn(warnings)

    def warn(self, warnings: list[str]) -> None:
        """What a user should know before the run goes on."""
        for text in warnings:
            self.console.print(f"[yellow]warning:[/] {escape(text)}")

    def cost(self, cost: str, cheaper: str | None) -> None:
        hint = f"; `--preset cpu` takes {cheaper}" if cheaper else ""
        self.console.print(f"about {cost} on this machine{hint}")

    def say(self, text: str | None) -> None:
        """A line, where there is one."""
        if text:
            self.console.print(escape(text), soft_wrap=True)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Bars while the run goes on, where somebody can see them."""
        if not self.console.is_terminal:
            yield
            return
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[accuracy]}"),
            console=self.console,
            transient=True,
        ) as bars:
            self._bars = bars
            self._bar = bars.add_task("round 0", total=None, accuracy="")
            yield
            self._bars = None

    def progress(self, stage: str, step: int, steps: int) -> None:
        """A learner's progress."""
        if self._bars is not None and self._bar is not None:
            self._bars.update(
                self._bar,
                description=f"round {self._round}/{self.config.loop.rounds} {stage}",
                completed=step,
                total=steps,
                accuracy=self._accuracy,
            )

    def listen(self, kind: str, facts: Mapping[str, Any]) -> None:
        """A line for each round, and what a user should know of it."""
        if kind != "round":
            return
        self._round = int(facts["round"]) + 1
        self._accuracy = f"accuracy {facts['accuracy']:.4f}"
        seconds = sum(facts["seconds"].values())
        self.console.print(
            f"round {facts['round']:>2}  {facts['labels']:>6} labels  accuracy "
            f"[bold]{facts['accuracy']:.4f}[/]  {seconds:.1f} s"
        )
        absent = facts["absent_classes"]
        if absent:
            shown = ", ".join(absent[:5]) + (", …" if len(absent) > 5 else "")
            self.console.print(f"[yellow]  no label yet of: {shown}[/]")

    def finished(self, result: Mapping[str, Any], random: Mapping[str, Any] | None = None) -> None:
        """The result as a table, Random's beside it, what was saved, and where the pictures are."""
        table = Table(title=f"{title_of(self.config)} on {result['dataset']}", title_style="bold")
        others = [] if random is None else [f"{r['accuracy']:.4f}" for r in random["rounds"]]
        columns = ["round", "labels", "accuracy", *(["random"] if others else [])]
        for column in (*columns, "balanced", "train s", "align s", "query s"):
            table.add_column(column, justify="right")
        for k, entry in enumerate(result["rounds"]):
            s = entry["seconds"]
            table.add_row(
                str(entry["round"]),
                str(entry["labels"]),
                f"{entry['accuracy']:.4f}",
                *others[k : k + 1],
                f"{entry['balanced_accuracy']:.4f}",
                f"{s['train']:.1f}",
                f"{s['align']:.1f}",
                f"{s['score'] + s['select']:.2f}",
            )
        self.console.print(table)
        if random is not None:
            self.console.print(f"[bold]{escape(in_words(result, random))}[/]", soft_wrap=True)
        self.console.print(
            f"area under the budget curve [bold]{result['aubc']:.4f}[/]; look at "
            f"{self.folder / REPORT}"
        )
