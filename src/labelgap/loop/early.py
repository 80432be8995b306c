"""What a run cannot do, found before features are computed: they can take an hour."""

import numpy as np

from labelgap.core.config import RunConfig
from labelgap.data.types import Task
from labelgap.loop.run import simulated
from labelgap.session.refused import refuse_budget, refuse_task


def refuse_early(config: RunConfig, task: Task) -> None:
    """Raises what the run would raise later.

    task: as it was loaded, before its images become features.

    Raises
    ------
    PairError, LabelgapError: objective, acquisition and network do not fit.
    ConfigError: a simulation that these data do not allow.
    BudgetError: the rounds ask for more than the pool will hold.
    """
    refuse_task(config, task)
    if not (config.network.freeze and config.data.redundancy):  # refused with the features
        task, oracle = simulated(config, task)
        if config.loop.initial_per_class is not None:
            every = np.arange(len(task.train), dtype=np.int64)
            oracle.balanced(config.loop.initial_per_class, every)  # names a class that has fewer
        refuse_budget(config, task)
