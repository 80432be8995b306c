"""DAAL: distribution-aware active learning via Gaussian mixtures (the project's method).

Objective: cross-entropy + α · L_GMM (Reg, paper §2.2), then adversarial alignment of labelled and
unlabelled features with a critic that sees mixture statistics (DA, §2.3).
Acquisition (AS, §2.4): likelihood gap + β · critic, balanced by pseudo-label, spread by k-means.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.axes.registry import Acquisition, Objective, acquisition, method, objective
from labelgap.core.config import TUNING, Settings, setting
from labelgap.core.types import Batch, Ids, Optimiser, Phase, Query, Stage
from labelgap.gap import em as gmm
from labelgap.gap.critic import (
    Characteristic,
    Critic,
    critic_input,
    critic_loss,
    distance,
    statistics_width,
)
from labelgap.gap.em import Mixture
from labelgap.learn.learner import cross_entropy
from labelgap.methods.cross_entropy import supervised_stage
from labelgap.networks.build import Network
from labelgap.select.balance import balanced_candidates
from labelgap.select.kmeans import representatives
from labelgap.select.scores import entropy
from labelgap.select.top import check_budget, check_finite, ranks, standardise, top

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView
    from labelgap.learn.learner import Training

OURS = "open in the paper; ours"
TUNED = (
    f"{TUNING}, and Fashion-MNIST: no draw beats the defaults for every seed; "
    "alone: benchmarks/tuning/one-at-a-time.md"
)
LEAST_REFRESH = 10
"""Steps between refits of ψ in short alignment stages, so that EM does not dominate them."""


class MixtureSettings(Settings):
    """How ψ_L and ψ_UL are fitted (§2.1); shared by objective and acquisition."""

    covariance: Literal["diagonal", "spherical"] = setting(
        "diagonal", "covariance of the components", source="paper §2.1 writes both"
    )
    average: Literal["parameters", "statistics"] = setting(
        "statistics",
        "over EM batches: mean of ψ (the paper), or merged sufficient statistics",
        source="paper §2.1: parameters",
        evidence=TUNED,
        search=("statistics", "parameters"),
    )
    em_steps: int = setting(10, "EM iterations", source="a review of the longer version", ge=0)
    em_batch: int = setting(100, "batch of average = parameters", source="paper §3", ge=1)
    floor: float = setting(
        1e-2,
        "least σ² relative to the mean feature variance",
        source=OURS,
        gt=0,
        evidence=TUNED,
        search=(1e-3, 1e-1, "log"),
    )

    def fit(
        self,
        z: Float[Tensor, "n d"],
        responsibilities: Float[Tensor, "n k"],
        rng: np.random.Generator,
    ) -> Mixture:
        """Class-tied EM from the given responsibilities."""
        return gmm.fit(
            z,
            responsibilities,
            covariance=self.covariance,
            steps=self.em_steps,
            average=self.average,
            batch_size=self.em_batch,
            floor=self.floor,
            generator=rng,
        )

    def fit_both(
        self,
        z_labelled: Tensor,
        labels: Tensor,
        z_unlabelled: Tensor,
        logits: Tensor,
        rng: np.random.Generator,
    ) -> tuple[Mixture, Mixture]:
        """ψ_L from labels and ψ_UL from the classifier's softmax: component k is class k."""
        k = logits.shape[1]
        psi_l = self.fit(z_labelled, gmm.class_responsibilities(labels, k).to(z_labelled), rng)
        return psi_l, self.fit(z_unlabelled, logits.softmax(dim=1), rng)


class DaalOptions(MixtureSettings):
    """Reg and DA."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "average": "parameters",
            "align_steps": 10_000,
            "sigmoid": True,
            "statistics_items": None,
            "critic_width": 512,
        },
    }
    reg: bool = setting(True, "Reg: the mixture regulariser", source="paper §2.2")
    alpha: float = setting(
        0.1, "weight α of L_GMM", source=OURS, ge=0, evidence=TUNED, search=(0.01, 1.0, "log")
    )
    temperature: float = setting(
        0.0,
        "divides the log joint of posteriors; 1 is the paper; 0: d, the mean over dimensions "
        "instead of their sum, so that posteriors do not saturate",
        source=OURS,
        evidence="digits, 40 labels, d = 64: accuracy 0.11 with 4 (alpha 0.1), 0.85 with d",
        ge=0,
        search=(0.0, 16.0),
    )
    reg_start: float = setting(
        0.25,
        "share of the supervised stage before Reg sets in: batch-norm's running statistics, and "
        "with them ψ_L, mean nothing before",
        source=OURS,
        ge=0,
        lt=1,
        evidence="digits, one key at a time (benchmarks/tuning): −19 points with 0",
        search=(0.25, 0.5),
    )
    reg_refresh: int = setting(
        50, "steps between refits of ψ_L in the supervised stage", source=OURS, ge=1
    )
    align: bool = setting(True, "DA: the alignment stage", source="paper §2.3")
    statistics: bool = setting(True, "feed the critic with mixture statistics", source="paper §2.3")
    align_steps: int | None = setting(
        None,
        "steps of the alignment stage; None: align_fraction of the supervised stage",
        source="paper §3: 10,000",
        ge=1,
    )
    align_fraction: float = setting(
        0.25,
        "alignment steps per supervised step",
        source=OURS,
        gt=0,
        evidence=TUNED,
        search=(0.1, 0.5, "linear"),
    )
    refresh_fraction: float = setting(
        0.05,
        "share of the alignment stage between refits of ψ",
        source="paper §2.3: 500/10,000",
        gt=0,
        le=1,
    )
    statistics_items: int | None = setting(
        500, "items of each set that ψ is refitted on while training; None: all", source=OURS, ge=1
    )
    reg_in_alignment: bool = setting(
        True, "keep Reg in the alignment stage", source=OURS, evidence=TUNED, search=(True, False)
    )
    through_statistics: bool = setting(
        False,
        "gradients reach z through posteriors and likelihoods too",
        source=OURS,
        evidence=TUNED,
        search=(False, True),
    )
    batch_norm: Literal["joint", "separate"] = setting(
        "joint",
        "labelled and unlabelled images in one forward pass, or in two",
        source=OURS,
        evidence=TUNED,
        search=("joint", "separate"),
    )
    adversarial: float = setting(
        0.1,
        "weight of the critic's distance in the features' loss",
        source=OURS,
        ge=0,
        evidence=TUNED,
        search=(0.01, 1.0, "log"),
    )
    critic_width: int = setting(
        256, "units of the critic's layers", source="authors' code: 512", ge=1
    )
    sigmoid: bool = setting(
        False, "sigmoid on the critic: the paper, but it bounds the distance", source="paper §3"
    )
    critic_steps: int = setting(
        1, "critic steps per feature step", source=OURS, ge=1, evidence=TUNED, search=(1, 5)
    )
    critic_lr: float = setting(
        5e-4,
        "Adam's rate for the critic, a tenth of it for the last fifth",
        source="paper §3",
        gt=0,
        evidence=TUNED,
        search=(1e-4, 3e-3, "log"),
    )
    penalty: float = setting(
        10.0, "λ of the gradient penalty", source="Gulrajani et al. 2017", ge=0
    )
    penalty_over: Literal["input", "features"] = setting(
        "input",
        "the penalty's gradient is over the critic's whole input, or over z alone",
        source=OURS,
        evidence=TUNED,
        search=("input", "features"),
    )
    align_optimiser: Literal["sgd", "adam"] = setting(
        "sgd", "optimiser of the features in the alignment stage", source=OURS
    )
    align_lr: float = setting(
        0.01,
        "rate of the features in the alignment stage",
        source=OURS,
        gt=0,
        evidence=TUNED,
        search=(1e-3, 0.1, "log"),
    )


def posterior_temperature(configured: float, feature_dim: int) -> float:
    """The temperature of posteriors; 0 stands for d."""
    return configured if configured > 0 else float(feature_dim)


@objective("daal")
class Daal(Objective):
    """Cross-entropy + Reg, then DA. Each on or off; both off is plain cross-entropy."""

    Options = DaalOptions
    outputs = frozenset({"critic"})
    uses_unlabelled = True
    options: DaalOptions

    def __init__(self, options: Settings) -> None:
        super().__init__(options)
        if not self.options.align:
            self.outputs = frozenset()  # type: ignore[misc]

    def modules(self, training: "Training") -> dict[str, nn.Module]:
        o, d, k = self.options, training.network.feature_dim, training.num_classes
        diagonal = o.covariance == "diagonal"
        players: dict[str, nn.Module] = {}
        if o.reg or (o.align and o.statistics):
            players["psi_labelled"] = Characteristic(k, d, diagonal)
        if o.align and o.statistics:
            players["psi_unlabelled"] = Characteristic(k, d, diagonal)
        if o.align:
            players["critic"] = Critic(
                statistics_width(d, k, o.statistics), o.critic_width, o.sigmoid
            )
        return players

    def stages(self, training: "Training") -> list[Stage]:
        o, part = self.options, _Parts(self.options, training)
        stages = []
        if o.reg:
            stages.append(
                supervised_stage(
                    training,
                    part.regularised_loss,
                    refresh=[(part.reg_every, part.refresh_labelled)],
                )
            )
        else:
            stages.append(supervised_stage(training))
        if o.align and len(training.unlabelled_ids):  # once all is labelled, nothing is to align
            stages.append(part.alignment_stage())
        return stages

    def output(
        self,
        name: str,
        network: Network,
        modules: Mapping[str, nn.Module],
        x: Tensor,
        known: Mapping[str, Tensor],
    ) -> Tensor:
        critic: Tensor = modules["critic"](_critic_input(self.options, modules, known["features"]))
        return critic


def _critic_input(o: DaalOptions, modules: Mapping[str, nn.Module], z: Tensor) -> Tensor:
    psi_l, psi_u = modules.get("psi_labelled"), modules.get("psi_unlabelled")
    if not o.statistics:
        psi_l = psi_u = None
    assert psi_l is None or isinstance(psi_l, Characteristic)
    assert psi_u is None or isinstance(psi_u, Characteristic)
    return critic_input(
        z,
        psi_l,
        psi_u,
        temperature=posterior_temperature(o.temperature, z.shape[1]),
        through_statistics=o.through_statistics,
    )


class _Parts:
    """The losses and refreshes of one round; all state lives in the modules' buffers."""

    def __init__(self, options: DaalOptions, training: "Training") -> None:
        self.o, self.t = options, training
        # Reg begins on a step at which ψ_L has just been refitted, never before its share; a short
        # stage refits that often at least.
        begin, every = options.reg_start * training.steps, options.reg_refresh
        self.reg_every = min(every, math.ceil(begin)) if begin else every
        self.reg_from = self.reg_every * math.ceil(begin / self.reg_every)
        self.temperature = posterior_temperature(options.temperature, training.network.feature_dim)

    # -- Reg ---------------------------------------------------------------------------------

    def _sample(self, ids: Ids, purpose: str, step: int) -> Ids:
        size = self.o.statistics_items
        if size is None or len(ids) <= size:
            return ids
        return np.sort(self.t.rng(purpose, step).choice(ids, size, replace=False))

    def _labelled(self, step: int) -> tuple[Tensor, Tensor]:
        t = self.t
        ids = self._sample(t.labelled_ids, "labelled sample", step)
        labels = t.labels[np.searchsorted(t.labelled_ids, ids)]
        return t.predict(ids, {"features"})["features"], torch.from_numpy(labels)

    def _set(self, name: str, psi: Mixture, reference: Tensor) -> None:
        player = self.t.modules[name]
        assert isinstance(player, Characteristic)
        player.set(psi.to(self.t.device), reference.to(self.t.device))

    def refresh_labelled(self, step: int) -> None:
        """ψ_L on eval-mode, unaugmented features of the labelled set."""
        z, y = self._labelled(step)
        hot = gmm.class_responsibilities(y, self.t.num_classes).to(z)
        self._set("psi_labelled", self.o.fit(z, hot, self.t.rng("EM batches", step)), z)

    def regulariser(self, z: Tensor, y: Tensor) -> Tensor:
        """L_GMM = −log p(y|z; ψ_L), ψ_L constant (§2.2), over items whose class ψ_L knows.

        A class of few labels may be missing in the sample that ψ_L was fitted on: its component
        has no weight, and −log 0 says nothing of z.
        """
        psi = self.t.modules["psi_labelled"]
        assert isinstance(psi, Characteristic)
        with torch.autocast(z.device.type, enabled=False):
            posterior = psi.mixture.log_posterior(z.float(), self.temperature)
            unknown = psi.mixture.empty[y]
            losses = (-posterior.gather(1, y[:, None]).squeeze(1)).masked_fill(unknown, 0.0)
            return losses.sum() / (~unknown).sum().clamp_min(1)

    def regularised_loss(self, batch: Batch) -> Tensor:
        """L_CE + α · L_GMM."""
        out = self.t.network(batch.x)
        loss = cross_entropy(out.logits, batch.y)
        if batch.step < self.reg_from:
            return loss
        return loss + self.o.alpha * self.regulariser(out.features, batch.y)

    # -- DA ----------------------------------------------------------------------------------

    def refresh_both(self, step: int) -> None:
        """ψ_L and ψ_UL, and the standardisation of likelihoods over both sets."""
        z_l, y = self._labelled(step)
        ids = self._sample(self.t.unlabelled_ids, "unlabelled sample", step)
        out = self.t.predict(ids, {"features", "logits"})
        psi_l, psi_u = self.o.fit_both(
            z_l, y, out["features"], out["logits"], self.t.rng("EM batches", step)
        )
        both = torch.cat([z_l, out["features"]])
        self._set("psi_labelled", psi_l, both)
        self._set("psi_unlabelled", psi_u, both)

    def forward(self, batch: Batch) -> None:
        """One pass of both sets to the critic's inputs, shared by both players' turns."""
        network, u = self.t.network, batch.unlabelled()
        if self.o.batch_norm == "joint":
            out = network(torch.cat([batch.x, u]))
            n = len(batch.x)
            z_l, z_u, logits = out.features[:n], out.features[n:], out.logits[:n]
        else:
            labelled, unlabelled = network(batch.x), network(u)
            z_l, z_u, logits = labelled.features, unlabelled.features, labelled.logits
        batch.shared.update(z_l=z_l.float(), logits=logits)
        with torch.autocast(self.t.device.type, enabled=False):
            for name, z in (("h_l", z_l), ("h_u", z_u)):
                batch.shared[name] = _critic_input(self.o, self.t.modules, z.float())

    def critic_loss(self, batch: Batch) -> Tensor:
        """−(E_U[D] − E_L[D]) + λ · penalty, features constant."""
        o, critic = self.o, self.t.modules["critic"]
        with torch.autocast(self.t.device.type, enabled=False):
            h_l, h_u = batch.shared["h_l"], batch.shared["h_u"]
            rng = self.t.rng("penalty", batch.step, batch.turn)
            columns = batch.shared["z_l"].shape[1] if o.penalty_over == "features" else None
            return critic_loss(critic, h_l, h_u, o.penalty, rng, columns)

    def feature_loss(self, batch: Batch) -> Tensor:
        """L_CE + w · (E_U[D] − E_L[D]) (+ α · L_GMM)."""
        o, critic = self.o, self.t.modules["critic"]
        loss = cross_entropy(batch.shared["logits"], batch.y)
        with torch.autocast(self.t.device.type, enabled=False):
            gap = distance(critic(batch.shared["h_l"]), critic(batch.shared["h_u"]))
            loss = loss + o.adversarial * gap
        if o.reg and o.reg_in_alignment:
            loss = loss + o.alpha * self.regulariser(batch.shared["z_l"], batch.y)
        return loss

    def alignment_stage(self) -> Stage:
        o, t = self.o, self.t
        steps = o.align_steps or max(1, round(o.align_fraction * t.steps))
        critic = Optimiser(
            "adam", lr=o.critic_lr, schedule="step", milestones=(0.8,)
        )  # paper §3: 5e-4, decayed to 5e-5 for the last 2,000 of 10,000
        features = Optimiser(
            o.align_optimiser,
            lr=o.align_lr,
            momentum=t.settings.momentum,
            weight_decay=t.settings.weight_decay,
            schedule="step",
            milestones=(0.8,),
        )
        refresh = self.refresh_both if o.statistics else self.refresh_labelled
        return Stage(
            "align",
            steps,
            (
                Phase("critic", ("critic",), self.critic_loss, critic, repeats=o.critic_steps),
                Phase("features", ("network",), self.feature_loss, features),
            ),
            forward=self.forward,
            batch_size=t.batch_size,
            unlabelled_batch=t.batch_size,
            refresh=((max(LEAST_REFRESH, round(o.refresh_fraction * steps)), refresh),)
            if o.statistics or o.reg
            else (),
        )


class DaalAcquisitionOptions(MixtureSettings):
    """AS."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"average": "parameters", "critic_width": 512, "sigmoid": True}
    }
    likelihood: bool = setting(True, "use I_Like, the likelihood gap", source="paper Eq. 3")
    model: bool = setting(True, "use I_model, the critic", source="paper §2.4")
    combine: Literal["sum", "rank"] = setting(
        "sum",
        "standardised sum (paper), or mean rank of likelihood, critic and entropy",
        source="paper Eq. 4; rank: a review of the longer version",
        evidence=TUNED,
        search=("sum", "rank"),
    )
    beta: float = setting(
        1.0, "weight β of I_model", source=OURS, ge=0, evidence=TUNED, search=(0.1, 3.0, "log")
    )
    candidates: float = setting(
        10.0,
        "m: size of the candidate set S as a multiple of the budget",
        source=OURS,
        ge=1,
        evidence=TUNED,
        search=(3.0, 30.0, "log"),
    )
    share: float = setting(
        0.3,
        "q: S is at most this share of the scored pool, so that the score always excludes",
        source=OURS,
        gt=0,
        le=1,
        evidence=TUNED,
        search=(0.1, 0.3, "linear"),
    )
    balance: bool = setting(True, "the same number per pseudo-label in S", source="paper §2.4")
    kmeans: bool = setting(True, "spread by k-means; else the top of S", source="paper §2.4")
    critic_steps: int = setting(
        300, "steps of the query's own critic, where the objective has none", source=OURS, ge=1
    )
    critic_batch: int = setting(100, "batch of the query's own critic", source="paper §3", ge=2)
    critic_width: int = setting(256, "units of the query's own critic", source="as objective", ge=1)
    critic_lr: float = setting(5e-4, "Adam's rate for it", source="paper §3", gt=0)
    penalty: float = setting(
        10.0, "λ of its gradient penalty", source="Gulrajani et al. 2017", ge=0
    )
    sigmoid: bool = setting(False, "sigmoid on it", source="paper §3 has one")
    statistics: bool = setting(True, "feed it with mixture statistics", source="paper §2.3")
    temperature: float = setting(0.0, "as the objective's", source=OURS, ge=0)


@acquisition("daal")
class DaalAcquisition(Acquisition):
    """I_Like + β · I_model → balanced candidate set S → k-means → the item nearest each centre.

    Uses the objective's critic; without one it fits its own on the frozen features.
    """

    Options = DaalAcquisitionOptions
    needs = frozenset({"features", "logits"})
    uses = frozenset({"critic"})
    kind = "batch"
    deterministic = False
    options: DaalAcquisitionOptions

    def select(self, view: "PoolView", n: int) -> Query:
        o, size = self.options, len(view.candidate_ids)
        check_budget(n, size)
        if n == 0:
            return Query(view.candidate_ids[:0])
        parts = self.parts(view)
        score = self.combine(parts) if parts else torch.zeros(size)
        pseudo = view.pseudo_labels
        wanted = max(n, min(round(o.candidates * n), round(o.share * size)))
        if o.balance:
            subset = balanced_candidates(score, pseudo, view.num_classes, wanted, view.ties())
        else:
            subset = top(score, wanted, view.ties())
        if o.kmeans:
            z = view.candidates("features")[subset]
            subset = subset[representatives(z, n, view.rng("k-means"))]
        elif o.balance:
            subset = balanced_candidates(score, pseudo, view.num_classes, n, view.ties())
        else:
            subset = top(score, n, view.ties())
        subset = subset[torch.argsort(score[subset], descending=True, stable=True)]
        rows = subset.numpy()
        return Query(
            view.candidate_ids[rows],
            score[rows].double().numpy(),
            {name: value[rows].double().numpy() for name, value in parts.items()},
            pseudo[rows].numpy(),
            {"candidate_set": wanted, "candidate_share": wanted / size},
        )

    def parts(self, view: "PoolView") -> dict[str, Tensor]:
        """The raw terms of the score over all candidates, finite or refused by name."""
        o = self.options
        z, z_l = view.candidates("features"), view.labelled("features")
        logits = view.candidates("logits")
        psi_l, psi_u = o.fit_both(z_l, view.class_labels, z, logits, view.rng("EM batches"))
        found: dict[str, Tensor] = {}
        if o.likelihood:
            # Eq. 3 in log space: unlike what is labelled, typical of what is not.
            found["likelihood_gap"] = psi_u.log_likelihood(z) - psi_l.log_likelihood(z)
        if o.model:
            found["critic"] = (
                view.candidates("critic")
                if view.has("critic")
                else self._own_critic(view, z, z_l, psi_l, psi_u)
            )
        if o.combine == "rank":
            found["entropy"] = entropy(logits)
        check_finite(found)
        return found

    def combine(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Eq. 4 on standardised terms, or the mean of ranks."""
        o = self.options
        if o.combine == "rank":
            return torch.stack([ranks(p) for p in parts.values()]).mean(dim=0)
        weights = {"likelihood_gap": 1.0, "critic": o.beta}
        terms = [weights[name] * standardise(p) for name, p in parts.items()]
        return torch.stack(terms).sum(dim=0)

    def _own_critic(
        self, view: "PoolView", z: Tensor, z_l: Tensor, psi_l: Mixture, psi_u: Mixture
    ) -> Tensor:
        """A critic between labelled and candidate features, from its own stream."""
        o, (d, k) = self.options, (z.shape[1], view.num_classes)
        with view.scope("critic"):
            critic = Critic(statistics_width(d, k, o.statistics), o.critic_width, o.sigmoid)
        inputs = self._inputs(z, z_l, psi_l, psi_u, k)
        return fit_critic(
            critic,
            *inputs,
            steps=o.critic_steps,
            batch=o.critic_batch,
            lr=o.critic_lr,
            penalty=o.penalty,
            rng=view.rng("critic batches"),
        )

    def _inputs(
        self, z: Tensor, z_l: Tensor, psi_l: Mixture, psi_u: Mixture, k: int
    ) -> tuple[Tensor, Tensor]:
        o = self.options
        if not o.statistics:
            return z_l, z
        both = torch.cat([z_l, z])
        players = []
        for psi in (psi_l, psi_u):
            player = Characteristic(k, z.shape[1], psi.variances.shape[1] > 1)
            player.set(psi, both)
            players.append(player)
        temperature = posterior_temperature(o.temperature, z.shape[1])
        with torch.no_grad():
            inputs = critic_input(both, players[0], players[1], temperature=temperature)
        return inputs[: len(z_l)], inputs[len(z_l) :]


def fit_critic(
    critic: Critic,
    labelled: Float[Tensor, "l i"],
    unlabelled: Float[Tensor, "u i"],
    *,
    steps: int,
    batch: int,
    lr: float,
    penalty: float,
    rng: np.random.Generator,
) -> Float[Tensor, " u"]:
    """Train a critic on constant features; its value of each unlabelled item.

    Ascends E_U[D] − E_L[D] − λ · penalty (Eq. 2 with the features frozen).
    """
    optimiser = torch.optim.Adam(critic.parameters(), lr=lr)
    for step in range(steps):
        if step == round(0.8 * steps):
            for group in optimiser.param_groups:
                group["lr"] = 0.1 * lr
        h_l = labelled[torch.from_numpy(rng.integers(0, len(labelled), batch))]
        h_u = unlabelled[torch.from_numpy(rng.integers(0, len(unlabelled), batch))]
        loss = critic_loss(critic, h_l, h_u, penalty, rng)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        scores: Tensor = torch.cat([critic(part) for part in torch.split(unlabelled, 8192)])
    return scores


_CITATION = "Park et al. 2023, Distribution Aware Active Learning via Gaussian Mixtures"
method(
    "daal",
    "daal",
    "daal",
    title="Distribution-aware active learning",
    citation=_CITATION,
    training_cost="about 2 × cross-entropy",
    query_cost="N·(d·K + critic) + k-means on S",
)
