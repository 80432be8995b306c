"""DAAL's pieces put together by hand: the query, its draws, the samples of ψ, the stages' parts."""

from typing import Any

import numpy as np
import pytest
import torch
from sessions import labelled_session, vectors
from views import acquire, array_view, normal

from labelgap.axes.stage import Batch
from labelgap.axes.training import Training
from labelgap.axes.view import PoolView
from labelgap.check.case import Case
from labelgap.core.errors import LabelgapError, NumericalError
from labelgap.learn.stage import StageRunner, learning_rate
from labelgap.learn.supervised import cross_entropy
from labelgap.methods import METHODS
from labelgap.methods.daal import acquisition as module
from labelgap.methods.daal import settings
from labelgap.methods.daal.acquisition import DaalAcquisition
from labelgap.methods.daal.fit import fit_critic
from labelgap.methods.daal.objective import Daal
from labelgap.methods.daal.settings import CriticSettings, MixtureSettings
from labelgap.methods.daal.stages import Parts, _Both, critic_input_of
from labelgap.mixtures import em
from labelgap.mixtures.characteristic import Characteristic, critic_input
from labelgap.mixtures.critic import gradient_penalty
from labelgap.select.balance import balanced_candidates
from labelgap.select.kmeans import representatives
from labelgap.select.top import standardise, top

N, K, D = 90, 3, 5


def view(d: int = D, critic: bool = False) -> PoolView:
    z = normal(N, d, seed=1) + 3 * torch.eye(K, d)[torch.arange(N) % K]
    logits = 2 * normal(N, K, seed=2) + 3 * torch.eye(K)[torch.arange(N) % K]
    outputs = {"features": z, "logits": logits} | ({"critic": normal(N, seed=3)} if critic else {})
    known = {name: torch.zeros(30, *v.shape[1:]) for name, v in outputs.items()}
    known["features"] = normal(30, d, seed=4)
    return array_view(outputs, known, np.arange(30) % K, classes=K)


def daal(**options: Any) -> DaalAcquisition:
    made = acquire("daal", **options)
    assert isinstance(made, DaalAcquisition)
    return made


# ---------------------------------------------------------------------- the query


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("kmeans", [True, False])
def test_a_query_is_score_then_candidates_then_spread(balance: bool, kmeans: bool) -> None:
    chosen = daal(balance=balance, kmeans=kmeans, candidates=3.0, share=0.5)
    v = view(critic=True)
    score = chosen.combine(chosen.parts(v))

    def best(n: int) -> torch.Tensor:
        if balance:
            return balanced_candidates(score, v.pseudo_labels, K, n, v.ties())
        return top(score, n, v.ties())

    subset = best(30)
    if kmeans:
        z = v.candidates("features")[subset]
        subset = subset[representatives(z, 10, v.rng("k-means"))]
    else:
        subset = best(10)
    expected = sorted(subset.tolist(), key=lambda i: -float(score[i]))
    found = chosen.select(v, 10)
    assert (found.ids - 1000).tolist() == expected
    assert found.notes == {"candidate_set": 30, "candidate_share": 30 / N}
    assert found.score is not None
    assert found.score.tolist() == score[expected].double().tolist()
    assert found.pseudo_label is not None
    assert found.pseudo_label.tolist() == v.pseudo_labels[expected].tolist()
    for name, part in chosen.parts(v).items():
        assert found.parts[name].tolist() == part[expected].double().tolist()


@pytest.mark.parametrize("n", [8, 40])
@pytest.mark.parametrize("kmeans", [True, False])
def test_copies_are_one_row_that_weighs_as_many(kmeans: bool, n: int) -> None:
    """Each row that differs by its item of the smallest draw; copies only once none is left."""
    which = np.random.default_rng(5).integers(0, 30, N)
    plain = view(critic=True)
    outputs = {name: value.clone() for name, value in plain._candidates.items()}
    outputs["features"] = outputs["features"][torch.from_numpy(which)]
    v = array_view(outputs, dict(plain._labelled), plain.labels, classes=K)
    chosen = daal(kmeans=kmeans, candidates=3.0, share=0.9)
    score, ties = chosen.combine(chosen.parts(v)), v.ties()
    groups = [np.flatnonzero(which == k) for k in np.unique(which)]
    groups.sort(key=lambda g: g[np.argmin(ties[g])])
    rows = np.array([g[np.argmin(ties[g])] for g in groups])
    few = min(n, len(rows))
    size = max(few, min(3 * few, round(0.9 * len(rows))))
    number = size if kmeans else few
    pseudo = v.pseudo_labels[torch.from_numpy(rows)]
    subset = balanced_candidates(score[torch.from_numpy(rows)], pseudo, K, number, ties[rows])
    if kmeans:
        weights = np.array([float(len(groups[int(k)])) for k in subset])
        z = v.candidates("features")[torch.from_numpy(rows[subset.numpy()])]
        subset = subset[representatives(z, few, v.rng("k-means"), weights)]
    best = sorted(rows[subset.numpy()].tolist(), key=lambda i: -float(score[i]))
    spare = sorted(set(range(N)) - set(rows.tolist()), key=lambda i: ties[i])
    found = chosen.select(v, n)
    assert (found.ids - 1000).tolist() == [*best, *spare][:n]
    assert found.notes == {"candidate_set": size, "candidate_share": size / len(rows)}


def test_the_candidate_set_is_balanced_also_where_kmeans_takes_all_of_it() -> None:
    v = view(critic=True)
    v._candidates["critic"][v.pseudo_labels == 0] += 1000

    def counts(balance: bool) -> list[int]:
        chosen = daal(balance=balance, likelihood=False, candidates=1.0, share=1.0)
        pseudo = chosen.select(v, 12).pseudo_label
        return np.bincount(pseudo, minlength=K).tolist()

    assert counts(True) == [4, 4, 4]
    assert counts(False) == [12, 0, 0]


def test_mixtures_of_a_query_are_fitted_on_batches_of_its_own_stream() -> None:
    mixture = {"average": "parameters", "em_batch": 10, "em_steps": 2}
    chosen, v = daal(mixture=mixture, model=False), view()
    z, logits = v.candidates("features"), v.candidates("logits")
    psi_l, psi_u = chosen.options.mixture.fit_both(
        v.labelled("features"), v.class_labels, z, logits, v.rng("EM batches")
    )
    expected = psi_u.log_likelihood(z) - psi_l.log_likelihood(z)
    assert torch.equal(chosen.parts(v)["likelihood_gap"], expected)


def test_the_querys_critic_is_drawn_and_trained_from_streams_of_its_own() -> None:
    chosen, v = daal(critic_steps=3, critic_batch=7, critic={"width": 6}), view()
    found = chosen.parts(v)["critic"]
    o = chosen.options
    z, z_l = v.candidates("features"), v.labelled("features")
    psi = o.mixture.fit_both(z_l, v.class_labels, z, v.candidates("logits"), v.rng("x"))
    h_l, h_u = chosen._inputs(z, z_l, psi, [one.component_log_density(z) for one in psi])
    with v.scope("critic"):
        critic = o.critic.new(D, K)
    expected = fit_critic(
        critic, h_l, h_u, o.critic, features=D, steps=3, batch=7, rng=v.rng("critic batches")
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("d", [2, 5])
@pytest.mark.parametrize("covariance", ["diagonal", "spherical"])
def test_a_critic_sees_features_posteriors_and_likelihoods_of_both(d: int, covariance: str) -> None:
    chosen, v = daal(mixture={"covariance": covariance, "temperature": 2.0}), view(d)
    z, z_l = v.candidates("features"), v.labelled("features")
    psi = chosen.options.mixture.fit_both(
        z_l, v.class_labels, z, v.candidates("logits"), v.rng("x")
    )
    both = torch.cat([z_l, z])
    columns = [both]
    for mixture in psi:
        columns.append((mixture.component_log_density(both) / 2.0).softmax(dim=1))
    for mixture in psi:
        likelihood = mixture.log_likelihood(both)
        columns.append(((likelihood - likelihood.mean()) / likelihood.std())[:, None])
    h_l, h_u = chosen._inputs(z, z_l, psi, [one.component_log_density(z) for one in psi])
    torch.testing.assert_close(
        torch.cat([h_l, h_u]), torch.cat(columns, dim=1), rtol=1e-4, atol=1e-4
    )
    assert len(h_l) == 30
    assert not h_u.requires_grad


def test_a_critic_of_ones_own_that_is_not_finite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(critic: Any, h_l: Any, h_u: Any, *_: Any, **__: Any) -> torch.Tensor:
        return torch.full((len(h_u),), torch.inf)

    monkeypatch.setattr(module, "fit_critic", broken)
    with pytest.raises(NumericalError, match="critic"):
        daal().select(view(), 4)


def test_both_terms_are_standardised_and_summed() -> None:
    parts = {"likelihood_gap": normal(50, seed=1) * 7 + 3, "critic": normal(50, seed=2) / 9}
    expected = standardise(parts["likelihood_gap"]) + 0.25 * standardise(parts["critic"])
    torch.testing.assert_close(daal(beta=0.25).combine(parts), expected)


# ---------------------------------------------------------------------- the tables


def test_a_fit_hands_over_every_key_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    z, hot, rng = normal(20, D), torch.eye(K)[torch.arange(20) % K], np.random.default_rng(0)
    fit = em.fit

    def watched(*args: Any, **keys: Any) -> Any:
        seen.update(keys, args=args)
        return fit(*args, **keys)

    monkeypatch.setattr(em, "fit", watched)
    table = MixtureSettings(
        covariance="spherical", average="parameters", em_steps=3, em_batch=7, floor=0.5
    )
    table.fit(z, hot, rng)
    assert seen.pop("args") == (z, hot)
    assert seen == {
        "covariance": "spherical", "steps": 3, "average": "parameters", "batch_size": 7,
        "floor": 0.5, "generator": rng,
    }  # fmt: skip


def test_both_mixtures_start_from_labels_and_from_the_classifier() -> None:
    table, v = MixtureSettings(em_steps=0), view()
    z_l, z, logits = v.labelled("features"), v.candidates("features"), v.candidates("logits")
    psi_l, psi_u = table.fit_both(z_l, v.class_labels, z, logits, np.random.default_rng(0))
    p = logits.softmax(dim=1)
    torch.testing.assert_close(psi_u.means, (p.T @ z) / p.sum(dim=0)[:, None], rtol=1e-4, atol=1e-4)
    centres = torch.stack([z_l[k::K].mean(dim=0) for k in range(K)])
    torch.testing.assert_close(psi_l.means, centres, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("set_to", "found"), [(0.0, 64.0), (1.0, 1.0), (0.5, 0.5), (3.0, 3.0)])
def test_a_temperature_of_0_stands_for_the_number_of_features(set_to: float, found: float) -> None:
    value = MixtureSettings(temperature=set_to).temperature_in(64)
    assert value == found
    assert isinstance(value, float)


def test_a_critic_has_the_width_and_the_columns_of_its_table() -> None:
    for statistics, columns in ((True, D + 2 * K + 2), (False, D)):
        made = CriticSettings(width=7, sigmoid=True, statistics=statistics).new(D, K)
        first = next(iter(made.parameters()))
        assert tuple(first.shape) == (7, columns)
        with torch.no_grad():
            value = made(1000 * normal(9, columns))
            bare = CriticSettings(width=7, statistics=statistics).new(D, K)
            assert bare(1000 * normal(9, columns)).abs().max() > 1
        assert ((value >= 0) & (value <= 1)).all()


def test_a_critics_adam_falls_to_a_tenth_in_its_last_fifth() -> None:
    spec = CriticSettings(lr=0.02).optimiser()
    assert spec.kind == "adam"
    rates = [learning_rate(spec, step, 10) for step in (0, 7, 8, 9)]
    assert rates == pytest.approx([0.02, 0.02, 0.002, 0.002])


def test_a_critics_loss_is_its_distance_and_lambda_times_its_penalty() -> None:
    critic = CriticSettings(width=8, statistics=False).new(D, K)
    h_l, h_u = normal(12, D, seed=5), normal(12, D, seed=6) + 1
    for over, columns in (("input", None), ("features", 2)):
        table = CriticSettings(penalty=3.0, penalty_over=over)  # type: ignore[arg-type]
        found = table.loss(critic, h_l, h_u, 2, np.random.default_rng(7))
        penalty = gradient_penalty(critic, h_l, h_u, np.random.default_rng(7), columns)
        expected = critic(h_l).mean() - critic(h_u).mean() + 3.0 * penalty
        torch.testing.assert_close(found, expected)


def test_a_fitted_critic_scores_every_item_and_tells_the_sets_apart() -> None:
    labelled, unlabelled = normal(60, D, seed=5), normal(9000, D, seed=6) + 2
    table = CriticSettings(width=8, statistics=False, lr=0.01, penalty=1.0)
    critic = table.new(D, K)
    score = fit_critic(
        critic, labelled, unlabelled, table, steps=60, batch=32, rng=np.random.default_rng(0)
    )
    assert score.shape == (9000,)
    assert not score.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(score, critic(unlabelled))
        assert float(score.mean()) > float(critic(labelled).mean()) + 0.5
    seen = []
    forward = critic.forward
    critic.forward = lambda h: seen.append(len(h)) or forward(h)  # type: ignore[method-assign]
    fit_critic(critic, labelled, unlabelled, table, steps=0, batch=4, rng=np.random.default_rng(0))
    assert sum(seen) == 9000
    assert max(seen) <= 8192


def test_without_a_number_of_features_the_penalty_is_over_all_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    loss = settings.critic_loss
    monkeypatch.setattr(settings, "critic_loss", lambda *args: seen.append(args[-1]) or loss(*args))
    table = CriticSettings(width=4, statistics=False, penalty_over="features")
    for features in (None, 2):
        fit_critic(
            table.new(D, K), normal(9, D), normal(9, D), table, steps=1, batch=4,
            features=features, rng=np.random.default_rng(0),
        )  # fmt: skip
    assert seen == [D, 2]


# ---------------------------------------------------------------------- the training


def parts(
    steps: int = 40, training: dict[str, Any] | None = None, **options: Any
) -> tuple[Parts, Training, Daal]:
    tables = {name: options.pop(name) for name in ("mixture", "critic") if name in options}
    session = labelled_session(
        "daal", labels=60, steps=steps, objective=options,
        training={"steps": steps} | (training or {}), **tables,
    )  # fmt: skip
    made = session.new_training(0)
    assert isinstance(session.objective, Daal)
    return Parts(session.objective.options, made), made, session.objective


def batch_of(part: Parts, step: int, align: bool = False) -> Batch:
    session = labelled_session("daal", labels=60, steps=part.t.steps)
    stage = part.alignment_stage() if align else Daal(part.o).stages(part.t)[0]
    return StageRunner(session.learner.inputs, part.t, stage).batch(step)


def test_samples_of_psi_are_drawn_anew_at_every_refit() -> None:
    part, t, _ = parts(statistics_items=20)
    for purpose, step in (("labelled sample", 0), ("labelled sample", 10), ("other", 0)):
        expected = np.sort(t.rng(purpose, step).choice(t.unlabelled_ids, 20, replace=False))
        assert part._sample(t.unlabelled_ids, purpose, step).tolist() == expected.tolist()
    z, y = part._labelled(30)
    ids = np.sort(t.rng("labelled sample", 30).choice(t.labelled_ids, 20, replace=False))
    truth = dict(zip(t.labelled_ids.tolist(), t.labels.tolist(), strict=True))
    assert y.tolist() == [truth[i] for i in ids.tolist()]
    torch.testing.assert_close(z, t.predict(ids, {"features"})["features"])
    few = t.labelled_ids[:20]
    assert part._sample(few, "x", 0).tolist() == few.tolist()


def test_refits_take_batches_and_samples_of_their_step() -> None:
    mixture = {"average": "parameters", "em_batch": 7, "em_steps": 2}
    part, t, _ = parts(mixture=mixture, statistics_items=30)
    table = part.o.mixture
    for step in (0, 20):
        z_l, y = part._labelled(step)
        hot = torch.eye(10)[y]
        part.refresh_labelled(step)
        player = t.modules["psi_labelled"]
        expected = table.fit(z_l, hot, t.rng("EM batches", step))
        torch.testing.assert_close(player.mixture.means, expected.means)
        likelihood = expected.log_likelihood(z_l)
        torch.testing.assert_close(player.get_buffer("centre"), likelihood.mean())
        part.refresh_both(step)
        ids = part._sample(t.unlabelled_ids, "unlabelled sample", step)
        out = t.predict(ids, {"features", "logits"})
        rng = t.rng("EM batches", step)
        psi = table.fit_both(z_l, y, out["features"], out["logits"], rng)
        both = torch.cat([z_l, out["features"]])
        for name, one in zip(("psi_labelled", "psi_unlabelled"), psi, strict=True):
            player = t.modules[name]
            assert isinstance(player, Characteristic)
            torch.testing.assert_close(player.mixture.means, one.means)
            torch.testing.assert_close(player.get_buffer("centre"), one.log_likelihood(both).mean())


def test_reg_is_on_from_its_step_on() -> None:
    part, t, _ = parts(alpha=0.5)
    assert 0 < part.reg_from < 40
    for step, on in ((part.reg_from - 1, False), (part.reg_from, True), (part.reg_from + 1, True)):
        batch = batch_of(part, step)
        part.refresh_labelled(part.reg_from)
        out = t.network.eval()(batch.x)
        plain = cross_entropy(out.logits, batch.y)
        added = 0.5 * part.regulariser(out.features, batch.y) if on else 0.0
        torch.testing.assert_close(part.regularised_loss(batch), plain + added)


def test_a_single_known_item_weighs_whole() -> None:
    part, t, _ = parts()
    rare = int(t.labels[0])
    known = t.labels != rare
    t.labelled_ids, t.labels = t.labelled_ids[known], t.labels[known]
    part.refresh_labelled(0)
    z = t.predict(t.labelled_ids[:2], {"features"})["features"]
    y = torch.tensor([int(t.labels[0]), rare])
    psi = t.modules["psi_labelled"]
    assert isinstance(psi, Characteristic)
    expected = -psi.mixture.log_posterior(z, part.temperature)[0, y[0]]
    torch.testing.assert_close(part.regulariser(z, y), expected)
    torch.testing.assert_close(part.regulariser(z[:1], y[:1]), expected)


def test_mixtures_and_the_critic_are_read_in_float32_under_any_precision() -> None:
    part, t, _ = parts()
    part.refresh_both(0)
    batch = batch_of(part, 0, align=True)
    batch.shared = both = part.forward(batch)
    z, y = both.z_l.detach(), batch.y
    inputs = critic_input_of(part.o, t.modules, z)
    values = (part.regulariser(z, y), part.critic_loss(batch))
    with torch.autocast("cpu", torch.bfloat16):
        under = (part.regulariser(z, y), part.critic_loss(batch))
        mixed = part.forward(batch)
        z = t.network(torch.cat([batch.x, batch.unlabelled()])).features.float()
    for a, b in zip(values, under, strict=True):
        assert b.dtype == torch.float32
        assert torch.equal(a, b)
    assert {mixed.z_l.dtype, mixed.h_l.dtype, mixed.h_u.dtype} == {torch.float32}
    assert torch.equal(mixed.h, critic_input_of(part.o, t.modules, z))
    assert inputs.shape == mixed.h_l.shape


def test_every_turn_of_the_critic_draws_its_own_mixes() -> None:
    part, t, _ = parts(critic={"penalty": 5.0})
    part.refresh_both(0)
    batch = batch_of(part, 3, align=True)
    batch.shared = both = part.forward(batch)
    critic = t.modules["critic"]
    found = []
    for turn in (0, 1, 2):
        batch.turn = turn
        rng = t.rng("penalty", 3, turn)
        expected = part.o.critic.loss(critic, both.h_l, both.h_u, both.z_l.shape[1], rng)
        found.append(float(part.critic_loss(batch).detach()))
        assert found[-1] == pytest.approx(float(expected.detach()), rel=1e-6)
    assert len(set(found)) == 3


def test_the_alignment_stage_is_of_a_critic_and_features_by_the_runs_settings() -> None:
    part, _, _ = parts(training={"momentum": 0.5, "weight_decay": 0.01}, align_steps=1000)
    stage = part.alignment_stage()
    critic, features = stage.phases
    assert (stage.name, stage.supervised) == ("align", False)
    assert (critic.name, critic.modules) == ("critic", ("critic",))
    assert (features.name, features.modules, features.repeats) == ("features", ("network",), 1)
    spec = features.optimiser
    assert (spec.momentum, spec.weight_decay, spec.schedule) == (0.5, 0.01, "step")
    rates = [learning_rate(spec, step, 1000) for step in (0, 799, 800, 999)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001])
    ((every, _),) = stage.refresh
    assert every == 50
    # Short stages refit every ten steps, and no stage is shorter than one.
    short = parts(steps=2, align_fraction=0.1)[0].alignment_stage()
    assert short.steps == 1
    ((every, _),) = parts(align_steps=40)[0].alignment_stage().refresh
    assert every == 10


def test_the_first_stage_has_the_regularised_loss_and_its_refits() -> None:
    part, t, objective = parts()
    first, second = objective.stages(t)
    assert first.phases[0].loss.__name__ == "regularised_loss"
    ((every, refit),) = first.refresh
    assert (every, refit.__name__) == (part.reg_every, "refresh_labelled")
    assert second.name == "align"
    bare = parts(reg=False)[2]
    assert bare.stages(t)[0].refresh == ()
    t.unlabelled_ids = t.unlabelled_ids[:0]
    assert [stage.name for stage in objective.stages(t)] == ["supervised"]


@pytest.mark.parametrize("covariance", ["diagonal", "spherical"])
def test_players_have_the_covariance_of_the_table(covariance: str) -> None:
    _, t, _ = parts(mixture={"covariance": covariance})
    columns = t.network.feature_dim if covariance == "diagonal" else 1
    for name in ("psi_labelled", "psi_unlabelled"):
        assert t.modules[name].get_buffer("variances").shape == (10, columns)
    assert "psi_labelled" in parts(align=False, critic={"statistics": False})[1].modules
    assert list(parts(align=False, reg=False)[1].modules) == []
    assert list(parts(reg=False, critic={"statistics": False})[1].modules) == ["critic"]
    assert set(parts(critic={"statistics": False})[1].modules) == {"psi_labelled", "critic"}


@pytest.mark.parametrize("through", [True, False])
def test_features_learn_through_what_the_mixtures_say_of_them_where_that_is_asked(
    through: bool,
) -> None:
    part, t, _ = parts(through_statistics=through)
    part.refresh_both(0)
    z = t.predict(t.labelled_ids[:5], {"features"})["features"].requires_grad_()
    inputs = critic_input_of(part.o, t.modules, z)
    inputs[:, z.shape[1] :].sum().backward()
    assert z.grad is not None
    assert bool(z.grad.any()) is through


def test_the_critic_that_a_query_reads_is_that_of_the_training() -> None:
    session = Case(METHODS["daal"]).fitted()
    t, ids = session.training, np.arange(9)
    out = session.learner.predict(
        t.network, ids, {"critic", "features"}, objective=session.objective, modules=t.modules
    )
    psi_l, psi_u = t.modules["psi_labelled"], t.modules["psi_unlabelled"]
    assert isinstance(psi_l, Characteristic)
    assert isinstance(psi_u, Characteristic)
    z = out["features"]
    with torch.no_grad():
        inputs = critic_input(z, psi_l, psi_u, temperature=float(z.shape[1]))
        torch.testing.assert_close(out["critic"], t.modules["critic"](inputs))
    assert METHODS["daal"].citation.startswith("Park et al. 2023, Distribution Aware")


def test_keys_of_before_are_told_where_they_are_now() -> None:
    tables = {"mixture": MixtureSettings, "critic": CriticSettings}
    assert set(settings.MOVED) == {
        "covariance", "average", "em_steps", "em_batch", "floor", "temperature", "statistics",
        "critic_width", "sigmoid", "critic_lr", "penalty",
    }  # fmt: skip
    for old, new in settings.MOVED.items():
        table, key = new.split(".")
        assert key in tables[table].model_fields
        assert old.removeprefix("critic_") == key
        for axis, cls in (("objective", Daal), ("acquisition", DaalAcquisition)):
            assert cls.Options.moved[old] == new, axis
    assert MixtureSettings(temperature=2.0).temperature_in(64) == 2.0  # as the key of before did


def test_more_than_the_pool_cannot_be_asked_for() -> None:
    with pytest.raises(LabelgapError, match=f"{N + 1}"):
        daal().select(view(critic=True), N + 1)


def test_terms_of_features_that_stand_still_are_left_out_of_losses_and_move_nothing() -> None:
    """One linear layer on vectors: the gradient is that of all terms."""
    session = labelled_session(
        "daal", task=vectors(), labels=60, steps=40, network={"freeze": True, "adapter": 0}
    )
    t = session.new_training(0)
    assert isinstance(session.objective, Daal)
    part = Parts(session.objective.options, t)
    part.refresh_both(0)
    params = list(t.network.parameters())
    assert len(params) == 2
    batch = StageRunner(session.learner.inputs, t, part.alignment_stage()).batch(39)
    batch.shared = part.forward(batch)
    both = batch.common(_Both)
    plain = cross_entropy(both.logits, batch.y)
    values = t.modules["critic"](both.h)
    n = len(both.z_l)
    whole = (
        plain
        + part.o.adversarial * (values[n:].mean() - values[:n].mean())
        + part.o.alpha * part.regulariser(both.z_l, batch.y)
    )
    expected = torch.autograd.grad(whole, params, retain_graph=True)
    for loss in (part.feature_loss(batch), part.regularised_loss(batch)):
        assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
        for one, two in zip(torch.autograd.grad(loss, params), expected, strict=True):
            torch.testing.assert_close(one, two)
    with torch.no_grad():  # a value is asked for, not a gradient: it is of all terms
        torch.testing.assert_close(part.feature_loss(batch), whole.detach())
