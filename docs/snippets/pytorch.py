"""A loop of plain PyTorch."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import labelgap

X, truth = (torch.as_tensor(x) for x in load_digits(return_X_y=True))
X = X.float() / 16
torch.manual_seed(0)
labelled = torch.randperm(len(X))[:30]
for _ in range(3):
    trunk, last = nn.Sequential(nn.Linear(64, 32), nn.ReLU()), nn.Linear(32, 10)
    optimiser = torch.optim.Adam([*trunk.parameters(), *last.parameters()], lr=0.01)
    for _ in range(100):
        optimiser.zero_grad()
        nn.functional.cross_entropy(last(trunk(X[labelled])), truth[labelled]).backward()
        optimiser.step()
    with torch.no_grad():
        features = trunk(X)
        logits = last(features)
    score = (logits.argmax(1) == truth).double().mean().item()
    asked = labelgap.choose(
        20, features, logits=logits, labelled=labelled, labels=truth[labelled], method="badge"
    )
    labelled = torch.cat([labelled, torch.from_numpy(asked.ids)])
