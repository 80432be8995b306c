"""What a configuration cannot do with a task: refused before anything is computed."""

from labelgap.axes import check_pair
from labelgap.axes.acquisition import Acquisition
from labelgap.axes.objective import Objective
from labelgap.core.config import RunConfig
from labelgap.core.errors import BudgetError, LabelgapError
from labelgap.data.types import Task
from labelgap.session.looking import provided
from labelgap.session.presets import pair_of


def refuse_pair(
    objective: Objective, acquisition: Acquisition, config: RunConfig, task: Task
) -> None:
    """Raises `PairError` for an acquisition that needs what nobody provides, and `LabelgapError`
    for an objective on images where the task has vectors, or frozen features will take the place
    of its images."""
    check_pair(objective, acquisition, provided(config, task))
    if objective.needs_images and (config.network.freeze or not task.train.is_images):
        what = "has vectors" if not task.train.is_images else "will be seen as frozen features"
        raise LabelgapError(
            f"Objective {config.objective_name!r} needs images; {task.name!r} {what}.",
            "Use another objective, or a network on images.",
        )


def refuse_task(config: RunConfig, task: Task) -> None:
    """The same of a configuration, whose features are still to be computed."""
    refuse_pair(*pair_of(config), config, task)


def refuse_budget(config: RunConfig, task: Task) -> None:
    """Raises `BudgetError` for a run that will ask for more than the task's pool, or the round's
    subset of it, holds."""
    loop, left = config.loop, len(task.pool)
    first = loop.initial
    if loop.initial_per_class is not None:
        first = loop.initial_per_class * task.num_classes
    for round in range(loop.rounds + 1):
        wanted = loop.budget if round else first
        whole = not round and loop.initial_per_class is not None
        supply = left if whole else min(left, loop.pool_subset or left)
        if wanted > supply:
            raise too_few(wanted, round, supply, len(task.pool))
        left -= wanted


def too_few(wanted: int, round: int, supply: int, pool: int) -> BudgetError:
    """The error of a round that asks for more than there is."""
    return BudgetError(
        f"{wanted} items asked for in round {round}, {supply} candidates left of {pool} in the "
        "pool.",
        "Lower `--budget`, `--rounds` or `--initial`, or raise `--pool-subset`.",
    )
