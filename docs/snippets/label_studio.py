"""Label Studio: what was labelled there comes out of its export, what to label next goes in."""

import json
from pathlib import Path

import numpy as np

import labelgap

rng = np.random.default_rng(0)
images = [f"photos/{i}.jpg" for i in range(40)]
features, chances = rng.standard_normal((40, 16)), rng.dirichlet([1, 1, 1], 40)  # of your network
names = ["cat", "dog", "owl"]
if not Path(
    "export.json"
).exists():  # yours: Export, JSON-MIN, in a project whose choice is "label"
    done = [
        {"image": image, "label": name} for image, name in zip(images[:6], names * 2, strict=True)
    ]
    Path("export.json").write_text(json.dumps(done))

known = {task["image"]: task["label"] for task in json.loads(Path("export.json").read_text())}
asked = labelgap.choose(
    5, features, probabilities=chances, ids=images, classes=names,
    labelled=list(known), labels=list(known.values()),
)  # fmt: skip
tasks = [
    {"data": {"image": image, "why": why, "rank": rank}}
    for rank, (image, why) in enumerate(zip(asked.ids, asked.reasons, strict=True), 1)
]
Path("tasks.json").write_text(json.dumps(tasks))  # Import in Label Studio; sort by data.rank
