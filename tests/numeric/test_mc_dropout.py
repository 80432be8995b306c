"""MC-dropout and BALD: their definitions, and what is stochastic in a pass."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from sessions import fitted, labelled_session, vectors
from tolerance import assert_rounded, through
from views import acquire, array_view, normal

from labelgap.core.errors import NumericalError, PairError
from labelgap.loop.oracle import Oracle
from labelgap.networks.network import Network
from labelgap.session.presets import resolve
from labelgap.session.session import Session
from labelgap.session.weights import weights_hash

SMALL = {"width": 4, "blocks": [1, 1]}


def definitions(mc_logits):
    """(predictive entropy, variation ratio, BALD), written out with scipy."""
    p = softmax(mc_logits.astype(np.float64), axis=2)
    mean = p.mean(axis=1)
    predictive = entropy(mean, axis=1)
    return predictive, 1 - mean.max(axis=1), predictive - entropy(p, axis=2).mean(axis=1)


@pytest.mark.parametrize(
    ("name", "options", "which"),
    [
        ("mc-dropout", {}, 0),
        ("mc-dropout", {"score": "variation-ratio"}, 1),
        ("bald", {}, 2),
    ],
)
def test_takes_the_top_of_its_definition(name, options, which):
    mc = 3 * normal(200, 7, 5)
    query = acquire(name, **options).select(
        array_view({"mc_logits": mc, "logits": mc.mean(1)}, classes=5), 20
    )
    expected = definitions(mc.numpy())[which]
    # Scores, not places: two that are equal but for rounding may take turns.
    best = np.sort(expected)[::-1][:20]
    for found in (query.score, expected[query.ids - 1000], next(iter(query.parts.values()))):
        np.testing.assert_allclose(found, best)
    assert len(set(query.ids.tolist())) == 20


def test_bald_prefers_disagreement_to_agreed_doubt():
    doubt = torch.zeros(1, 10, 2)  # every pass says one half
    quarrel = torch.tensor([[20.0, 0.0], [0.0, 20.0]]).repeat(5, 1)[None]  # sure, and opposite
    sure = torch.tensor([20.0, 0.0]).expand(1, 10, 2)
    mc = torch.cat([doubt, quarrel, sure])
    view = array_view({"mc_logits": mc, "logits": mc.mean(1)}, classes=2)
    query = acquire("bald").select(view, 3)
    assert query.ids[0] == 1001
    assert query.score == pytest.approx([np.log(2), 0, 0], abs=1e-6)
    # The mean prediction of the first two is the same: MC-dropout cannot tell them apart.
    scores = dict(zip(*(acquire("mc-dropout").select(view, 3).ids.tolist(),
                        acquire("mc-dropout").select(view, 3).score), strict=True))  # fmt: skip
    assert scores[1000] == pytest.approx(scores[1001], abs=1e-6)


def test_nan_in_the_passes_is_refused():
    mc = normal(20, 3, 4)
    mc[5, 1, 2] = torch.nan
    view = array_view({"mc_logits": mc, "logits": normal(20, 4)}, classes=4)
    with pytest.raises(NumericalError):
        acquire("bald").select(view, 3)


@pytest.mark.parametrize("name", ["mc-dropout", "bald"])
def test_pair_without_dropout_is_refused_when_it_is_made(name):
    with pytest.raises(PairError, match=r"network\.dropout"):
        labelled_session(name, network={"dropout": 0.0})


def test_an_own_network_without_dropout_is_refused_and_not_asked_ten_times_the_same():
    class Bare(Network):
        def __init__(self):
            super().__init__(64, (64,), 10)

        def trunk(self, x):
            return x, [x]

    config = resolve({"method": "bald", "training": {"steps": 2}})
    session = Session(vectors(), config, build=Bare)
    session.tell(Oracle(session.task).answer(session.ask(20)))
    session.fit()
    with pytest.raises(PairError, match="Bare has no such module"):
        session.ask(5)


def test_only_dropout_is_stochastic_and_nothing_is_left_changed():
    session = fitted("bald", steps=20, network=SMALL)
    network, view = session.training.network, session.view(1)
    before = weights_hash(network)  # parameters and buffers: batch-norm's statistics too
    ids = view.candidate_ids[:16]
    passes = view.passes(ids, 8)
    assert weights_hash(network) == before
    assert not any(m.training for m in network.modules())
    spread = passes.std(dim=1)
    assert (spread > 0).all()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 1e-12  # as good as none, yet still among the dropout modules
    still = view.passes(ids, 3)
    exact = session.learner.predict(network, ids, {"logits"})["logits"]
    for t in range(3):
        assert_rounded(still[:, t], exact, 2 * through(network), exact.abs().max())


def test_a_query_repeats_and_other_rounds_draw_other_passes():
    session = fitted("mc-dropout", steps=20, network=SMALL)
    one, two, other = session.view(1), session.view(1), session.view(2)
    ids = one.candidate_ids[:32]
    assert torch.equal(one.passes(ids, 4), two.passes(ids, 4))
    assert not torch.equal(one.passes(ids, 4), other.passes(ids, 4))


def test_finds_ambiguous_items():
    """Trained on zeros and ones, an average of a zero and a one is more doubtful than either."""
    session = fitted("mc-dropout", labels=120, classes=(0, 1), steps=80)
    view = session.view(1)
    task = session.task
    truth = task.train.labels[view.candidate_ids]
    known = view.candidate_ids[np.isin(truth, (0, 1))]
    query = session.acquisition.select(view, 60)
    share = np.isin(query.ids, known).mean()
    # Known classes are a fifth of the pool; the doubtful are mostly of the other eight.
    assert share < 0.15
