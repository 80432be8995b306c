"""Every choice that DAAL leaves open, with default, source and evidence."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from labelgap.core.config import TUNING, Settings, setting
from labelgap.gap import em as gmm
from labelgap.gap.mixture import Mixture
from labelgap.gap.statistics import class_responsibilities

OURS = "open in the paper; ours"
TUNED = (
    f"{TUNING}, and Fashion-MNIST: no draw beats the defaults for every seed; "
    "alone: benchmarks/tuning/one-at-a-time.md"
)


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
        psi_l = self.fit(z_labelled, class_responsibilities(labels, k).to(z_labelled), rng)
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
        paper=(
            1.0,
            "0 stands for d; with 1 the posterior is 0 or 1 where d = 512, and Reg has no gradient "
            "(measured: 0 at 99 of 100 labelled items after one step, at 85 after a hundred)",
        ),
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
