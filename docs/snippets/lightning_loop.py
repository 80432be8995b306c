"""A module of Lightning: `trainer.predict` gives features and logits."""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labelgap


class Digits(lightning.LightningModule):  # yours, with a `predict_step` that gives both
    def __init__(self):
        super().__init__()
        self.trunk, self.last = nn.Sequential(nn.Linear(64, 32), nn.ReLU()), nn.Linear(32, 10)

    def training_step(self, batch):
        return nn.functional.cross_entropy(self.last(self.trunk(batch[0])), batch[1])

    def predict_step(self, batch):
        features = self.trunk(batch[0])
        return features, self.last(features)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


X, truth = (torch.as_tensor(x) for x in load_digits(return_X_y=True))
data, labelled = TensorDataset(X.float() / 16, truth), torch.arange(40)
trainer, model = lightning.Trainer(max_epochs=20, enable_checkpointing=False), Digits()
trainer.fit(model, DataLoader(TensorDataset(*data[labelled]), batch_size=20, shuffle=True))

# labelgap:
passed = trainer.predict(model, DataLoader(data, batch_size=500))
features, logits = (torch.cat(parts) for parts in zip(*passed, strict=True))
asked = labelgap.choose(20, features, logits=logits, labelled=labelled, labels=truth[labelled])
