"""What a person hands to a session, checked."""

import operator
from collections.abc import Mapping
from typing import Any

from labelgap.core.config import RunConfig
from labelgap.core.device import Machine, machine
from labelgap.core.errors import BudgetError, ConfigError, DataError
from labelgap.data.types import Task
from labelgap.session.presets import resolve


def given_task(task: Any) -> Task:
    """The task; `DataError` for what is none, with the call that makes one of it."""
    if isinstance(task, Task):
        return task
    cure = "Make one: `labelgap.Task.from_arrays(x, y)`, `.from_dataset(…)` or `labelgap.load`."
    if isinstance(task, str):
        cure = f"Give `labelgap.load({task!r})`."
    raise DataError(f"A `Task` is needed; this is of type {type(task).__name__}.", cure)


def whole_budget(n: object) -> int:
    """A number of items as an int. Raises `BudgetError` for 0, −3, 2.5, True."""
    try:
        number = 0 if isinstance(n, bool) else operator.index(n)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if number < 1:
        raise BudgetError(f"{n!r} items asked for.", "Ask for a whole number, 1 at least.")
    return number


def configuration(
    config: RunConfig | None, preset: str | None, values: Mapping[str, Any]
) -> RunConfig:
    """The configuration given, or one of preset and keywords. `ConfigError` for both."""
    if config is None:
        return resolve(values, preset=preset or "smoke")
    if not isinstance(config, RunConfig):
        raise ConfigError(
            f"The configuration is of type {type(config).__name__}.",
            'Give keywords (`method="margin"`), or what `labelgap.session.presets.resolve` makes.',
        )
    given = [*values, *(["preset"] if preset is not None else [])]
    if given:
        raise ConfigError(
            f"Session was given a whole configuration and {', '.join(given)} besides.",
            "Put them into the configuration (`resolve({...})`), or give keywords alone.",
        )
    return config


def default_machine(config: RunConfig) -> Machine:
    """What the hardware offers, at the configuration's precision."""
    return machine("auto", config.precision)
