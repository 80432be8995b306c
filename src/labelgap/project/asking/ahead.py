"""Features computed when the images are read, so that the first question need not wait."""

from labelgap.core.device import machine, set_threads
from labelgap.core.types import Progress
from labelgap.project.asking.task import frozen_task, image_task
from labelgap.project.asking.work import configuration
from labelgap.project.keep.store import Project


def compute_features(
    project: Project, device: str = "auto", progress: Progress | None = None
) -> bool:
    """Compute and keep the frozen features of all images; False where nothing is frozen.

    Right after reading, the network is in memory already and the pixels are in the system's
    cache. The first question would compute them otherwise; a killed computation goes on there.

    Raises as `frozen.freeze.freeze`.
    """
    config = configuration(project.settings, project.root.name)
    if not config.network.freeze or not project.items.count():
        return False
    set_threads(None)
    task, _ = image_task(project, [item.sha256 for item in project.items.all()])
    frozen_task(project, config, task, machine(device, config.precision), progress)
    return True
