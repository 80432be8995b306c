"""TA-VAAL: VAAL's players conditioned on the predicted loss of another objective (LL4AL).

Kim et al. 2021, "Task-aware variational adversarial active learning", CVPR. The ranker's output r
enters the decoder beside the code and the discriminator beside the mean code.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from labelgap.axes.objective import Objective, Outputs, Passed
from labelgap.axes.registry import method, objective
from labelgap.axes.stage import Stage
from labelgap.core.config import Settings, setting
from labelgap.core.errors import ConfigError
from labelgap.methods.ll4al import PREDICTED_LOSS, Ll4al, Ll4alOptions
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


class RankerOptions(Ll4alOptions):
    """LL4AL with TA-VAAL's pairwise loss."""

    ranking: Literal["margin", "bce"] = setting(
        "bce", "pairwise loss of the ranker", source="Kim et al. 2021, code"
    )
    weight: float = setting(1.0, "λ: weight of it", source="Kim et al. 2021, code", ge=0)


class TaVaalOptions(VaeSettings):
    """VAAL's, and the ranker's."""

    published: ClassVar[Literal["sum", "mean"]] = "mean"
    ranker: RankerOptions = RankerOptions()


@objective("ta-vaal")
class TaVaal(Objective):
    """Another objective with a predicted loss, then VAAL's stage conditioned on it.

    Parameters
    ----------
    over: the objective that trains the network; LL4AL with `options.ranker` if not given. It
        must provide "predicted_loss".

    Raises
    ------
    ConfigError: `over` has no predicted loss.
    """

    Options = TaVaalOptions
    uses_unlabelled = True
    options: TaVaalOptions

    def __init__(self, options: Settings, over: Objective | None = None) -> None:
        super().__init__(options)
        self.over = over if over is not None else Ll4al(self.options.ranker)
        if PREDICTED_LOSS not in self.over.outputs:
            raise ConfigError(
                f"ta-vaal over {self.over.name!r}: it provides no {PREDICTED_LOSS}.",
                "Give an objective that does, such as ll4al.",
            )

    def modules(self, training: "Training") -> dict[str, nn.Module]:
        o = self.options
        return {
            **self.over.modules(training),
            VAE: Vae(training.input_shape, o, condition=1),
            DISCRIMINATOR: Discriminator(o.latent, o.discriminator_width, condition=1),
        }

    def stages(self, training: "Training") -> list[Stage]:
        def rank(x: Tensor) -> Tensor:
            return self.predicted_loss(Passed.through(training.network, training.modules, x))

        return [*self.over.stages(training), *vae_stage(training, self.options, rank)]

    def predicted_loss(self, passed: Passed) -> Tensor:
        return self.over.output(PREDICTED_LOSS, passed).float()

    def unlabelled_logit(self, passed: Passed) -> Tensor:
        return unlabelled_logit(passed.modules, passed.x, self.predicted_loss(passed))

    provides: ClassVar[Outputs] = {
        PREDICTED_LOSS: predicted_loss,
        UNLABELLED_LOGIT: unlabelled_logit,
    }


method(
    "ta-vaal",
    "ta-vaal",
    "vaal",
    title="Task-aware VAAL",
    citation="Kim et al. 2021, Task-aware variational adversarial active learning, CVPR",
    training_cost="LL4AL + auto-encoder (under 3 × together in small runs)",
    query_cost="N",
)
