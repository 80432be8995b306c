"""DAAL's stages of training: regularised supervision, then alignment."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.axes.stage import Batch, Optimiser, Phase, Stage
from labelgap.core.device import full_precision
from labelgap.core.types import Ids
from labelgap.learn.supervised import cross_entropy
from labelgap.methods.daal.settings import DaalOptions
from labelgap.mixtures.characteristic import Characteristic, critic_input
from labelgap.mixtures.critic import distance
from labelgap.mixtures.mixture import Mixture
from labelgap.mixtures.statistics import class_responsibilities

if TYPE_CHECKING:
    from labelgap.axes.training import Training


LEAST_REFRESH = 10
"""Steps between refits of ψ in short alignment stages, so that EM does not dominate them."""


def critic_input_of(o: DaalOptions, modules: Mapping[str, nn.Module], z: Tensor) -> Tensor:
    psi_l, psi_u = modules.get("psi_labelled"), modules.get("psi_unlabelled")
    if not o.critic.statistics:
        psi_l = psi_u = None
    assert psi_l is None or isinstance(psi_l, Characteristic)
    assert psi_u is None or isinstance(psi_u, Characteristic)
    return critic_input(
        z,
        psi_l,
        psi_u,
        temperature=o.mixture.temperature_in(z.shape[1]),
        through_statistics=o.through_statistics,
    )


def stands_still(z: Tensor) -> bool:
    """Whether no parameter moves these features, as where one layer learns on ready-made ones.

    A loss of them alone has no gradient: it is left out.
    """
    return torch.is_grad_enabled() and not z.requires_grad


@dataclass(frozen=True)
class _Both:
    """One step's forward pass of both sets.

    Attributes
    ----------
    logits, z_l: of the labelled batch; features in float32.
    h: the critic's inputs, of the labelled and then of the unlabelled batch: one call for both
        costs half of two.
    """

    logits: Float[Tensor, "b k"]
    z_l: Float[Tensor, "b d"]
    h: Float[Tensor, "both i"]

    @property
    def h_l(self) -> Float[Tensor, "b i"]:
        return self.h[: len(self.z_l)]

    @property
    def h_u(self) -> Float[Tensor, "u i"]:
        return self.h[len(self.z_l) :]


class Parts:
    """The losses and refreshes of one round; all state lives in the modules' buffers."""

    def __init__(self, options: DaalOptions, training: "Training") -> None:
        self.o: DaalOptions = options
        self.t: Training = training
        # Reg begins on a step at which ψ_L has just been refitted, never before its share; a short
        # stage refits that often at least.
        begin, every = options.reg_start * training.steps, options.reg_refresh
        self.reg_every: int = min(every, math.ceil(begin)) if begin else every
        self.reg_from: int = self.reg_every * math.ceil(begin / self.reg_every)
        self.temperature: float = options.mixture.temperature_in(training.network.feature_dim)

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
        hot = class_responsibilities(y, self.t.num_classes).to(z)
        self._set("psi_labelled", self.o.mixture.fit(z, hot, self.t.rng("EM batches", step)), z)

    def regulariser(self, z: Tensor, y: Tensor) -> Tensor:
        """L_GMM = −log p(y|z; ψ_L), ψ_L constant (§2.2), over items whose class ψ_L knows.

        A class of few labels may be missing in the sample that ψ_L was fitted on: its component
        has no weight, and −log 0 says nothing of z.
        """
        psi = self.t.modules["psi_labelled"]
        assert isinstance(psi, Characteristic)
        with full_precision(z.device):
            posterior = psi.mixture.log_posterior(z.float(), self.temperature)
            unknown = psi.mixture.empty[y]
            losses = (-posterior.gather(1, y[:, None]).squeeze(1)).masked_fill(unknown, 0.0)
            return losses.sum() / (~unknown).sum().clamp_min(1)

    def regularised_loss(self, batch: Batch) -> Tensor:
        """L_CE + α · L_GMM."""
        out = self.t.network(batch.x)
        loss = cross_entropy(out.logits, batch.y)
        if batch.step < self.reg_from or stands_still(out.features):
            return loss
        return loss + self.o.alpha * self.regulariser(out.features, batch.y)

    # -- DA ----------------------------------------------------------------------------------

    def refresh_both(self, step: int) -> None:
        """ψ_L and ψ_UL, and the standardisation of likelihoods over both sets."""
        z_l, y = self._labelled(step)
        ids = self._sample(self.t.unlabelled_ids, "unlabelled sample", step)
        out = self.t.predict(ids, {"features", "logits"})
        psi_l, psi_u = self.o.mixture.fit_both(
            z_l, y, out["features"], out["logits"], self.t.rng("EM batches", step)
        )
        both = torch.cat([z_l, out["features"]])
        self._set("psi_labelled", psi_l, both)
        self._set("psi_unlabelled", psi_u, both)

    def forward(self, batch: Batch) -> _Both:
        """One pass of both sets to the critic's inputs, shared by both players' turns."""
        network, u, n = self.t.network, batch.unlabelled(), len(batch.x)
        if self.o.batch_norm == "joint":
            out = network(torch.cat([batch.x, u]))
            z, logits = out.features, out.logits[:n]
        else:
            labelled, unlabelled = network(batch.x), network(u)
            z, logits = torch.cat([labelled.features, unlabelled.features]), labelled.logits
        z = z.float()
        with full_precision(self.t.device):
            return _Both(logits, z[:n], critic_input_of(self.o, self.t.modules, z))

    def critic_loss(self, batch: Batch) -> Tensor:
        """−(E_U[D] − E_L[D]) + λ · penalty, features constant."""
        o, critic, both = self.o, self.t.modules["critic"], batch.common(_Both)
        with full_precision(self.t.device):
            rng = self.t.rng("penalty", batch.step, batch.turn)
            return o.critic.loss(critic, both.h_l, both.h_u, both.z_l.shape[1], rng)

    def feature_loss(self, batch: Batch) -> Tensor:
        """L_CE + w · (E_U[D] − E_L[D]) (+ α · L_GMM)."""
        o, critic, both = self.o, self.t.modules["critic"], batch.common(_Both)
        loss, n = cross_entropy(both.logits, batch.y), len(both.z_l)
        if stands_still(both.h):
            return loss
        with full_precision(self.t.device):
            values = critic(both.h)
            loss = loss + o.adversarial * distance(values[:n], values[n:])
        if o.reg and o.reg_in_alignment:
            loss = loss + o.alpha * self.regulariser(both.z_l, batch.y)
        return loss

    def alignment_stage(self) -> Stage:
        o, t = self.o, self.t
        steps = o.align_steps or max(1, round(o.align_fraction * t.steps))
        features = Optimiser(
            o.align_optimiser,
            lr=o.align_lr,
            momentum=t.settings.momentum,
            weight_decay=t.settings.weight_decay,
            schedule="step",
            milestones=(0.8,),
        )
        refresh = self.refresh_both if o.critic.statistics else self.refresh_labelled
        return Stage(
            "align",
            steps,
            (
                Phase(
                    "critic",
                    ("critic",),
                    self.critic_loss,
                    o.critic.optimiser(),
                    repeats=o.critic_steps,
                ),
                Phase("features", ("network",), self.feature_loss, features),
            ),
            forward=self.forward,
            batch_size=t.batch_size,
            unlabelled_batch=t.batch_size,
            refresh=((max(LEAST_REFRESH, round(o.refresh_fraction * steps)), refresh),)
            if o.critic.statistics or o.reg
            else (),
        )
