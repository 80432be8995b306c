"""WAAL: Wasserstein adversarial active learning, the nearest peer of DAAL's alignment.

Shui et al. 2020, "Deep active learning: unified and principled method for query and training",
AISTATS. Each step trains the network on labels and pulls unlabelled features towards labelled
ones against a critic; the query weighs uncertainty against the critic's "unlabelled".
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.objective import Objective, Outputs, Passed
from labelgap.axes.registry import acquisition, method, objective
from labelgap.axes.stage import Batch, Optimiser, Phase, Stage
from labelgap.core.config import Settings, setting
from labelgap.core.types import Query
from labelgap.learn.supervised import cross_entropy, supervised_stage
from labelgap.methods.uncertainty import top_query
from labelgap.mixtures.critic import critic_loss, gradient_penalty
from labelgap.select.arrays import wide

if TYPE_CHECKING:
    from labelgap.axes.training import Training
    from labelgap.axes.view import PoolView

CRITIC = "critic"
CENTRE_ITEMS = 1000
"""Unlabelled items whose mean score the critic is centred by."""


class WaalCritic(nn.Module):
    """One hidden layer; high on what looks unlabelled.

    sigmoid: the released code's output. It bounds D to [0, 1], so that no critic can have the
    slope 1 that the penalty asks for over features further apart than 1: with the penalty in its
    right sign it no longer finds planted outliers (the numeric test's case), so it is off there.
    """

    def __init__(self, inputs: int, width: int, sigmoid: bool = False) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.layers: nn.Sequential = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 1)
        )
        self.register_buffer("centre", torch.zeros(()))

    def forward(self, z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        scores: Tensor = self.layers(z).squeeze(1)
        return scores.sigmoid() if self.sigmoid else scores

    @torch.no_grad()
    def centre_between(
        self, labelled: Float[Tensor, "l d"], unlabelled: Float[Tensor, "u d"]
    ) -> None:
        """Put `centre` half-way between the two sets' mean scores.

        Neither E_U[D] − E_L[D] nor the penalty changes under D + c, so a critic without a sigmoid
        ends at an offset that nothing has decided. σ(D) would lie at an accidental place of the
        sigmoid, another one for every seed; σ(D − centre) is ½ half-way between the sets.
        """
        middle = (self(labelled).mean() + self(unlabelled).mean()) / 2
        self.get_buffer("centre").copy_(middle)

    def unit(self, z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """D in [0, 1], as the query weighs it; `centre` is 0 where the sigmoid is trained with."""
        scores: Tensor = (self.layers(z).squeeze(1) - self.get_buffer("centre")).sigmoid()
        return scores


def published_critic_loss(
    critic: nn.Module,
    labelled: Float[Tensor, "b d"],
    unlabelled: Float[Tensor, "b d"],
    alpha: float,
    gamma: float,
    rng: np.random.Generator,
) -> Float[Tensor, ""]:
    """−α · (E_U[D] − γ E_L[D]) − 2α · penalty: the released code, which *maximises* the penalty.

    As corrected the critic descends `labelgap.mixtures.critic.critic_loss`.

    Its penalty is the mean over points between the sets and the points of both sets themselves.
    """
    h_l, h_u = labelled.detach(), unlabelled.detach()
    ends = ((h_l, h_u), (h_u, h_u), (h_l, h_l))
    penalty = torch.stack([gradient_penalty(critic, a, b, rng) for a, b in ends]).mean()
    gap: Tensor = critic(h_u).mean() - gamma * critic(h_l).mean()
    return -alpha * gap - 2 * alpha * penalty


class WaalOptions(Settings):
    """Adversarial training."""

    form: Literal["corrected", "published"] = setting(
        "corrected",
        "the penalty holds the critic back, both sets weigh alike; published: the released "
        "code's sign, scale, sigmoid and γ = |L|/|U|",
        source="docs/methods/waal.md",
    )
    alpha: float = setting(
        2e-3,
        "weight of the critic's distance in the features' loss",
        source="Shui et al. 2020, code",
        ge=0,
        search=(1e-3, 1.0, "log"),
    )
    penalty: float = setting(
        5.0, "λ of the gradient penalty", source="Shui et al. 2020, code: CIFAR-10", ge=0
    )
    critic_width: int = setting(50, "hidden units", source="Shui et al. 2020, code", ge=1)
    critic_lr: float = setting(
        1e-3,
        "Adam's rate for the critic",
        source="ours: the published SGD at 0.01 · α hardly moves it",
        gt=0,
        search=(1e-4, 1e-2, "log"),
    )
    critic_steps: int = setting(1, "critic steps per feature step", source="code", ge=1)


@dataclass(frozen=True)
class _Both:
    """One step's forward pass: logits of the labelled batch, features of both, in float32."""

    logits: Float[Tensor, "b k"]
    z_l: Float[Tensor, "b d"]
    z_u: Float[Tensor, "u d"]


@objective("waal")
class Waal(Objective):
    """Cross-entropy + α · (E_U[D] − E_L[D]) in one stage; the critic takes its turn each step."""

    Options = WaalOptions
    uses_unlabelled = True
    options: WaalOptions

    def modules(self, training: "Training") -> dict[str, nn.Module]:
        o = self.options
        width = training.network.feature_dim
        return {CRITIC: WaalCritic(width, o.critic_width, sigmoid=o.form == "published")}

    def stages(self, training: "Training") -> list[Stage]:
        if len(training.unlabelled_ids) == 0:
            return [supervised_stage(training)]  # nothing to align with
        o, network, critic = self.options, training.network, training.modules[CRITIC]
        assert isinstance(critic, WaalCritic)
        published = o.form == "published"
        gamma = 1.0
        if published:
            gamma = len(training.labelled_ids) / len(training.unlabelled_ids)

        def forward(batch: Batch) -> _Both:
            out, n = network(torch.cat([batch.x, batch.unlabelled()])), len(batch.x)
            z = out.features.float()
            return _Both(out.logits[:n], z[:n], z[n:])

        def network_turn(batch: Batch) -> Tensor:
            both = batch.common(_Both)
            with torch.autocast(training.device.type, enabled=False):
                gap: Tensor = critic(both.z_u).mean() - gamma * critic(both.z_l).mean()
                return cross_entropy(both.logits, batch.y) + o.alpha * gap

        def critic_turn(batch: Batch) -> Tensor:
            both = batch.common(_Both)
            rng = training.rng("penalty", batch.step, batch.turn)
            with torch.autocast(training.device.type, enabled=False):
                if published:
                    return published_critic_loss(critic, both.z_l, both.z_u, o.alpha, gamma, rng)
                return critic_loss(critic, both.z_l, both.z_u, o.penalty, rng)

        def centre(step: int) -> None:
            if step < training.steps - 1:
                return  # step 0 of the refresh: nothing is learnt yet
            some = training.rng("centre").permutation(training.unlabelled_ids)[:CENTRE_ITEMS]
            z_l, z_u = (
                training.predict(ids, {"features"})["features"].to(training.device)
                for ids in (training.labelled_ids, some)
            )
            critic.centre_between(z_l, z_u)

        adam = Optimiser("adam", lr=o.critic_lr, schedule="constant")
        turn = Phase(CRITIC, (CRITIC,), critic_turn, adam, repeats=o.critic_steps)
        stage = supervised_stage(
            training,
            network_turn,
            others=[turn],
            # Before the last step: evaluation-mode features, those that the query will see.
            refresh=[] if published else [(max(1, training.steps - 1), centre)],
            unlabelled_batch=training.batch_size,
        )
        return [replace(stage, forward=forward)]

    def unlabelled_score(self, passed: Passed) -> Tensor:
        critic = passed.modules[CRITIC]
        assert isinstance(critic, WaalCritic)
        return critic.unit(passed.features)

    provides: ClassVar[Outputs] = {CRITIC: unlabelled_score}


class WaalAcquisitionOptions(Settings):
    """The query's trade-off."""

    diversity: float = setting(
        10.0,
        "weight of the critic against uncertainty",
        source="Shui et al. 2020, code",
        ge=0,
        search=(1.0, 100.0, "log"),
    )


@acquisition("waal")
class WaalAcquisition(Acquisition):
    """Highest −½‖log p‖₂ − ½‖log p‖₁ + 10 · D(z): close to uniform, and unlike the labelled."""

    Options = WaalAcquisitionOptions
    needs = frozenset({"logits", CRITIC})
    options: WaalAcquisitionOptions

    def select(self, view: "PoolView", n: int) -> Query:
        parts = {
            "uncertainty": uncertainty(view.candidates("logits")),
            CRITIC: view.candidates(CRITIC).double(),
        }
        score = parts["uncertainty"] + self.options.diversity * parts[CRITIC]
        return top_query(view, n, score, "waal", parts)


def uncertainty(logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """−½‖log p‖₂ − ½‖log p‖₁: highest for the uniform prediction."""
    # Logits of minus infinity would make it infinite; a probability below e⁻¹⁰⁰ is none.
    log_p = torch.log_softmax(logits.to(wide(logits.device)), dim=1).clamp_min(-100.0)
    size: Tensor = log_p.square().sum(dim=1).sqrt() + log_p.abs().sum(dim=1)
    return -0.5 * size


method(
    "waal",
    "waal",
    "waal",
    title="Wasserstein adversarial active learning",
    citation="Shui et al. 2020, Deep active learning: unified and principled method, AISTATS",
    training_cost="about 2 × cross-entropy",
    query_cost="N·(K + critic)",
)
