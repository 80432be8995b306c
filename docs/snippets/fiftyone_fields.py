"""FiftyOne: labels come out of a field, the query goes into three."""

import fiftyone as fo
import numpy as np

import labelgap

data = fo.Dataset()
data.add_samples([fo.Sample(filepath=f"/photos/{i}.jpg") for i in range(40)])
rng = np.random.default_rng(0)
features = rng.standard_normal((40, 16))  # yours: `data.compute_embeddings(model)`
chances = rng.dirichlet([1, 1, 1], 40)
names = ["cat", "dog", "owl"]
for sample, name in zip(data[:6], names * 2, strict=True):
    sample["ground_truth"] = fo.Classification(label=name)
    sample.save()

ids, labels = data.values(["id", "ground_truth.label"])
done = np.array([label is not None for label in labels])
asked = labelgap.choose(
    5, features, probabilities=chances, ids=ids, classes=names,
    labelled=done, labels=[label for label in labels if label is not None],
)  # fmt: skip
rank = {id: k + 1 for k, id in enumerate(asked.ids)}
why = dict(zip(asked.ids, asked.reasons, strict=True))
data.set_values("labelgap_rank", [rank.get(id) for id in ids])
data.set_values("labelgap_why", [why.get(id) for id in ids])
view = data.match(fo.ViewField("labelgap_rank") > 0).sort_by("labelgap_rank")
