"""Every choice that DAAL leaves open, with default, source and evidence."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.axes.stage import Optimiser
from labelgap.core.config import TUNING, Settings, setting
from labelgap.mixtures import em as gmm
from labelgap.mixtures.characteristic import statistics_width
from labelgap.mixtures.critic import Critic, critic_loss
from labelgap.mixtures.mixture import Mixture
from labelgap.mixtures.statistics import class_responsibilities

OURS = "open in the paper; ours"
TUNED = (
    f"{TUNING}, and Fashion-MNIST: no draw beats the defaults for every seed; "
    "alone: benchmarks/tuning/one-at-a-time.md"
)

MOVED = {
    "covariance": "mixture.covariance",
    "average": "mixture.average",
    "em_steps": "mixture.em_steps",
    "em_batch": "mixture.em_batch",
    "floor": "mixture.floor",
    "temperature": "mixture.temperature",
    "statistics": "critic.statistics",
    "critic_width": "critic.width",
    "sigmoid": "critic.sigmoid",
    "critic_lr": "critic.lr",
    "penalty": "critic.penalty",
}
"""Keys that each axis had for itself before: what they are called now."""


class MixtureSettings(Settings):
    """The run's table `mixture`: how ψ_L and ψ_UL are fitted and read (§2.1), on both axes."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"average": "parameters"}}
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
    temperature: float = setting(
        0.0,
        "divides the log joint of posteriors; 1 is the paper; 0: d, the mean over dimensions "
        "instead of their sum, so that posteriors do not saturate",
        source=OURS,
        evidence="digits, 40 labels, d = 64: accuracy 0.11 with 4 (alpha 0.1), 0.85 with d",
        paper=(
            1.0,
            "0 stands for d; with 1 the posterior is 0 or 1 where d = 512, and Reg has no gradient "
            "(measured: 0 at 99 of 100 labelled items after one step, at 85 after a hundred)",
        ),
        ge=0,
        search=(0.0, 16.0),
    )

    def temperature_in(self, dimensions: int) -> float:
        """The temperature of posteriors over so many features; 0 stands for their number."""
        return self.temperature if self.temperature > 0 else float(dimensions)

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
        psi_l = self.fit(z_labelled, class_responsibilities(labels, k).to(z_labelled), rng)
        return psi_l, self.fit(z_unlabelled, logits.softmax(dim=1), rng)


class CriticSettings(Settings):
    """The run's table `critic`: the critic, and how it is trained (§2.3), on both axes."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"width": 512, "sigmoid": True}}
    statistics: bool = setting(True, "feed the critic with mixture statistics", source="paper §2.3")
    width: int = setting(256, "units of the critic's layers", source="authors' code: 512", ge=1)
    sigmoid: bool = setting(
        False, "sigmoid on the critic: the paper, but it bounds the distance", source="paper §3"
    )
    lr: float = setting(
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

    def new(self, features: int, classes: int) -> Critic:
        """A critic of so many features, in the weights that the current stream draws."""
        return Critic(
            statistics_width(features, classes, self.statistics), self.width, self.sigmoid
        )

    def optimiser(self) -> Optimiser:
        """Adam, decayed as in paper §3: from 5e-4 to 5e-5 for the last 2,000 of 10,000 steps."""
        return Optimiser("adam", lr=self.lr, schedule="step", milestones=(0.8,))

    def loss(
        self,
        critic: nn.Module,
        labelled: Float[Tensor, "b i"],
        unlabelled: Float[Tensor, "b i"],
        features: int,
        rng: np.random.Generator,
    ) -> Float[Tensor, ""]:
        """What the critic descends on its inputs, whose first `features` columns are z."""
        columns = features if self.penalty_over == "features" else None
        return critic_loss(critic, labelled, unlabelled, self.penalty, rng, columns)


class DaalOptions(Settings):
    """Reg and DA."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "align_steps": 10_000,
            "statistics_items": None,
        },
    }
    moved: ClassVar[Mapping[str, str]] = {**MOVED, "penalty_over": "critic.penalty_over"}
    mixture: MixtureSettings = MixtureSettings()
    critic: CriticSettings = CriticSettings()
    reg: bool = setting(True, "Reg: the mixture regulariser", source="paper §2.2")
    alpha: float = setting(
        0.1, "weight α of L_GMM", source=OURS, ge=0, evidence=TUNED, search=(0.01, 1.0, "log")
    )
    reg_start: float = setting(
        0.25,
        "share of the supervised stage before Reg sets in: batch-norm's running statistics, and "
        "with them ψ_L, mean nothing before",
        source=OURS,
        ge=0,
        lt=1,
        evidence="digits, one key at a time (benchmarks/tuning): −19 points with 0",
        paper=(
            0.0,
            "ψ_L means nothing before batch-norm's running statistics have settled (measured: 19 "
            "points are lost on digits)",
        ),
        search=(0.25, 0.5),
    )
    reg_refresh: int = setting(
        50, "steps between refits of ψ_L in the supervised stage", source=OURS, ge=1
    )
    align: bool = setting(True, "DA: the alignment stage", source="paper §2.3")
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
    critic_steps: int = setting(
        1, "critic steps per feature step", source=OURS, ge=1, evidence=TUNED, search=(1, 5)
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
