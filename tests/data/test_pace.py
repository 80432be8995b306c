"""How fast, and how long still: arithmetic on a clock of the test's own; and what the bar shows."""

import io
import re

import pytest
from rich.console import Console

from labelgap.core.pace import Pace
from labelgap.core.wording import duration, how_fast
from labelgap.data import progress as module
from labelgap.data.progress import bars, late_progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_is_of_what_was_done_here_and_the_rest_takes_as_long() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.at("train", 20, 100) is None  # continued at step 20: nothing is known yet
    clock.now += 5
    assert pace.at("train", 30, 100) == (2.0, 35.0)
    clock.now += 5
    assert pace.at("train", 100, 100) == (8.0, 0.0)


def test_a_new_stage_and_a_repeated_one_are_judged_by_themselves() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.at("a", 1, 10)
    clock.now += 1
    assert pace.at("a", 2, 10) == (1.0, 8.0)
    assert pace.at("b", 1, 10) is None
    clock.now += 2
    assert pace.at("b", 2, 10) == (0.5, 16.0)
    assert pace.at("b", 1, 10) is None


def test_no_time_and_no_step_say_nothing() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.at("a", 1, 10)
    assert pace.at("a", 2, 10) is None
    clock.now += 1
    assert pace.at("a", 1, 10) is None


@pytest.mark.parametrize(("seconds", "words"), [(0.0, "1 s"), (89.0, "89 s"), (600.0, "10 min")])
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_bar_shows_count_rate_and_time_left() -> None:
    screen = io.StringIO()
    clock = Clock()
    console = Console(file=screen, force_terminal=True, width=100, get_time=clock)
    bar = bars(console)
    task = bar.add_task("Reading", total=40)
    for _ in range(4):
        clock.now += 1
        bar.advance(task, 5)
    console.print(bar.get_renderable())
    shown = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    assert "20/40" in shown
    assert re.search(r"\b5(\.0+)?/s", shown)
    assert "0:00:04" in shown


def test_in_a_pipe_one_line_tells_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", -1.0)
    with late_progress("Reading images", 10) as advance:
        for _ in range(10):
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.fullmatch(r"Reading images … \d[\d.,]* a second, about 1 s left", lines[0])


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (1234.4, "1,234 images a second"),
        (150.2, "150 images a second"),
        (9.96, "10 images a second"),
        (2.44, "2.4 images a second"),
        (2.04, "2 images a second"),
        (1.0, "1 images a second"),
        (0.5, "30 images a minute"),
        (1 / 600, "6 images an hour"),
    ],
)
def test_a_rate_is_said_in_the_unit_that_makes_it_a_number(rate: float, said: str) -> None:
    assert how_fast(rate, "images") == said
    assert how_fast(rate) == said.replace(" images", "")
