"""MQ-Net: purity and ranking by loops, monotone by construction, taught by its own queries."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sessions import digits, labelled_session
from tolerance import assert_rounded
from torch import Tensor
from torch.nn import functional as F
from views import acquire, array_view, normal

from labelgap.axes.view import PoolView
from labelgap.core.types import NONE_OF_THESE
from labelgap.data import simulate
from labelgap.loop.oracle import Oracle
from labelgap.methods.mq_net import Monotone, MqNetOptions, answered, meta_train, purity, ranking


def test_purity_is_the_largest_cosine() -> None:
    z, known = normal(50, 6), normal(700, 6, seed=1)
    cosines = F.cosine_similarity(z[:, None].double(), known[None].double(), dim=2)
    assert_rounded(purity(z, known), cosines.amax(1), 3 * 6, 1.0)
    assert not purity(z, known[:0]).any()


@settings(deadline=None)
@given(seed=st.integers(0, 2**16), b=st.integers(2, 11), margin=st.floats(0.1, 2.0))
def test_ranking_is_its_definition_without_equal_pairs(seed: int, b: int, margin: float) -> None:
    rng = np.random.default_rng(seed)
    score, loss = rng.standard_normal(b), np.maximum(0, rng.standard_normal(b)).round(1)
    terms = []
    for i in range(b // 2):
        j = b - 1 - i
        if loss[i] != loss[j]:
            terms.append(max(0.0, margin - np.sign(loss[i] - loss[j]) * (score[i] - score[j])))
    found = ranking(torch.tensor(score), torch.tensor(loss), margin)
    assert float(found) == pytest.approx(np.mean(terms) if terms else 0.0)


@pytest.mark.parametrize("trained", [False, True])
def test_more_of_either_is_never_worse(trained: bool) -> None:
    rng = np.random.default_rng(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the draws of the test's own network
        model = Monotone(64).double()
    z = torch.tensor(rng.exponential(size=(40, 2)))
    if trained:  # even where the answers say the opposite
        meta_train(model, z, -z.sum(1), MqNetOptions(steps=200, lr=0.1), rng)
    low = torch.tensor(rng.exponential(size=(500, 2)))
    more = low + torch.tensor(rng.exponential(size=(500, 2)) * (rng.random((500, 2)) < 0.5))
    with torch.no_grad():
        assert (model(more) >= model(low)).all()


@pytest.mark.parametrize("matters", [0, 1])
def test_meta_training_learns_which_input_matters(matters: int) -> None:
    rng = np.random.default_rng(1)
    z = torch.tensor(np.exp(rng.standard_normal((80, 2))))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Monotone(64).double()
    loss = z[:, matters].clone()

    def agreement() -> float:
        with torch.no_grad():
            score = model(z)
        order = torch.sign(score[:, None] - score) * torch.sign(loss[:, None] - loss)
        return float(order.mean())

    before = agreement()
    meta_train(model, z, loss, MqNetOptions(), rng)
    assert agreement() > before + 0.1
    assert agreement() > 0.7


def planted() -> dict[str, Tensor]:
    """200 candidates in the classes, 200 outside; those outside are the less certain ones."""
    inside = torch.eye(8)[0] + 0.3 * normal(200, 8, seed=2)
    outside = torch.eye(8)[1] + 0.3 * normal(200, 8, seed=3)
    sharp = 2.0 * normal(200, 3, seed=4).abs()
    return {
        "embedding": torch.cat([inside, outside]),
        "logits": torch.cat([sharp, 0.2 * sharp]),
    }


def view_of(rejected: int, memory: dict[int, dict[str, np.ndarray]] | None = None) -> PoolView:
    known = {"embedding": torch.eye(8)[0] + 0.3 * normal(30, 8, seed=5), "logits": normal(30, 3)}
    return array_view(
        planted(),
        known,
        np.arange(30) % 3,
        round=2,
        rejected_ids=np.arange(500, 500 + rejected, dtype=np.int64),
        memory=memory,
    )


def test_closed_sets_are_ordered_by_informativeness() -> None:
    view = view_of(0)
    query = acquire("mq-net").select(view, 40)
    margin = acquire("least-confidence").select(view, 40)
    assert query.ids.tolist() == margin.ids.tolist()
    assert query.notes["rule"] == "informativeness"
    predicted = {**planted(), "predicted_loss": normal(400, seed=9)}
    with_loss = array_view(predicted, {k: x[:5] for k, x in predicted.items()}, [0, 1, 2, 0, 1])
    best = predicted["predicted_loss"].topk(20).indices + 1000
    assert acquire("mq-net").select(with_loss, 20).ids.tolist() == best.tolist()


def test_answers_turn_the_query_from_strangers() -> None:
    """Uncertain strangers, remembered with loss 0, teach that purity is what counts."""

    def strangers(view: PoolView) -> int:
        return int((acquire("mq-net").select(view, 60).ids >= 1200).sum())

    # A remembered query: informativeness told nothing, purity all.
    rng = np.random.default_rng(3)
    pure = np.repeat([2.0, 0.3], 30)
    inputs = np.stack([np.exp(0.5 * rng.standard_normal(60)), pure], axis=1)
    ids = np.concatenate([np.arange(30), np.arange(500, 530)])
    memory = {1: {"ids": ids, "inputs": inputs, "logits": rng.standard_normal((60, 3))}}
    taught = view_of(30, memory)
    z, loss = answered(taught)
    assert len(z) == 60
    assert (loss[30:] == 0).all()
    expected = F.cross_entropy(torch.tensor(memory[1]["logits"][:30]), taught.class_labels)
    assert float(loss[:30].mean()) == pytest.approx(float(expected))
    blind = int((acquire("least-confidence").select(taught, 60).ids >= 1200).sum())
    assert blind > 30
    assert strangers(taught) < blind / 3
    assert acquire("mq-net").select(taught, 5).notes == {"rule": "meta-network", "taught_by": 60}
    assert acquire("mq-net").select(view_of(30), 5).notes == {"rule": "sum"}


def test_an_open_set_from_end_to_end() -> None:
    """The second query is taught by the first one's answers, and survives a reopened ledger."""
    task = simulate.open_set(digits(), 0.3, np.random.default_rng(0))
    session = labelled_session(
        "mq-net", task=task, labels=40, steps=30, data={"name": "digits", "open_set": 0.3}
    )
    oracle, found = Oracle(task), []
    for _ in range(2):
        session.fit()
        query = session.ask(30)
        found.append(session.view(session.round))
        session.tell(oracle.answer(query))
    assert (session.view(3).rejected_ids.size) > 0
    memory = session.view(3).memory
    assert sorted(memory) == [1, 2]
    ids = [item.id for item in session.ledger.queries(2)]
    assert memory[2]["ids"].tolist() == ids
    assert memory[2]["logits"].shape == (30, task.num_classes)
    z, loss = answered(session.view(3))
    outside = task.train.labels[memory[2]["ids"]] == NONE_OF_THESE
    assert len(z) == 30
    assert (loss.numpy()[outside] == 0).all()
    assert (loss.numpy()[~outside] > 0).all()
    notes = session.ledger.notes("scored")
    assert notes[0].data["notes"]["rule"] == "sum"
    assert notes[1].data["notes"]["rule"] == "meta-network"
    plain = labelled_session("mq-net", labels=30, steps=5)  # all ten classes
    plain.fit()
    assert len(plain.ask(10)) == 10
    assert plain.ledger.notes("scored")[0].data["notes"]["rule"] == "informativeness"
