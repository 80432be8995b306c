"""DAAL: distribution-aware active learning via Gaussian mixtures (the project's method).

Objective: cross-entropy + α · L_GMM (Reg, paper §2.2), then adversarial alignment of labelled and
unlabelled features with a critic that sees mixture statistics (DA, §2.3).
Acquisition (AS, §2.4): likelihood gap + β · critic, balanced by pseudo-label, spread by k-means.
"""

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from labelgap.axes.objective import Objective, Outputs, Passed
from labelgap.axes.registry import method, objective
from labelgap.axes.stage import Stage
from labelgap.learn.supervised import supervised_stage
from labelgap.methods.daal.settings import DaalOptions
from labelgap.methods.daal.stages import Parts, critic_input_of
from labelgap.mixtures.characteristic import Characteristic

if TYPE_CHECKING:
    from labelgap.axes.training import Training


@objective("daal")
class Daal(Objective):
    """Cross-entropy + Reg, then DA. Each on or off; both off is plain cross-entropy."""

    Options = DaalOptions
    uses_unlabelled = True
    options: DaalOptions

    def modules(self, training: "Training") -> dict[str, nn.Module]:
        o, d, k = self.options, training.network.feature_dim, training.num_classes
        diagonal = o.mixture.covariance == "diagonal"
        players: dict[str, nn.Module] = {}
        if o.reg or (o.align and o.critic.statistics):
            players["psi_labelled"] = Characteristic(k, d, diagonal)
        if o.align and o.critic.statistics:
            players["psi_unlabelled"] = Characteristic(k, d, diagonal)
        if o.align:
            players["critic"] = o.critic.new(d, k)
        return players

    def stages(self, training: "Training") -> list[Stage]:
        o, part = self.options, Parts(self.options, training)
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

    def critic(self, passed: Passed) -> Tensor:
        inputs = critic_input_of(self.options, passed.modules, passed.features)
        scores: Tensor = passed.modules["critic"](inputs)
        return scores

    provides: ClassVar[Outputs] = {"critic": critic}

    @property
    def outputs(self) -> frozenset[str]:
        return super().outputs if self.options.align else frozenset()


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
