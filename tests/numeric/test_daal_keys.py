"""Every key of DAAL does what it says: each test fails where its key is ignored or inverted."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from sessions import labelled_session
from tolerance import assert_rounded, rounding, through
from views import acquire, array_view, normal

from labelgap.axes.stage import Batch, Stage
from labelgap.axes.training import Training
from labelgap.axes.view import PoolView
from labelgap.core.errors import LabelgapError, NumericalError
from labelgap.core.types import Query
from labelgap.learn.stage import StageRunner, learning_rate
from labelgap.methods.daal import acquisition as module
from labelgap.methods.daal.acquisition import DaalAcquisition
from labelgap.methods.daal.objective import Daal
from labelgap.methods.daal.settings import CriticSettings
from labelgap.methods.daal.stages import Parts, _Both
from labelgap.mixtures.critic import distance, gradient_penalty

N, K, D = 200, 3, 6


def view(critic: bool = True) -> PoolView:
    z = normal(N, D, seed=1) + 3 * torch.eye(K, D)[torch.arange(N) % K]
    logits = 2 * normal(N, K, seed=2) + 3 * torch.eye(K)[torch.arange(N) % K]
    outputs = {"features": z, "logits": logits}
    if critic:
        outputs["critic"] = normal(N, seed=3)
    z_l = normal(30, D, seed=4)
    given = {name: torch.zeros(30, *v.shape[1:]) for name, v in outputs.items()}
    return array_view(outputs, {**given, "features": z_l}, np.arange(30) % K, classes=K)


def ask(n: int = 12, /, **options: Any) -> Query:
    return acquire("daal", **options).select(view(), n)


def standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


# ------------------------------------------------------------------------------- the query


@pytest.mark.parametrize("beta", [0.0, 0.5, 3.0])
def test_beta_weighs_the_standardised_critic(beta: float) -> None:
    """Eq. 4, over the whole pool: S is all of it, and no item is left out."""
    query = ask(N, beta=beta, share=1.0, candidates=N)
    gap, critic = (query.parts[name] for name in ("likelihood_gap", "critic"))
    expected = standard(gap) + beta * standard(critic)
    assert query.score is not None
    assert np.allclose(query.score, expected, atol=1e-4)
    order = np.argsort(query.ids)
    assert np.allclose(critic[order], view().candidates("critic"), atol=0)


def test_the_likelihood_gap_is_unlike_the_labelled_and_typical_of_the_rest() -> None:
    query = ask(N, share=1.0, candidates=N)
    v, o = view(), acquire("daal").options.mixture
    z, logits = v.candidates("features"), v.candidates("logits")
    psi_l, psi_u = o.fit_both(v.labelled("features"), v.class_labels, z, logits, v.rng("x"))
    expected = (psi_u.log_likelihood(z) - psi_l.log_likelihood(z)).numpy()
    found = query.parts["likelihood_gap"][np.argsort(query.ids)]
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("key", "name"), [("likelihood", "likelihood_gap"), ("model", "critic")])
def test_a_term_can_be_left_out(key: str, name: str) -> None:
    other = {"likelihood_gap": "critic", "critic": "likelihood_gap"}[name]
    query = ask(N, share=1.0, candidates=N, **{key: False})
    assert list(query.parts) == [other]
    assert query.score is not None
    assert np.allclose(query.score, standard(query.parts[other]), atol=1e-4)


def test_ranks_are_the_mean_of_likelihood_critic_and_entropy() -> None:
    query = ask(N, share=1.0, candidates=N, combine="rank")
    assert set(query.parts) == {"likelihood_gap", "critic", "entropy"}
    order = np.argsort(query.ids)
    p = view().candidates("logits").softmax(dim=1)
    entropy = -(p * p.log()).sum(dim=1).numpy()
    assert np.allclose(query.parts["entropy"][order], entropy, atol=1e-5)
    expected = np.mean([rankdata(part) for part in query.parts.values()], axis=0)
    assert query.score is not None
    # Up to the scale and the origin of a rank, which change no order.
    slope, shift = np.polyfit(expected, query.score, 1)
    assert slope > 0
    assert np.allclose(query.score, slope * expected + shift, atol=1e-4)


@pytest.mark.parametrize(
    ("candidates", "share", "size"),
    [(2.0, 1.0, 24), (3.5, 1.0, 42), (100.0, 0.3, 60), (100.0, 0.25, 50), (1.0, 0.3, 12)],
)
def test_the_candidate_set_is_m_budgets_within_the_share_q(
    candidates: float, share: float, size: int
) -> None:
    query = ask(candidates=candidates, share=share)
    assert query.notes["candidate_set"] == size
    assert query.notes["candidate_share"] == size / N
    score = acquire("daal").combine(acquire("daal").parts(view()))
    whole = acquire("daal", kmeans=False, balance=False, candidates=candidates, share=share)
    best = set((1000 + torch.argsort(score, descending=True)[:12]).tolist())
    assert set(whole.select(view(), 12).ids.tolist()) == best


def test_balance_asks_for_each_pseudo_label_alike_and_its_absence_for_the_best() -> None:
    lopsided = view()
    # One class has all the score.
    lopsided._candidates["critic"][lopsided.pseudo_labels == 0] += 1000

    def counts(**options: Any) -> list[int]:
        query = acquire("daal", kmeans=False, likelihood=False, **options).select(lopsided, 12)
        pseudo = lopsided.pseudo_labels[torch.from_numpy(query.ids - 1000)]
        return np.bincount(pseudo.numpy(), minlength=K).tolist()

    assert counts() == [4, 4, 4]
    assert counts(balance=False) == [12, 0, 0]


def test_kmeans_spreads_the_query_over_the_candidate_set() -> None:
    def spread(query: Query) -> float:
        z = view().candidates("features")[torch.from_numpy(query.ids - 1000)]
        return float(torch.cdist(z, z).fill_diagonal_(np.inf).min(dim=1).values.mean())

    assert spread(ask()) > 1.1 * spread(ask(kmeans=False))


def test_the_querys_own_critic_has_the_settings_of_its_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, Any] = {}

    def record(critic: Any, h_l: Any, h_u: Any, settings: Any, **keys: Any) -> torch.Tensor:
        seen.update(keys, critic=critic, h_l=h_l, h_u=h_u, settings=settings)
        return torch.zeros(len(h_u))

    monkeypatch.setattr(module, "fit_critic", record)
    table = {"lr": 0.01, "penalty": 3.0, "width": 11, "sigmoid": True, "penalty_over": "features"}
    chosen = acquire("daal", critic_steps=7, critic_batch=9, critic=table)
    chosen.select(view(critic=False), 4)
    assert (seen["steps"], seen["batch"], seen["features"]) == (7, 9, D)
    assert seen["settings"] == CriticSettings(**table)
    assert any(p.shape[0] == 11 for p in seen["critic"].parameters())
    with torch.no_grad():
        bounded = seen["critic"](100 * seen["h_u"])
    assert ((bounded >= 0) & (bounded <= 1)).all()
    assert seen["h_u"].shape == (N, D + 2 * K + 2)
    acquire("daal", critic={"statistics": False}).select(view(critic=False), 4)
    assert torch.equal(seen["h_u"], view().candidates("features"))


@pytest.mark.parametrize("temperature", [1.0, 4.0, 0.0])
def test_the_temperature_divides_the_log_joint_of_the_querys_posteriors(
    temperature: float,
) -> None:
    chosen = acquire("daal", mixture={"temperature": temperature})
    assert isinstance(chosen, DaalAcquisition)
    v = view()
    z, z_l = v.candidates("features"), v.labelled("features")
    logits = v.candidates("logits")
    psi = chosen.options.mixture.fit_both(z_l, v.class_labels, z, logits, v.rng("x"))
    _, h_u = chosen._inputs(z, z_l, psi, [one.component_log_density(z) for one in psi])
    for i, mixture in enumerate(psi):
        joint = mixture.component_log_density(z) / (temperature or D)
        block = h_u[:, D + i * K : D + (i + 1) * K]
        assert torch.allclose(block, joint.softmax(dim=1), atol=1e-4)


@pytest.mark.parametrize("covariance", ["diagonal", "spherical"])
def test_mixtures_have_the_covariance_floor_and_average_of_their_keys(covariance: str) -> None:
    z = normal(90, D, seed=5) * torch.tensor([1e-3, *[1.0] * (D - 1)])
    hot = torch.eye(K)[torch.arange(90) % K]

    def fit(**options: Any) -> Any:
        chosen = acquire("daal", mixture={"covariance": covariance, **options}).options.mixture
        return chosen.fit(z, hot, np.random.default_rng(0))

    psi = fit()
    assert psi.variances.shape == (K, D if covariance == "diagonal" else 1)
    if covariance == "diagonal":
        mean = float(z.double().var(dim=0, correction=0).mean())
        for floor in (0.01, 0.1):
            least = float(fit(floor=floor).variances.min())
            assert least == pytest.approx(floor * mean, rel=1e-4)
    start, moved = fit(em_steps=0), fit(em_steps=20)
    centres = torch.stack([z[k::K].mean(dim=0) for k in range(K)])
    assert torch.allclose(start.means, centres, atol=1e-5)
    assert not torch.allclose(moved.means, centres, atol=1e-3)
    batched = fit(average="parameters", em_batch=10)
    assert not torch.allclose(batched.means, psi.means, atol=1e-3)
    assert torch.allclose(fit(average="parameters", em_batch=90).means, psi.means, atol=1e-3)


# ---------------------------------------------------------------------------- the training


def parts(critic: Any = None, **objective: Any) -> tuple[Parts, Training, Daal]:
    tables = {"objective": objective, "critic": critic or {}}
    session = labelled_session("daal", labels=60, steps=40, **tables)
    training = session.new_training(0)
    assert isinstance(session.objective, Daal)
    return Parts(session.objective.options, training), training, session.objective


def aligned(critic: Any = None, **objective: Any) -> tuple[Parts, Batch, _Both]:
    """A batch of the alignment stage, its forward pass made, ψ fitted."""
    session = labelled_session(
        "daal", labels=60, steps=40, objective=objective, critic=critic or {}
    )
    training = session.new_training(0)
    assert isinstance(session.objective, Daal)
    part = Parts(session.objective.options, training)
    runner = StageRunner(session.learner.inputs, training, part.alignment_stage())
    part.refresh_both(0)
    batch = runner.batch(3)
    batch.shared = part.forward(batch)
    return part, batch, batch.common(_Both)


def few_roundings(exact: float, *parts: float) -> Any:
    """But for the roundings of a handful of float32 sums, among them numbers as large as `parts`.

    What enters them is the same number, computed once or twice by the same code.
    """
    return pytest.approx(exact, abs=rounding("float32", 16) * max(map(abs, (exact, *parts))))


def gap_of(part: Parts, both: _Both) -> torch.Tensor:
    critic = part.t.modules["critic"]
    return critic(both.h_u).mean() - critic(both.h_l).mean()


def test_features_descend_the_distance_that_the_critic_ascends() -> None:
    """Eq. 2, and its signs: E_U[D] − E_L[D], with the weight `adversarial`."""
    losses, gap = {}, 0.0
    for weight in (0.0, 0.5, 2.0):
        part, batch, both = aligned(adversarial=weight, reg_in_alignment=False)
        losses[weight] = float(part.feature_loss(batch).detach())
        gap = float(gap_of(part, both).detach())
        scores = (part.t.modules["critic"](h).detach() for h in (both.h_l, both.h_u))
        assert float(distance(*scores)) == few_roundings(gap)
    assert losses[0.5] - losses[0.0] == few_roundings(0.5 * gap, losses[0.5])
    assert losses[2.0] - losses[0.0] == few_roundings(2.0 * gap, losses[2.0])


def test_reg_in_alignment_adds_alpha_times_the_regulariser() -> None:
    plain, batch, both = aligned(reg_in_alignment=False, alpha=0.7)
    without = float(plain.feature_loss(batch).detach())
    part, batch, both = aligned(reg_in_alignment=True, alpha=0.7)
    loss = float(part.feature_loss(batch).detach())
    more = loss - without
    assert more == few_roundings(0.7 * float(part.regulariser(both.z_l, batch.y).detach()), loss)
    assert more != 0


@pytest.mark.parametrize("over", ["input", "features"])
def test_the_critic_pays_lambda_times_the_penalty_over_what_is_said(over: str) -> None:
    options = CriticSettings.model_fields["penalty_over"].annotation
    choices = options.__args__  # type: ignore[union-attr]
    chosen = "features" if over == "features" else next(c for c in choices if c != "features")
    values = {}
    for weight in (0.0, 5.0):
        part, batch, both = aligned({"penalty": weight, "penalty_over": chosen})
        values[weight] = float(part.critic_loss(batch).detach())
        critic = part.t.modules["critic"]
        if not weight:
            scores = [critic(h).detach() for h in (both.h_l, both.h_u)]
            assert_rounded(
                values[0.0],
                -float(distance(*(s.double() for s in scores))),
                2 * (through(critic) + len(both.h_l)),  # the loss sums in its own order
                float(torch.cat(scores).abs().max()),
                dtype="float32",
            )
        columns = both.z_l.shape[1] if over == "features" else None
        rng = part.t.rng("penalty", batch.step, batch.turn)
        h_l, h_u = both.h_l.detach(), both.h_u.detach()
        penalty = float(gradient_penalty(critic, h_l, h_u, rng, columns).detach())
    assert values[5.0] - values[0.0] == few_roundings(5.0 * penalty, values[5.0], values[0.0])


def test_batch_norm_sees_both_sets_together_or_each_alone() -> None:
    for kind in ("joint", "separate"):
        part, batch, both = aligned(batch_norm=kind)
        network = part.t.network
        with torch.no_grad():
            alone = network(batch.x).logits
            together = network(torch.cat([batch.x, batch.unlabelled()])).logits[: len(batch.x)]
        expected, other = (together, alone) if kind == "joint" else (alone, together)
        assert torch.allclose(both.logits, expected, atol=1e-4)
        assert not torch.allclose(both.logits, other, atol=1e-2)


def test_each_mixture_is_of_its_own_set() -> None:
    part, t, _ = parts(statistics_items=None)
    part.refresh_both(0)
    out = t.predict(t.unlabelled_ids, {"features", "logits"})
    z_l = t.predict(t.labelled_ids, {"features"})["features"]
    psi_l, psi_u = (t.modules[f"psi_{name}"].mixture for name in ("labelled", "unlabelled"))
    assert torch.allclose(psi_l.weights @ psi_l.means, z_l.mean(dim=0), atol=1e-3)
    assert torch.allclose(psi_u.weights @ psi_u.means, out["features"].mean(dim=0), atol=1e-3)
    small, t, _ = parts(statistics_items=20)
    assert len(small._sample(t.unlabelled_ids, "unlabelled sample", 0)) == 20


def test_the_alignment_stage_has_the_settings_of_its_keys() -> None:
    def stage(**objective: Any) -> Stage:
        return parts(**objective)[0].alignment_stage()

    assert stage(align_fraction=0.5).steps == 20
    assert stage(align_steps=33).steps == 33
    critic, features = stage(
        critic={"lr": 0.002}, critic_steps=3, align_lr=0.03, align_optimiser="sgd"
    ).phases
    assert (critic.name, critic.optimiser.lr, critic.repeats) == ("critic", 0.002, 3)
    assert (features.optimiser.kind, features.optimiser.lr) == ("sgd", 0.03)
    # Paper §3: 5e-4, a tenth of it in the last 2,000 of 10,000 iterations.
    decayed = [learning_rate(critic.optimiser, step, 10_000) for step in (0, 7_999, 8_000, 9_999)]
    assert decayed == pytest.approx([0.002, 0.002, 0.0002, 0.0002])
    ((every, _),) = stage(align_steps=400, refresh_fraction=0.05).refresh
    assert every == 20


def test_alignment_takes_the_runs_momentum_and_refits_what_is_read() -> None:
    part, t, _ = parts(align_steps=1000)
    stage = part.alignment_stage()
    features = stage.phases[1].optimiser
    assert features.momentum == t.settings.momentum > 0
    assert features.weight_decay == t.settings.weight_decay > 0
    rates = [learning_rate(features, step, 1000) for step in (799, 800)]
    assert rates == pytest.approx([features.lr, features.lr / 10])
    assert stage.unlabelled_batch == stage.batch_size == t.batch_size
    both = [(True, "refresh_both"), (False, "refresh_labelled")]
    for statistics, name in both:
        ((_, refit),) = parts({"statistics": statistics})[0].alignment_stage().refresh
        assert refit.__name__ == name
    assert parts({"statistics": False}, reg=False)[0].alignment_stage().refresh == ()
    assert len(parts({"statistics": True}, reg=False)[0].alignment_stage().refresh) == 1


def test_a_query_of_none_is_empty_and_one_of_more_than_all_is_refused() -> None:
    assert len(ask(0)) == 0
    assert len(ask(1)) == 1
    with pytest.raises(LabelgapError, match=str(N)):
        ask(N + 1)


def test_without_terms_the_query_is_spread_and_balanced_alone() -> None:
    query = ask(12, likelihood=False, model=False)
    assert query.score is not None
    assert (query.score == 0).all()
    assert len(set(query.ids.tolist())) == 12


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_critic_that_is_not_finite_is_named(value: float) -> None:
    broken = view()
    broken._candidates["critic"][7] = value
    with pytest.raises(NumericalError, match="critic"):
        acquire("daal").select(broken, 4)


@pytest.mark.parametrize(
    ("objective", "players", "stages"),
    [
        ({}, {"psi_labelled", "psi_unlabelled", "critic"}, 2),
        ({"reg": False}, {"psi_labelled", "psi_unlabelled", "critic"}, 2),
        ({"reg": False, "critic": {"statistics": False}}, {"critic"}, 2),
        ({"align": False}, {"psi_labelled"}, 1),
        ({"align": False, "reg": False}, set(), 1),
    ],
)
def test_reg_alignment_and_statistics_are_there_or_not(
    objective: dict[str, Any], players: set[str], stages: int
) -> None:
    _, training, daal = parts(**objective)
    assert set(training.modules) == players
    made = daal.stages(training)
    assert len(made) == stages
    assert bool(made[0].refresh) is objective.get("reg", True)
    assert daal.outputs == (frozenset({"critic"}) if "critic" in players else frozenset())
