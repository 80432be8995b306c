"""FiftyOne: labels come out of a field, the query goes into two."""

import fiftyone as fo
import numpy as np

import labelgap

# Yours: a data set with some labels, embeddings (`data.compute_embeddings(model)`), predictions.
data = fo.Dataset()
data.add_samples([fo.Sample(filepath=f"/photos/{i}.jpg") for i in range(40)])
names = ["cat", "dog", "owl"]
for sample, name in zip(data[:6], names * 2, strict=True):
    sample["ground_truth"] = fo.Classification(label=name)
    sample.save()
rng = np.random.default_rng(0)
features, chances = rng.standard_normal((40, 16)), rng.dirichlet([1, 1, 1], 40)

# labelgap:
ids, labels = data.values(["id", "ground_truth.label"])
known = {id: label for id, label in zip(ids, labels, strict=True) if label is not None}
asked = labelgap.choose(
    5, features, probabilities=chances, ids=ids, classes=names,
    labelled=list(known), labels=list(known.values()),
)  # fmt: skip
why = dict(zip(asked.ids, asked.reasons, strict=True))
data.set_values("labelgap_rank", {id: k for k, id in enumerate(why, 1)}, key_field="id")
data.set_values("labelgap_why", why, key_field="id")
view = data.select(list(why), ordered=True)
