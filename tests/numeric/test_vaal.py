"""VAAL and TA-VAAL: shapes, the ELBO in closed form, reconstruction, and withheld classes."""

import copy

import numpy as np
import pytest
import torch
from sessions import digits, fitted, labelled_session, runner, same, state, vectors
from sklearn.metrics import roc_auc_score
from tolerance import assert_rounded, through
from torch import distributions

from labelgap.axes.stage import Stage
from labelgap.axes.training import Training
from labelgap.core.errors import ConfigError
from labelgap.learn.learner import snapshot
from labelgap.methods.cross_entropy import CrossEntropy
from labelgap.methods.ll4al import Ll4al, Ll4alOptions
from labelgap.methods.vae.networks import Vae, VaeSettings
from labelgap.methods.vae.stage import Both, vae_loss
from labelgap.methods.vae.ta_vaal import TaVaal, TaVaalOptions
from labelgap.methods.vae.vaal import VaalOptions
from labelgap.session.presets import resolve
from labelgap.session.session import Session

SMALL = VaeSettings(vae_width=4, latent=5)


@pytest.mark.parametrize(
    "shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3), (9, 30, 2), (4, 4, 1), (12,)]
)
@pytest.mark.parametrize("condition", [0, 1])
def test_reconstruction_has_the_shape_of_the_input(shape: tuple[int, ...], condition: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = Vae(shape, SMALL, condition)
        x = torch.randn(3, *(shape if len(shape) == 1 else (shape[2], *shape[:2])))
    mean, log_variance = vae.encode(x)
    assert mean.shape == log_variance.shape == (3, 5)
    r = torch.tensor([-1.0, 0.0, 1.0]) if condition else None
    assert vae.decode(mean, r).shape == x.shape


def test_paper_sizes_at_32_are_the_published_ones() -> None:
    settings = VaeSettings(**VaeSettings.presets["paper"])
    with torch.device("meta"):
        vae = Vae((32, 32, 3), settings)
    maps = [p.shape[0] for n, p in vae.encoder.named_parameters() if p.ndim == 4]
    assert maps == [128, 256, 512, 1024]
    assert vae.mean.weight.shape == (32, 1024 * 2 * 2)
    assert vae.decoder[0].weight.shape == (1024 * 4 * 4, 32)
    assert settings.vae_steps == 10_000


def test_loss_is_the_evidence_lower_bound() -> None:
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 4, 3, 6, 6, generator=g, dtype=torch.float64)
    mean, log_variance = torch.randn(2, 4, 5, generator=g, dtype=torch.float64)
    posterior = distributions.Normal(mean, (0.5 * log_variance).exp())
    divergence = distributions.kl_divergence(posterior, distributions.Normal(0.0, 1.0))
    kl = divergence.sum(dim=1).mean()
    likelihood = distributions.Normal(y, 1.0).log_prob(x).flatten(1).sum(dim=1).mean()
    best = distributions.Normal(x, 1.0).log_prob(x).flatten(1).sum(dim=1).mean()
    pixels = 3 * 6 * 6
    expected = (kl - (likelihood - best)) * 2 / pixels
    assert float(vae_loss(x, y, mean, log_variance)) == pytest.approx(float(expected))
    published = vae_loss(x, y, mean, log_variance, beta=0.5, published="sum")
    # The published code adds the two sets' means of the squared error, and all items' KL.
    of_sets = sum((x[half] - y[half]).square().mean() for half in (slice(2), slice(2, 4)))
    assert float(published) == pytest.approx(float(of_sets + 0.5 * 4 * kl))
    # TA-VAAL's: of each set the mean over items and dimensions.
    published = vae_loss(x, y, mean, log_variance, beta=0.5, published="mean")
    kls = sum(divergence[half].mean() for half in (slice(2), slice(2, 4)))
    assert float(published) == pytest.approx(float(of_sets + 0.5 * kls))


def test_each_method_has_its_own_codes_form() -> None:
    assert VaalOptions.published == "sum"
    assert TaVaalOptions.published == "mean"


def reconstruction_error(session: Session) -> tuple[float, float]:
    """MSE on test images: of the auto-encoder, and of the mean training image."""
    task, learner = session.task, session.learner
    x = learner.inputs.clean(task.test, np.arange(len(task.test)))
    mean_image = learner.inputs.clean(task.train, task.pool).mean(dim=0, keepdim=True)
    vae = session.training.modules["vae"]
    with torch.no_grad():
        code, _ = vae.encode(x)
        error = (vae.decode(code) - x).square().mean()
    return float(error), float((mean_image - x).square().mean())


@pytest.mark.slow
def test_reconstructs_better_than_the_mean_image_unless_scaled_as_published() -> None:
    own, mean_image = reconstruction_error(fitted("vaal", steps=1, objective={"vae_steps": 250}))
    assert own < 0.8 * mean_image
    published, _ = reconstruction_error(
        fitted("vaal", steps=1, objective={"vae_steps": 250, "scaling": "published"})
    )
    # The posterior collapses: no better than the mean image.
    assert published > 0.9 * mean_image


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(None, id="images", marks=pytest.mark.slow),
        pytest.param(vectors(), id="vectors"),
    ],
)
@pytest.mark.parametrize("method", ["vaal", "ta-vaal"])
def test_classes_withheld_from_the_labels_come_first(method: str, task: object) -> None:
    session = fitted(
        method,
        task=task,
        steps=20,
        labels=200,
        classes=range(8),
        objective={"adversarial": 0.0, "vae_steps": 300},
    )
    view = session.view(1)
    withheld = session.task.train.labels[view.candidate_ids] >= 8
    scores = view.candidates("unlabelled_logit").numpy()
    assert roc_auc_score(withheld, scores) > 0.75
    query = session.acquisition.select(view, 40)
    # 0.9 or more measured, 0.23 by chance.
    assert (session.task.train.labels[query.ids] >= 8).mean() > 0.7


@pytest.mark.parametrize("scaling", ["elbo", "published"])
@pytest.mark.parametrize("method", ["vaal", "ta-vaal"])
def test_auto_encoder_descends_minus_log_d_of_both_halves(
    method: str, scaling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradients = {}
    for weight in (0.0, 0.5):
        session = labelled_session(
            method, steps=4, objective={"adversarial": weight, "scaling": scaling}
        )
        stage = runner(session, 1)
        batch = stage.batch(0)
        assert stage.stage.forward is not None
        batch.shared = both = stage.stage.forward(batch)
        assert isinstance(both, Both)
        vae = stage.players["vae"]
        code, spread = (t.detach().requires_grad_() for t in vae.encode(both.x))
        monkeypatch.setattr(vae, "encode", lambda x, code=code, spread=spread: (code, spread))
        stage.stage.phases[0].loss(batch).backward()
        gradients[weight] = code.grad
    # −∇ log D = −(1 − D) · ∇logit for labelled *and* unlabelled codes: both are to look labelled.
    logit = stage.players["discriminator"](code, both.condition)
    (slope,) = torch.autograd.grad(logit.sum(), code)
    of_item = -(1 - logit.sigmoid())[:, None] * slope / len(batch.x)
    scale = 1.0 if scaling == "published" else 2 / (8 * 8)
    expected = 0.5 * scale * of_item.detach()
    assert (expected.abs().amax(dim=1) > 0).all()
    # The auto-encoder's own gradient, far larger, is the same in both: what was added to it is
    # known up to the rounding of a few sums.
    assert_rounded(gradients[0.5] - gradients[0.0], expected, 8, gradients[0.0].abs().max())


def test_the_network_is_left_alone() -> None:
    plain = state(fitted("random", steps=10))
    assert same(plain, state(fitted("vaal", steps=10)))


@pytest.mark.parametrize("method", ["vaal", "ta-vaal"])
def test_the_second_stage_changes_no_weight_of_network_and_ranker(method: str) -> None:
    session = labelled_session(method, steps=10)
    kept: dict[str, dict[str, dict[str, torch.Tensor]]] = {}

    def keep(stage: Stage, training: Training) -> None:
        kept[stage.name] = snapshot({"network": training.network, **training.modules})

    session.fit(on_stage=keep)
    before, after = kept["supervised"], kept["vae"]
    for name in before:
        assert same(before[name], after[name]) == (name not in ("vae", "discriminator"))


def test_ta_vaal_composes_over_an_objective_with_a_predicted_loss() -> None:
    over = Ll4al(Ll4alOptions(width=3))
    session = labelled_session("ta-vaal", steps=4)
    session.objective = session.trained.objective = TaVaal(TaVaalOptions(), over)
    session.fit()
    assert session.training.modules["loss_head"].out.in_features == 3 * 3
    view = session.view(1)
    assert view.has("unlabelled_logit")
    with pytest.raises(ConfigError, match="predicted_loss"):
        TaVaal(TaVaalOptions(), CrossEntropy(CrossEntropy.Options()))


def test_ta_vaal_scores_depend_on_the_rank() -> None:
    session = fitted("ta-vaal", steps=20)
    training, objective = session.training, session.objective
    x = session.learner.inputs.clean(session.task.train, np.arange(16))
    modules = training.modules
    with torch.no_grad():
        code, _ = modules["vae"].encode(x)
        low, high = (modules["discriminator"](code, torch.full((16,), r)) for r in (-2.0, 2.0))
        assert not torch.allclose(low, high)
        decoded = [modules["vae"].decode(code, torch.full((16,), r)) for r in (-2.0, 2.0)]
        assert not torch.allclose(*decoded)
    assert objective.outputs == {"predicted_loss", "unlabelled_logit"}


def test_ta_vaal_score_is_minus_the_logit_given_the_predicted_loss() -> None:
    session = fitted("ta-vaal", steps=20)
    modules, view = session.training.modules, session.view(1)
    x = session.learner.inputs.clean(session.task.train, view.candidate_ids[:50])
    players = [
        session.training.network,
        *(modules[n] for n in ("loss_head", "vae", "discriminator")),
    ]
    network, vae, discriminator = (copy.deepcopy(players[i]).double() for i in (0, 2, 3))
    with torch.no_grad():
        rank = modules["loss_head"](network(x.double()).blocks).double()  # float32 by design
        code, _ = vae.encode(x.double())
        expected, blind = (-discriminator(code, r) for r in (rank, 0 * rank))
    found = view.candidates("unlabelled_logit")[:50]
    assert_rounded(found, expected, through(*players), expected.abs().max())
    assert (found - blind).abs().max() > 1e-3


def test_nothing_unlabelled_is_no_error() -> None:
    session = fitted("ta-vaal", steps=2, labels=len(digits().train))
    assert session.evaluate().accuracy > 0


def test_steps_of_the_paper_grow_with_the_labels() -> None:
    session = labelled_session("vaal", labels=40, steps=10)
    training = session.new_training(0)
    paper = VaeSettings(**VaeSettings.presets["paper"])
    assert paper.steps(training) == 10_040
    assert VaeSettings().steps(training) == 8  # three quarters of 10


def test_two_auto_encoder_turns_are_vaals_and_one_ta_vaals_under_paper_only() -> None:
    turns = {
        (method, preset): resolve({"method": method}, preset=preset).objective["vae_turns"]
        for method in ("vaal", "ta-vaal")
        for preset in ("smoke", "cpu", "paper")
    }
    assert turns.pop(("vaal", "paper")) == 2
    assert set(turns.values()) == {1}
