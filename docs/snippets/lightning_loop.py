"""A module of Lightning: trainer.predict gives features and logits."""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import labelgap


class Digits(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.trunk, self.last = nn.Sequential(nn.Linear(64, 32), nn.ReLU()), nn.Linear(32, 10)

    def training_step(self, batch):
        x, y = batch
        return nn.functional.cross_entropy(self.last(self.trunk(x)), y)

    def predict_step(self, batch):
        features = self.trunk(batch[0])
        return features, self.last(features)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


X, truth = (torch.as_tensor(x) for x in load_digits(return_X_y=True))
data = TensorDataset(X.float() / 16, truth)
labelled = torch.arange(40)
trainer = lightning.Trainer(
    max_epochs=20, logger=False, enable_checkpointing=False, enable_progress_bar=False
)
model = Digits()
trainer.fit(model, DataLoader(TensorDataset(*data[labelled]), batch_size=20, shuffle=True))
passed = trainer.predict(model, DataLoader(data, batch_size=500))
features, logits = (torch.cat(parts) for parts in zip(*passed, strict=True))
asked = labelgap.choose(20, features, logits=logits, labelled=labelled, labels=truth[labelled])
