"""What a network sees in a project's images: one row of features an image, for looking at them.

Of a frozen backbone where the project has one (computed once, kept); else of the network that was
trained last; before any training, of thumbnails.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from labelgap.core.config import config_hash
from labelgap.core.device import machine
from labelgap.core.types import Ids, Progress
from labelgap.project.asking.cold import thumbnails
from labelgap.project.asking.ready import need_images
from labelgap.project.asking.task import frozen_task, image_task
from labelgap.project.asking.work import Work, configuration
from labelgap.project.keep.store import Project
from labelgap.project.quality.quality import last_training


@dataclass(frozen=True, eq=False)
class Seen:
    """Features of every image that has pixels.

    key: hash of what they depend on: equal keys mean equal features.
    learned: they come of a network that learned from the labels, so that what is said of these
        labels by them is milder than it should be.
    plain: thumbnails, where no pretrained backbone compares the images: a network that learned
        from labels sees all images of a class as nearly the same, so it cannot tell duplicates.
    """

    ids: Ids
    features: Float32[np.ndarray, "n d"]
    key: str
    learned: bool = False
    plain: Float32[np.ndarray, "n p"] | None = None


def see(project: Project, device: str = "auto", progress: Progress | None = None) -> Seen:
    """Features of all images, of the best network at hand.

    Raises as `frozen.freeze.freeze`; `BudgetError` for a project without an image.
    """
    need_images(project)
    items = project.items.all()
    lost = project.items.unpacked()
    ids = np.array([item.id for item in items if item.id not in lost], dtype=np.int64)
    hashes = [items[i].sha256 for i in ids.tolist()]
    config = configuration(project.settings, project.root.name)
    if config.network.freeze:
        task, _ = image_task(project, [item.sha256 for item in items])
        where = machine(device, config.precision)
        features = frozen_task(project, config, task, where, progress).train.inputs
        facts = {"items": hashes, "network": config.network.model_dump(mode="json")}
        return Seen(ids, np.asarray(features[ids], dtype=np.float32), config_hash(facts))
    work = Work(project, device=device, progress=progress)
    small = thumbnails(np.asarray(work.images.train.inputs)).numpy()[ids]
    if work.restore():
        out = work.session.learner.predict(
            work.session.training.network, ids, {"features"}, progress=progress
        )
        trained = last_training(project.ledger)
        facts = {"items": hashes, "network": [trained["labels_sha256"], trained["config"]]}
        features = out["features"].float().cpu().numpy()
        return Seen(ids, features, config_hash(facts), learned=True, plain=small)
    return Seen(ids, small, config_hash({"items": hashes, "network": "thumbnails"}), plain=small)
