"""A folder of small photographs of which four have a wrong label, and two nearly the same twin."""

import numpy as np
from PIL import Image
from small_project import CLASSES, QUICK, image_of

from labelgap.project.exchange.begin import begin

SIDE = 24


def planted_project(folder, labelled=120, free=30, wrong=4, seed=0, classes=CLASSES, **settings):
    """`labelled` images with their label but for `wrong` of them, `free` ones without; returns
    item -> true class of the wrong ones, all by their ids. settings: of the project, by default a
    small network from scratch."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(labelled + free):
        image_of(i % 3, rng, SIDE).save(folder / f"im{i:04d}.png")
    for i in range(labelled, labelled + min(free, 2)):  # saved again, a touch brighter
        pixels = np.asarray(Image.open(folder / f"im{i:04d}.png")).astype(int)
        twin = Image.fromarray((pixels + 2).clip(0, 255).astype(np.uint8))
        twin.save(folder / f"twin{i:04d}.png")
    settings = settings or {"config": QUICK}
    with begin(folder, classes=classes, method="margin", **settings).project as project:
        at = {path: item for path, item in project.items.paths().items()}
        planted = rng.choice(labelled, wrong, replace=False).tolist()
        labels = {at[f"im{i:04d}.png"]: (i + (i in planted)) % 3 for i in range(labelled)}
        project.ledger.answers(labels, person="anna")
    return {at[f"im{i:04d}.png"]: i % 3 for i in planted}
