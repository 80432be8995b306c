"""The upper line: the best of the proposals by the truth, and no method."""

import numpy as np
import pytest
from views import acquire, array_view, normal

from labelgap.bench.grid.arms import arms_of
from labelgap.check.case import Case, tiny_task
from labelgap.core.device import machine
from labelgap.core.errors import LabelgapError, UnknownName
from labelgap.loop import run as loop
from labelgap.loop.oracle import Oracle
from labelgap.methods import METHODS
from labelgap.session.claim import prepare
from labelgap.session.presets import resolve
from labelgap.session.weights import weights_hash

MEMBERS = ["random", "margin", "coreset"]


def view_of(**more):
    arrays = {"features": normal(40, 4), "logits": normal(40, 3, seed=1)}
    return array_view(arrays, {k: v[:3] for k, v in arrays.items()}, [0, 1, 2], **more)


def test_the_proposal_is_kept_that_is_judged_best():
    seen = []

    def judge(ids):
        seen.append(ids.tolist())
        return float(ids.sum() % 17)

    made = acquire("oracle", members=MEMBERS, batches=3)
    query = made.select(view_of(judge=judge), 5)
    worth = [sum(ids) % 17 for ids in seen]
    assert len(seen) == query.notes["tried"] == 9
    assert query.ids.tolist() == seen[int(np.argmax(worth))]
    assert query.notes["judged"] == max(worth)
    assert query.notes["chosen_by"] == MEMBERS[int(np.argmax(worth)) // 3]
    # The first of each member is what it would ask of the whole pool.
    assert seen[3] == acquire("margin").select(view_of(), 5).ids.tolist()


def test_without_the_truth_it_is_refused():
    with pytest.raises(LabelgapError, match="the upper line of a benchmark and no method"):
        acquire("oracle", members=MEMBERS).select(view_of(), 5)
    with Case(METHODS["random"]).fitted() as other:
        assert other.judge is None


def configuration():
    tree = Case(METHODS["margin"]).config().model_dump(mode="json")
    kept = {k: tree[k] for k in ("network", "training", "loop", "precision")}
    kept["training"].pop("epochs")
    kept["loop"]["rounds"] = 2
    pair = {"objective_name": "cross-entropy", "acquisition_name": "oracle"}
    return resolve({**kept, **pair, "acquisition": {"members": MEMBERS}})


def test_what_it_judged_is_what_the_next_round_measures(tmp_path):
    """The trial is the training that follows, bit for bit: same weights, batches and steps."""
    made, place = configuration(), machine("cpu", "float32")
    prepare(tmp_path, made, place)
    result = loop.run(made, tiny_task(), tmp_path, place)
    for entry in result["rounds"][1:]:
        assert entry["notes"]["tried"] == 3
        assert entry["notes"]["judged"] == entry["accuracy"]


def test_a_trial_leaves_no_trace():
    with Case(METHODS["margin"]).fitted() as session:
        before = weights_hash(session.training.network)
        events = session.ledger.seq
        ids, labels = session.labelled()
        other = session.trained.trial(ids[:12], labels[:12], 1)
        assert weights_hash(other.network) != before
        assert weights_hash(session.training.network) == before
        assert session.ledger.seq == events
        assert session.fitted_round == 0
        more = Oracle(session.task).answer_ids(session.unlabelled_ids()[:3])
        assert all(answer.label is not None for answer in more)


def test_it_is_no_method_and_says_so_where_it_is_an_arm():
    assert "oracle" not in METHODS
    with pytest.raises(UnknownName, match="Unknown method 'oracle'"):
        resolve({"method": "oracle"})
    arms = dict(arms_of({"methods": ["random", "oracle"]}))
    assert arms["oracle (upper line, no method)"] == {
        "objective_name": "cross-entropy",
        "acquisition_name": "oracle",
    }
