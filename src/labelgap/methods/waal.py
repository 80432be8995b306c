"""WAAL: Wasserstein adversarial active learning, the nearest peer of DAAL's alignment.

Shui et al. 2020, "Deep active learning: unified and principled method for query and training",
AISTATS. Each step trains the network on labels and pulls unlabelled features towards labelled
ones against a critic; the query weighs uncertainty against the critic's "unlabelled".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.objective import Objective
from labelgap.axes.registry import acquisition, method, objective
from labelgap.axes.stage import Batch, Optimiser, Phase, Stage
from labelgap.core.config import Settings, setting
from labelgap.core.types import Query
from labelgap.gap.critic import critic_loss
from labelgap.learn.supervised import cross_entropy, supervised_stage
from labelgap.methods._waal_critic import WaalCritic, published_critic_loss
from labelgap.methods.uncertainty import top_query
from labelgap.networks.network import Network
from labelgap.select.arrays import wide

if TYPE_CHECKING:
    from labelgap.axes.training import Training
    from labelgap.axes.view import PoolView

CRITIC = "critic"
CENTRE_ITEMS = 1000
"""Unlabelled items whose mean score the critic is centred by."""


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
        assert isinstance(critic, WaalCritic)
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
            rng = training.rng("penalty", batch.step, batch.turn)
            with torch.autocast(training.device.type, enabled=False):
                if published:
                    return published_critic_loss(critic, z_l, z_u, o.alpha, gamma, rng)
                return critic_loss(critic, z_l, z_u, o.penalty, rng)

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
