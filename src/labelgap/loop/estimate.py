"""What a run will cost on this machine: a few real steps of every stage, timed and multiplied."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labelgap.axes.stage import Stage
from labelgap.axes.training import Training
from labelgap.core.config import LoopSettings, RunConfig
from labelgap.core.device import Machine
from labelgap.core.wording import duration
from labelgap.data.types import Task
from labelgap.learn.predict import PREDICT_BATCH
from labelgap.learn.stage import StageRunner
from labelgap.loop.run import simulated
from labelgap.session.session import Session

WARM_UP, TIMED = 2, 5


@dataclass(frozen=True)
class Cost:
    """Seconds of a whole run, and of its parts."""

    total: float
    train: float
    align: float
    predict: float

    def __str__(self) -> str:
        return duration(self.total)


def estimate(config: RunConfig, task: Task, machine: Machine) -> Cost:
    """Time a few steps of each stage on throwaway weights; nothing of the run is touched."""
    task, oracle = simulated(config, task)
    loop = config.loop
    n = min(loop.initial, len(task.pool))
    with Session(task, config, machine=machine) as session:
        session.tell(oracle.answer(session.ask(n)))
        training = session.new_training(0)
        stages = session.objective.stages(training)
        timed = [_time_stage(session, training, stage) for stage in stages]
        ids = task.pool[:PREDICT_BATCH]
        session.learner.predict(training.network, ids[:64])
        started = time.perf_counter()
        session.learner.predict(training.network, ids)
        per_item = (time.perf_counter() - started) / len(ids)
        seconds = {True: 0.0, False: 0.0}
        for round in range(loop.rounds + 1):
            labels = n + round * loop.budget
            training.labelled_ids = np.resize(task.pool, labels)
            for stage, (step, refreshes) in zip(
                session.objective.stages(training), timed, strict=True
            ):
                cost = stage.steps * step + sum(
                    math.ceil(stage.steps / every) * once
                    for (every, _), once in zip(stage.refresh, refreshes, strict=True)
                )
                seconds[not stage.supervised] += cost
        pool = min(loop.pool_subset or len(task.pool), len(task.pool))
        scored = pool * looks(loop, session.acquisition.portion) if session.acquisition.needs else 0
        predict = per_item * (scored + len(task.test) * (loop.rounds + 1))
    return Cost(sum(seconds.values()) + predict, seconds[False], seconds[True], predict)


def looks(loop: LoopSettings, portion: int | None) -> int:
    """How often a run's queries look at the pool: once for every portion of a round."""
    return loop.rounds * math.ceil(loop.budget / (portion or loop.budget))


def _time_stage(session: Session, training: Training, stage: Stage) -> tuple[float, list[float]]:
    # The second call: the first one loads libraries and fills caches.
    refreshes = [_times(session, 2, function, 0)[1] for _, function in stage.refresh]
    runner = StageRunner(session.learner.inputs, training, stage)
    runner.refreshing = False
    first = max(0, stage.steps - WARM_UP - TIMED)  # late steps: every loss term is on by then
    for step in range(first, min(stage.steps, first + WARM_UP)):
        runner.step(step)
    rest = range(first + WARM_UP, stage.steps)
    times = [_times(session, 1, runner.step, step)[0] for step in rest]
    # The median: what else the machine did for a moment is no step's cost.
    return statistics.median(times or [0.0]), refreshes


def _times(
    session: Session, repeats: int, function: Callable[[int], object], argument: int
) -> list[float]:
    """Seconds of each call."""
    found = []
    for _ in range(repeats):
        session.machine.synchronise()
        started = time.perf_counter()
        function(argument)
        session.machine.synchronise()
        found.append(time.perf_counter() - started)
    return found
