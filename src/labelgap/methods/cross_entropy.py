"""Plain supervised training: the first stage of every objective."""

from typing import TYPE_CHECKING

from labelgap.axes.objective import Objective
from labelgap.axes.registry import objective
from labelgap.axes.stage import Stage
from labelgap.learn.supervised import supervised_stage

if TYPE_CHECKING:
    from labelgap.axes.training import Training


@objective("cross-entropy")
class CrossEntropy(Objective):
    """Minimise the cross-entropy of the labelled images; nothing else."""

    def stages(self, training: "Training") -> list[Stage]:
        return [supervised_stage(training)]
