"""What a query costs: one is made on throwaway weights, over a part of the pool, and timed."""

import logging
import time
from dataclasses import dataclass, replace

from labelgap.axes.training import Training
from labelgap.core.types import Ids
from labelgap.session.looking import look
from labelgap.session.session import Session

SEEN = 2000
"""Candidates of the timed query at least: enough for its share that grows with the pool."""
LONG = 0.5
"""Seconds of a query to which what its first call loads adds little: it is timed once."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class QueryCost:
    """Seconds of one query over all candidates, and the trainings that it makes.

    trainings: of a benchmark's upper line, which trains once for every batch that it tries.
    """

    seconds: float
    trainings: int = 0


def query_cost(session: Session, training: Training, n: int) -> QueryCost | None:
    """Time one query of n items by a training that has had a few steps; None where it fails.

    The session must be a throwaway one. Only so many candidates are looked at as the time of a
    query that is linear in them needs; the rest of the pool is multiplied in.
    """
    pool, acquisition = session.trained.pool, session.acquisition
    candidates = len(session.candidate_ids(session.next_round))
    seen = min(candidates, max(SEEN, 2 * n))
    trained = session.trained.answering(training, replace(pool, subset=seen))
    tried: list[Ids] = []

    def judge(ids: Ids) -> float:
        tried.append(ids)
        return 0.0

    times = []
    try:
        for _ in range(2):  # the first call loads libraries
            tried.clear()
            started = time.perf_counter()
            view = look(trained, acquisition, session.config, session.next_round, stand_in=True)
            view.judge = judge
            acquisition.select(view, min(n, seen))
            session.machine.synchronise()
            times.append(time.perf_counter() - started)
            if times[0] > LONG:
                break
    except Exception as error:  # noqa: BLE001  (a user's method may raise anything)
        # What is wrong with it its own run will tell, and better: the weights here mean nothing.
        _LOG.info("no estimate of a query by %s: %r", acquisition.name, error)
        return None
    return QueryCost(min(times) * candidates / seen, len(tried))
