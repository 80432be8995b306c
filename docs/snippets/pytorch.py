"""A loop of plain PyTorch."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import labelgap

X, truth = (torch.as_tensor(x) for x in load_digits(return_X_y=True))
X, labelled = X.float() / 16, torch.arange(30)
net = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
for _ in range(200):
    optimiser.zero_grad()
    nn.functional.cross_entropy(net(X[labelled]), truth[labelled]).backward()
    optimiser.step()
features, logits = net[:-1](X).detach(), net(X).detach()
asked = labelgap.choose(20, features, logits=logits, labelled=labelled, labels=truth[labelled])
# Then label them, `labelled = torch.cat([labelled, torch.from_numpy(asked.ids)])`, train again.
