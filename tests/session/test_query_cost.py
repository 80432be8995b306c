"""The cost of a query, timed on a part of the pool, in the announced cost of a run."""

import pytest

from labelgap.check.case import Case, tiny_task
from labelgap.core.device import machine
from labelgap.loop import query_cost as costing
from labelgap.loop.estimate import estimate
from labelgap.loop.oracle import Oracle
from labelgap.methods import METHODS
from labelgap.session.session import Session

PLACE = machine("cpu", "float32")


@pytest.fixture
def session():
    """Of the method entropy, its initial set answered and nothing trained."""
    config = Case(METHODS["entropy"]).config(loop={"budget": 8, "rounds": 2})
    with Session(tiny_task(), config, machine=PLACE) as made:
        made.tell(Oracle(made.task).answer(made.ask(config.loop.initial)))
        yield made


def test_a_timed_query_leaves_no_trace(session):
    before = [(e.kind, e.round) for e in session.ledger.events()]
    cost = costing.query_cost(session, session.new_training(0), 8)
    assert cost.seconds > 0
    assert cost.trainings == 0
    assert [(e.kind, e.round) for e in session.ledger.events()] == before
    assert not session.trained.is_there
    assert session.pool.subset == session.config.loop.pool_subset


def test_a_part_of_the_pool_is_looked_at_and_the_rest_multiplied_in(session, monkeypatch):
    seen = []
    look = costing.look

    def watched(*args, **keys):
        view = look(*args, **keys)
        seen.append(len(view.candidate_ids))
        return view

    monkeypatch.setattr(costing, "look", watched)
    monkeypatch.setattr(costing, "SEEN", 20)
    ticks = iter(float(i) for i in range(100))
    monkeypatch.setattr(costing.time, "perf_counter", lambda: next(ticks))
    cost = costing.query_cost(session, session.new_training(0), 8)
    assert set(seen) == {20}
    assert cost.seconds == pytest.approx(len(session.candidate_ids(1)) / 20)


def test_an_upper_line_counts_its_trainings(session):
    class Judges(type(session.acquisition)):
        def select(self, view, n):
            for _ in range(3):
                view.judge(view.candidate_ids[:n])
            return super().select(view, n)

    session.acquisition = Judges(session.acquisition.options)
    assert costing.query_cost(session, session.new_training(0), 8).trainings == 3


def test_a_query_that_fails_has_no_estimate_and_the_run_still_has(session, monkeypatch):
    class Fails(type(session.acquisition)):
        def select(self, view, n):
            raise ZeroDivisionError

    session.acquisition = Fails(session.acquisition.options)
    assert costing.query_cost(session, session.new_training(0), 8) is None
    monkeypatch.setattr("labelgap.loop.estimate.query_cost", lambda *_: None)
    cost = estimate(session.config, tiny_task(), PLACE)
    assert cost.query == 0
    assert cost.total == pytest.approx(cost.train + cost.align + cost.predict)


def test_trainings_of_an_upper_line_are_in_the_cost(session, monkeypatch):
    asked = costing.QueryCost(2.0, trainings=3)
    monkeypatch.setattr("labelgap.loop.estimate.query_cost", lambda *_: asked)
    with_them = estimate(session.config, tiny_task(), PLACE)
    rounds = session.config.loop.rounds
    # Its rounds but the last ask; steps, not epochs: each round's training costs the same.
    trained = (with_them.query - 2.0 * rounds) / (3 * rounds) * (rounds + 1)
    assert trained == pytest.approx(with_them.train + with_them.align)
