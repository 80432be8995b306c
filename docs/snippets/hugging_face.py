"""Hugging Face: a `datasets` table, and the predictions of a `Trainer`."""

import datasets
import numpy as np
import transformers

import labelgap

names = ["cat", "dog", "owl"]
rng = np.random.default_rng(0)
pixels = rng.random((48, 3, 32, 32), dtype=np.float32)  # yours: `load_dataset("imagefolder", …)`
data = datasets.Dataset.from_dict({"pixel_values": pixels, "labels": rng.integers(3, size=48)})
data = data.with_format("torch")
shape = transformers.ResNetConfig(
    embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=3
)
model = transformers.ResNetForImageClassification(shape)
labelled = list(range(12))
how = transformers.TrainingArguments("out", num_train_epochs=2, report_to="none", use_cpu=True)
trainer = transformers.Trainer(model, how, train_dataset=data.select(labelled))
trainer.train()
model.config.output_hidden_states = True  # the last of them, averaged, enters the last layer
logits, hidden = trainer.predict(data.remove_columns("labels")).predictions
answers = np.asarray(names)[data["labels"][: len(labelled)]]
asked = labelgap.choose(
    6, hidden[-1].mean(axis=(2, 3)), logits=logits, labelled=labelled, labels=answers, classes=names
)
query = data.select(asked.ids)
