"""What a configuration cannot do with a task is refused before anything is computed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from labelgap.check.case import Case, tiny_task
from labelgap.core.config import RunConfig
from labelgap.core.errors import BudgetError, LabelgapError, PairError
from labelgap.data.types import Augment, Split, Task
from labelgap.methods import METHODS
from labelgap.session.presets import resolve
from labelgap.session.refused import refuse_budget, refuse_task

POOL = replace(tiny_task(), pool=np.arange(50, dtype=np.int64))  # of three classes


def config(method: str = "random", **values: Any) -> RunConfig:
    return Case(METHODS[method]).config(**values)


def loop(**values: Any) -> RunConfig:
    return config(loop=values)


@pytest.mark.parametrize(
    ("values", "wanted", "round", "supply"),
    [
        ({"initial": 51, "budget": 1, "rounds": 0}, 51, 0, 50),
        ({"initial": 20, "budget": 16, "rounds": 2}, 16, 2, 14),
        ({"initial": 20, "budget": 10, "rounds": 4}, 10, 4, 0),
        ({"initial": 9, "budget": 6, "rounds": 1, "pool_subset": 8}, 9, 0, 8),
        ({"initial": 8, "budget": 9, "rounds": 1, "pool_subset": 8}, 9, 1, 8),
        ({"initial": 40, "budget": 11, "rounds": 1, "pool_subset": 40}, 11, 1, 10),
        ({"initial_per_class": 17, "budget": 1, "rounds": 1}, 51, 0, 50),
        ({"initial_per_class": 16, "budget": 3, "rounds": 1}, 3, 1, 2),
    ],
)
def test_a_run_that_asks_for_more_than_there_is_names_the_round(
    values: dict[str, Any], wanted: int, round: int, supply: int
) -> None:
    said = f"{wanted} items asked for in round {round}, {supply} candidates left of 50 in the pool."
    with pytest.raises(BudgetError) as caught:
        refuse_budget(loop(**values), POOL)
    assert caught.value.cause == said
    assert caught.value.cure == (
        "Lower `--budget`, `--rounds` or `--initial`, or raise `--pool-subset`."
    )


@pytest.mark.parametrize(
    "values",
    [
        {"initial": 50, "budget": 1, "rounds": 0},
        {"initial": 20, "budget": 10, "rounds": 3},
        {"initial": 8, "budget": 8, "rounds": 1, "pool_subset": 8},
        {"initial_per_class": 16, "budget": 2, "rounds": 1},
        # A balanced start looks at the whole pool.
        {"initial_per_class": 16, "budget": 2, "rounds": 1, "pool_subset": 8},
    ],
)
def test_a_run_that_asks_for_all_there_is_may_begin(values: dict[str, Any]) -> None:
    refuse_budget(loop(**values), POOL)


def test_objectives_on_images_need_images_that_stay_images() -> None:
    vectors = Split(np.zeros((9, 4), np.float32), np.arange(9) % 3)
    points = Task.of("points", ("a", "b", "c"), vectors, vectors, Augment())
    refuse_task(config("fixmatch"), tiny_task())
    refuse_task(config("random"), points)
    with pytest.raises(LabelgapError, match=r"'fixmatch' needs images; 'points' has vectors\."):
        refuse_task(config("fixmatch"), points)
    frozen = {"name": "timm:resnet18", "freeze": True}
    refuse_task(resolve({"method": "random", "network": frozen}), tiny_task())
    said = r"'fixmatch' needs images; 'tiny' will be seen as frozen features\."
    with pytest.raises(LabelgapError, match=said) as caught:
        refuse_task(resolve({"method": "fixmatch", "network": frozen}), tiny_task())
    assert caught.value.cure == "Use another objective, or a network on images."


def test_an_acquisition_needs_what_somebody_provides() -> None:
    with pytest.raises(PairError, match="mc_logits"):
        refuse_task(config("mc-dropout", network={"dropout": 0.0}), tiny_task())
    refuse_task(config("mc-dropout"), tiny_task())
