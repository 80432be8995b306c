"""Hugging Face: a `datasets` table, and the predictions of a `Trainer`."""

import datasets
import numpy as np
import transformers

import labelgap

# Yours: `load_dataset("imagefolder", …)`, a network and its training.
rng = np.random.default_rng(0)
rows = {"pixel_values": rng.random((48, 3, 32, 32)), "labels": rng.integers(3, size=48)}
data = datasets.Dataset.from_dict(rows).with_format("torch")
shape = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], num_labels=3)
model = transformers.ResNetForImageClassification(shape)
how = transformers.TrainingArguments("out", num_train_epochs=2, report_to="none", use_cpu=True)
labelled = list(range(12))
trainer = transformers.Trainer(model, how, train_dataset=data.select(labelled))
trainer.train()

# labelgap:
model.config.output_hidden_states = True  # the last of them, averaged, enters the last layer
logits, hidden = trainer.predict(data.remove_columns("labels")).predictions
features, answers = hidden[-1].mean(axis=(2, 3)), np.asarray(data["labels"])[labelled]
asked = labelgap.choose(6, features, logits=logits, labelled=labelled, labels=answers)
query = data.select(asked.ids)
