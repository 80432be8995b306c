"""Label Studio: what was labelled there comes out of its export, what to label next goes in."""

import json
from pathlib import Path

import numpy as np

import labelgap

# Yours: images, what your network says of them, and export.json: Export, JSON-MIN, in a project
# whose choice is called "label".
images, names = [f"photos/{i}.jpg" for i in range(40)], ["cat", "dog", "owl"]
rng = np.random.default_rng(0)
features, chances = rng.standard_normal((40, 16)), rng.dirichlet([1, 1, 1], 40)

# labelgap:
known = {task["image"]: task["label"] for task in json.loads(Path("export.json").read_text())}
asked = labelgap.choose(
    5, features, probabilities=chances, ids=images, classes=names,
    labelled=list(known), labels=list(known.values()),
)  # fmt: skip
rows = enumerate(zip(asked.ids, asked.reasons, strict=True), 1)
tasks = [{"data": {"image": image, "why": why, "rank": rank}} for rank, (image, why) in rows]
Path("tasks.json").write_text(json.dumps(tasks))  # Import in Label Studio; sort by data.rank
