"""WAAL: Wasserstein adversarial active learning, the nearest peer of DAAL's alignment.

Shui et al. 2020, "Deep active learning: unified and principled method for query and training",
AISTATS. Each step trains the network on labels and pulls unlabelled features towards labelled
ones against a critic; the query weighs uncertainty against the critic's "unlabelled".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.alignment import distance, gradient_penalty
from labelgap.axes import Acquisition, Objective, acquisition, method, objective
from labelgap.config import Settings, setting
from labelgap.learner import cross_entropy
from labelgap.methods.cross_entropy import supervised_stage
from labelgap.methods.uncertainty import top_query
from labelgap.network import Network
from labelgap.select.arrays import wide
from labelgap.types import Batch, Optimiser, Phase, Query, Stage

if TYPE_CHECKING:
    from labelgap.learner import Training
    from labelgap.view import PoolView

CRITIC = "critic"


class WaalCritic(nn.Module):
    """One hidden layer; high on what looks unlabelled.

    sigmoid: the released code's output. It bounds D to [0, 1], so that no critic can have the
    slope 1 that the penalty asks for over features further apart than 1: with the penalty in its
    right sign it no longer finds planted outliers (the numeric test's case), so it is off there.
    """

    def __init__(self, inputs: int, width: int, sigmoid: bool = False) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        scores: Tensor = self.layers(z).squeeze(1)
        return scores.sigmoid() if self.sigmoid else scores

    def unit(self, z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """D in [0, 1], as the query weighs it."""
        scores: Tensor = self.layers(z).squeeze(1).sigmoid()
        return scores


def critic_loss(
    critic: nn.Module,
    labelled: Float[Tensor, "b d"],
    unlabelled: Float[Tensor, "b d"],
    penalty: float,
    rng: np.random.Generator,
) -> Float[Tensor, ""]:
    """−(E_U[D] − E_L[D]) + λ · mean (‖∇D‖ − 1)²: what the critic descends, features constant."""
    h_l, h_u = labelled.detach(), unlabelled.detach()
    return penalty * gradient_penalty(critic, h_l, h_u, rng) - distance(critic(h_l), critic(h_u))


def published_critic_loss(
    critic: nn.Module,
    labelled: Float[Tensor, "b d"],
    unlabelled: Float[Tensor, "b d"],
    alpha: float,
    gamma: float,
    rng: np.random.Generator,
) -> Float[Tensor, ""]:
    """−α · (E_U[D] − γ E_L[D]) − 2α · penalty: the released code, which *maximises* the penalty.

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


@objective("waal")
class Waal(Objective):
    """Cross-entropy + α · (E_U[D] − E_L[D]) in one stage; the critic takes its turn each step."""

    Options = WaalOptions
    outputs = frozenset({CRITIC})
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
        published = o.form == "published"
        gamma = 1.0
        if published:
            gamma = len(training.labelled_ids) / len(training.unlabelled_ids)

        def forward(batch: Batch) -> None:
            out, n = network(torch.cat([batch.x, batch.unlabelled()])), len(batch.x)
            z = out.features.float()
            batch.shared.update(logits=out.logits[:n], z_l=z[:n], z_u=z[n:])

        def network_turn(batch: Batch) -> Tensor:
            s = batch.shared
            with torch.autocast(training.device.type, enabled=False):
                gap: Tensor = critic(s["z_u"]).mean() - gamma * critic(s["z_l"]).mean()
                return cross_entropy(s["logits"], batch.y) + o.alpha * gap

        def critic_turn(batch: Batch) -> Tensor:
            z_l, z_u = batch.shared["z_l"], batch.shared["z_u"]
            rng = training.rng("penalty", batch.step)
            with torch.autocast(training.device.type, enabled=False):
                if published:
                    return published_critic_loss(critic, z_l, z_u, o.alpha, gamma, rng)
                return critic_loss(critic, z_l, z_u, o.penalty, rng)

        adam = Optimiser("adam", lr=o.critic_lr, schedule="constant")
        turn = Phase(CRITIC, (CRITIC,), critic_turn, adam, repeats=o.critic_steps)
        stage = supervised_stage(
            training, network_turn, others=[turn], unlabelled_batch=training.batch_size
        )
        return [replace(stage, forward=forward)]

    def output(
        self,
        name: str,
        network: Network,
        modules: Mapping[str, nn.Module],
        x: Tensor,
        known: Mapping[str, Tensor],
    ) -> Tensor:
        critic = modules[CRITIC]
        assert isinstance(critic, WaalCritic)
        return critic.unit(known["features"])


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
    needs: ClassVar[frozenset[str]] = frozenset({"logits", CRITIC})
    options: WaalAcquisitionOptions

    def select(self, view: "PoolView", n: int) -> Query:
        parts = {
            "uncertainty": uncertainty(view.candidates("logits")),
            CRITIC: view.candidates(CRITIC).double(),
        }
        score = parts["uncertainty"] + self.options.diversity * parts[CRITIC]
        query = top_query(view, n, score, "waal")
        order = np.argsort(view.candidate_ids)
        rows = order[np.searchsorted(view.candidate_ids[order], query.ids)]
        return replace(query, parts={name: value.numpy()[rows] for name, value in parts.items()})


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
