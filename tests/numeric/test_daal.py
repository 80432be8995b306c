"""DAAL's own parts: what Reg adds, when it begins, and which items the query asks for first."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sessions import labelled_session, runner
from tolerance import assert_rounded
from views import acquire, array_view, normal

from labelgap.axes.training import Training
from labelgap.axes.view import PoolView
from labelgap.learn.supervised import cross_entropy
from labelgap.methods.daal.objective import Daal
from labelgap.methods.daal.stages import Parts
from labelgap.mixtures.mixture import Mixture


def parts(steps: int, **objective: object) -> tuple[Parts, Training]:
    session = labelled_session("daal", labels=60, steps=steps, objective=objective)
    training = session.new_training(0)
    assert isinstance(session.objective, Daal)
    return Parts(session.objective.options, training), training


def log_posterior(z: np.ndarray, psi: Mixture, temperature: float) -> tuple[np.ndarray, float]:
    """By scipy's normal densities; and the size of what is normalised."""
    weights, means, variances = (getattr(psi, n).double().numpy() for n in
                                 ("weights", "means", "variances"))  # fmt: skip
    joint = np.log(weights) + norm.logpdf(z[:, None], means, np.sqrt(variances)).sum(axis=2)
    joint /= temperature
    return joint - np.logaddexp.reduce(joint, axis=1, keepdims=True), float(np.abs(joint).max())


def test_reg_adds_minus_the_log_posterior_of_the_labels() -> None:
    session = labelled_session("daal", labels=60, steps=8, objective={"alpha": 0.5})
    stage = runner(session)
    part = Parts(session.objective.options, stage.training)
    batch = stage.batch(7)
    part.refresh_labelled(7)
    network = stage.training.network.eval()
    with torch.no_grad():
        found = part.regularised_loss(batch) - cross_entropy(network(batch.x).logits, batch.y)
        z = network(batch.x).features.double().numpy()
    psi = stage.training.modules["psi_labelled"].mixture
    log_p, size = log_posterior(z, psi, part.temperature)
    expected = -0.5 * log_p[np.arange(len(z)), batch.y.numpy()].mean()
    # Two sums over the features, one over the classes, a mean over the items.
    terms = 2 * z.shape[1] + 10 + len(z)
    assert_rounded(found, expected, terms, size)


def test_the_papers_temperature_leaves_reg_no_gradient_in_many_dimensions() -> None:
    """Why the preset `paper` departs from it: classes that lie apart by their noise alone."""
    n, classes, d = 40, 4, 512
    y = torch.arange(n) % classes
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(classes, d, generator=generator)
    z = (means[y] + torch.randn(n, d, generator=generator)).requires_grad_()
    psi = Mixture(torch.full((classes,), 1 / classes), means, torch.ones(classes, d),
                  torch.zeros(classes, dtype=torch.bool))  # fmt: skip
    at_rest = {}
    for temperature in (1.0, float(d)):
        loss = -psi.log_posterior(z, temperature).gather(1, y[:, None]).sum()
        (gradient,) = torch.autograd.grad(loss, z)
        at_rest[temperature] = int((gradient == 0).all(dim=1).sum())
    assert at_rest == {1.0: n, float(d): 0}


def test_a_class_that_psi_has_not_seen_is_left_out_of_reg() -> None:
    """A rare class may be missing in the sample that ψ_L is fitted on."""
    part, training = parts(steps=8)
    rare = int(training.labels[0])
    known = training.labels != rare
    training.labelled_ids, training.labels = training.labelled_ids[known], training.labels[known]
    part.refresh_labelled(0)
    z = normal(6, training.network.feature_dim).abs().requires_grad_(True)
    y = torch.from_numpy(np.append(training.labels[:5], rare))
    loss = part.regulariser(z, y)
    loss.backward()
    alone = part.regulariser(z[:5], y[:5])
    # Rows less in a product, which is cut differently for them; ψ's other classes have a density.
    density = training.modules["psi_labelled"].mixture.component_log_density(z[:5].detach())
    size = float(density[density.isfinite()].abs().max()) / part.temperature
    assert_rounded(loss, alone.double(), 2 * (2 * z.shape[1] + 10 + 5), size)
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert (z.grad[5] == 0).all()
    assert float(part.regulariser(z[5:], y[5:]).detach()) == 0.0


@pytest.mark.parametrize("steps", [1, 20, 60, 100, 200, 250, 400, 1000])
@pytest.mark.parametrize("start", [0.0, 0.25, 0.5])
def test_reg_begins_after_its_share_on_a_step_at_which_psi_is_refitted(
    steps: int, start: float
) -> None:
    part, _ = parts(steps=steps, reg_start=start)
    assert start * steps <= part.reg_from <= start * steps + part.reg_every
    assert part.reg_from % part.reg_every == 0
    assert part.reg_every <= 50


def planted(seed: int = 0) -> tuple[PoolView, np.ndarray]:
    """Two labelled clusters, candidates around both, and 30 of a third that nobody has labelled;
    the classifier takes these for the first class."""
    centres = 4 * torch.eye(3, 16)
    which = np.repeat([0, 1, 2], [100, 100, 30])
    z = centres[torch.from_numpy(which)] + 0.5 * normal(230, 16, seed=seed)
    logits = 5.0 * torch.eye(3)[torch.from_numpy(np.where(which == 2, 0, which))]
    labels = np.repeat([0, 1], 30)
    known = centres[torch.from_numpy(labels)] + 0.5 * normal(60, 16, seed=seed + 1)
    view = array_view(
        {"features": z, "logits": logits},
        {"features": known, "logits": 5.0 * torch.eye(3)[torch.from_numpy(labels)]},
        labels,
        seed=seed,
    )
    return view, 1000 + np.flatnonzero(which == 2)


@pytest.mark.parametrize(
    "options", [{"model": False}, {"likelihood": False}, {}, {"combine": "rank"}],
    ids=["likelihood alone", "critic alone", "both", "ranks"],
)  # fmt: skip
def test_what_no_label_covers_is_asked_for_first(options: dict[str, object]) -> None:
    view, strangers = planted()
    query = acquire("daal", balance=False, kmeans=False, **options).select(view, 20)
    assert np.isin(query.ids, strangers).mean() > 0.9
    assert (np.diff(query.score) <= 0).all()
