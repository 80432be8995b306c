"""A round asked in portions: one round to everything that reads it, and safe to kill."""

from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest

from labelgap.check.case import Case, Fault, failing_at, tiny_task
from labelgap.core.device import machine
from labelgap.core.errors import LabelgapError
from labelgap.ledger.ledger import LEDGER, Ledger
from labelgap.loop import run as loop
from labelgap.loop.estimate import estimate, looks
from labelgap.loop.oracle import Oracle
from labelgap.loop.result import QUERIES
from labelgap.methods import METHODS
from labelgap.session.claim import prepare
from labelgap.session.session import Session
from labelgap.session.weights import WEIGHTS

PLACE = machine("cpu", "float32")


def config(name, **loop_):
    values = {"acquisition": {"portion": 3}, "loop": {"budget": 8, "rounds": 2, **loop_}}
    return Case(METHODS[name]).config(**values)


def run(name, folder, **loop_):
    made = config(name, **loop_)
    prepare(folder, made, PLACE)
    return loop.run(made, tiny_task(), folder, PLACE)


@pytest.mark.parametrize("name", ["direct", "galaxy"])
def test_portions_are_one_round(name, tmp_path):
    result = run(name, tmp_path)
    assert [r["labels"] for r in result["rounds"]] == [24, 32, 40]
    assert result["audit"]["distinct_labels"] == result["audit"]["claimed_labels"] == 40
    with Ledger.open(tmp_path / LEDGER) as ledger:
        events = [(e.kind, e.round) for e in ledger.events() if e.kind in ("asked", "labelled")]
        # Three, three and two, each answered before the next is asked; one training a round.
        of_round = [kind for kind, round in events if kind == "labelled" or round == 1]
        asked = [i for i, (kind, round) in enumerate(events) if kind == "asked" and round == 1]
        assert len(asked) == 8
        between = [sum(k == "labelled" for k, _ in events[a:b]) for a, b in pairwise(asked)]
        assert between == [0, 0, 3, 0, 0, 3, 0]
        assert len(of_round) > 8
        assert [e.round for e in ledger.notes("fitted")] == [0, 1, 2]
        assert [e.round for e in ledger.notes("scored")] == [1, 1, 1, 2, 2, 2]
        assert [item.rank for item in ledger.queries(1)] == list(range(1, 9))
        choosing = [e.data["seconds"]["select"] for e in ledger.notes("scored") if e.round == 2]
    assert result["rounds"][2]["seconds"]["select"] == pytest.approx(sum(choosing))
    loop_ = config(name).loop
    assert looks(loop_, 3) == 6  # as many as the notes say
    assert looks(loop_, None) == 2


def test_the_pool_offered_is_that_of_every_other_method(tmp_path):
    ours, other = run("direct", tmp_path / "a"), run("galaxy", tmp_path / "b")
    key = "pool_permutation_sha256"
    made = Case(METHODS["random"]).config(loop={"budget": 8, "rounds": 2})
    prepare(tmp_path / "c", made, PLACE)
    random = loop.run(made, tiny_task(), tmp_path / "c", PLACE)
    assert ours["audit"][key] == other["audit"][key] == random["audit"][key]


@pytest.mark.parametrize("name", ["direct", "galaxy"])
def test_killed_between_portions_it_asks_the_same(name, tmp_path):
    run(name, tmp_path / "whole", rounds=1)
    expected = (tmp_path / "whole" / QUERIES).read_bytes()
    event = 0
    while True:
        folder = tmp_path / f"fault-{event}"
        with failing_at(event, stride=2) as struck, suppress(Fault):
            run(name, folder, rounds=1)
        if not struck:
            break
        run(name, folder, rounds=1)
        assert (folder / QUERIES).read_bytes() == expected, f"after a fault at {event}"
        event += 1
    assert event > 5


def test_half_a_round_without_the_network_that_chose_it_is_refused(tmp_path):
    made = config("direct")
    prepare(tmp_path, made, PLACE)
    with Session(tiny_task(), made, folder=tmp_path, machine=PLACE) as session:
        oracle = Oracle(session.task)
        session.tell(oracle.answer(session.ask(24)))
        session.fit()
        session.tell(oracle.answer(session.ask(3, later=5)))
    (tmp_path / WEIGHTS.format(round=0)).unlink()
    with pytest.raises(LabelgapError, match=r"Round 1 is half asked, and the network .*round 0"):
        loop.run(made, tiny_task(), tmp_path, PLACE)


def test_without_a_benchmark_a_query_is_a_round():
    """A person's question is answered in days: nothing waits for a later portion."""
    with Case(METHODS["direct"]).fitted(acquisition={"portion": 3}) as session:
        query = session.ask(8)
        assert len(set(query.ids.tolist())) == 8
        session.tell(Oracle(session.task).answer(query))
        session.fit()
        assert np.unique(session.ask(8).ids).size == 8
        assert session.round == 2


def test_a_run_in_portions_can_be_estimated():
    cost = estimate(config("direct"), tiny_task(), PLACE)
    assert cost.total >= cost.predict > 0
