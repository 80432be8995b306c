"""VAAL: ask for what a discriminator on a variational auto-encoder's codes takes for unlabelled.

Sinha et al. 2019, "Variational adversarial active learning", ICCV. The auto-encoder's stage comes
after the network's and does not touch it (as in the code of the papers compared with).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.objective import Objective, Outputs, Passed
from labelgap.axes.registry import acquisition, method, objective
from labelgap.axes.stage import Stage
from labelgap.core.types import Query
from labelgap.learn.supervised import supervised_stage
from labelgap.methods.uncertainty import top_query
from labelgap.methods.vae.networks import (
    DISCRIMINATOR,
    UNLABELLED_LOGIT,
    VAE,
    Discriminator,
    Vae,
    VaeSettings,
)
from labelgap.methods.vae.stage import unlabelled_logit, vae_stage

if TYPE_CHECKING:
    from labelgap.axes.training import Training
    from labelgap.axes.view import PoolView


class VaalOptions(VaeSettings):
    """Auto-encoder, discriminator and their stage."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # The code of VAAL and that of CoreGCN take two auto-encoder steps; TA-VAAL's takes one.
        "paper": {**VaeSettings.presets["paper"], "vae_turns": 2},
    }


@objective("vaal")
class Vaal(Objective):
    """Cross-entropy; then auto-encoder and discriminator, the network frozen."""

    Options = VaalOptions
    uses_unlabelled = True
    options: VaalOptions

    def modules(self, training: "Training") -> dict[str, nn.Module]:
        o = self.options
        return {
            VAE: Vae(training.input_shape, o),
            DISCRIMINATOR: Discriminator(o.latent, o.discriminator_width),
        }

    def stages(self, training: "Training") -> list[Stage]:
        return [supervised_stage(training), *vae_stage(training, self.options)]

    def unlabelled_logit(self, passed: Passed) -> Tensor:
        return unlabelled_logit(passed.modules, passed.x)

    provides: ClassVar[Outputs] = {UNLABELLED_LOGIT: unlabelled_logit}


@acquisition("vaal")
class VaalAcquisition(Acquisition):
    """The n items that the discriminator is least inclined to call labelled."""

    needs = frozenset({UNLABELLED_LOGIT})

    def select(self, view: "PoolView", n: int) -> Query:
        # The logit, not the probability: that saturates, and its ties would decide.
        return top_query(view, n, view.candidates(UNLABELLED_LOGIT), UNLABELLED_LOGIT)


method(
    "vaal",
    "vaal",
    "vaal",
    title="Variational adversarial active learning",
    citation="Sinha et al. 2019, Variational adversarial active learning, ICCV",
    training_cost="cross-entropy + auto-encoder (under 3 × together in small runs)",
    query_cost="N",
)
