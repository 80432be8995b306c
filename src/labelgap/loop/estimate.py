"""What a run will cost on this machine: real steps and one real query, timed and multiplied."""

import math
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
from labelgap.loop.query_cost import query_cost
from labelgap.loop.run import simulated
from labelgap.session.session import Session

WARM_UP, TIMED, MOST = 2, 5, 100
LOOK = 0.2
"""Seconds of steps that are timed at least: a shorter look may find a busy core idle."""


@dataclass(frozen=True)
class Cost:
    """Seconds of a whole run, and of its parts.

    predict: of the test items. query: looking at the pool, choosing, and what an upper line
        trains meanwhile; 0 where a query could not be timed, as its own run will tell.
    """

    total: float
    train: float
    align: float
    predict: float
    query: float = 0.0

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
        portion = session.acquisition.portion
        asked = query_cost(session, training, min(portion or loop.budget, loop.budget))
        seconds, query = {True: 0.0, False: 0.0}, 0.0
        for round in range(loop.rounds + 1):
            labels = n + round * loop.budget
            training.labelled_ids = np.resize(task.pool, labels)
            cost = [
                _stage_cost(stage, *known)
                for stage, known in zip(session.objective.stages(training), timed, strict=True)
            ]
            for stage, spent in zip(stages, cost, strict=True):
                seconds[not stage.supervised] += spent
            if asked and round < loop.rounds:
                query += asked.trainings * sum(cost)
        if asked:
            query += asked.seconds * looks(loop, portion)
        predict = per_item * len(task.test) * (loop.rounds + 1)
    total = sum(seconds.values()) + predict + query
    return Cost(total, seconds[False], seconds[True], predict, query)


def _stage_cost(stage: Stage, step: float, refreshes: list[float]) -> float:
    """Seconds of a stage whose steps and refreshes take so long each."""
    return stage.steps * step + sum(
        math.ceil(stage.steps / every) * once
        for (every, _), once in zip(stage.refresh, refreshes, strict=True)
    )


def looks(loop: LoopSettings, portion: int | None) -> int:
    """How often a run's queries look at the pool: once for every portion of a round."""
    return loop.rounds * math.ceil(loop.budget / (portion or loop.budget))


def _time_stage(session: Session, training: Training, stage: Stage) -> tuple[float, list[float]]:
    # The second call: the first one loads libraries and fills caches.
    refreshes = [_times(session, 2, function, 0)[1] for _, function in stage.refresh]
    runner = StageRunner(session.learner.inputs, training, stage)
    runner.refreshing = False
    first = max(0, stage.steps - WARM_UP - MOST)  # late steps: every loss term is on by then
    for step in range(first, min(stage.steps, first + WARM_UP)):
        runner.step(step)
    rest = range(first + WARM_UP, stage.steps)
    times: list[float] = []
    for step in rest:
        times += _times(session, 1, runner.step, step)
        if len(times) >= TIMED and sum(times) >= LOOK:
            break
    # The mean: on a busy machine the steps that wait are part of what a run takes.
    return sum(times) / len(times) if times else 0.0, refreshes


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
