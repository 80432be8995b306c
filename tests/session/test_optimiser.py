"""The optimisers by PyTorch's functions against PyTorch's classes: equal to the last bit."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from labelgap.axes.stage import Optimiser
from labelgap.learn.optimiser import Descent

SPECS = [
    Optimiser("sgd", lr=0.1, momentum=0.0),
    Optimiser("sgd", lr=0.1, momentum=0.9, weight_decay=5e-4),
    Optimiser("sgd", lr=0.05, momentum=0.9, nesterov=True),
    Optimiser("adam", lr=1e-3, betas=(0.5, 0.9), weight_decay=1e-4),
]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def theirs(spec: Optimiser, params: list[nn.Parameter], fused: bool) -> torch.optim.Optimizer:
    if spec.kind == "adam":
        return torch.optim.Adam(
            params, spec.lr, spec.betas, weight_decay=spec.weight_decay, fused=fused
        )
    return torch.optim.SGD(
        params,
        spec.lr,
        spec.momentum,
        weight_decay=spec.weight_decay,
        nesterov=spec.nesterov,
        fused=fused,
    )


def losses(model: nn.Module, step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    x, y = torch.randn(8, 7, generator=generator), torch.arange(8) % 3
    return nn.functional.cross_entropy(model(x), y)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kind}-{s.momentum}-{s.nesterov}")
def test_every_step_is_that_of_pytorchs_class(spec: Optimiser, fused: bool) -> None:
    a, b = network(), network()
    mine, other = (
        Descent(spec, list(a.parameters()), fused),
        theirs(spec, list(b.parameters()), fused),
    )
    for step in range(6):
        mine.lr = other.param_groups[0]["lr"] = spec.lr / (step + 1)
        mine.zero_grad()
        other.zero_grad(set_to_none=True)
        losses(a, step).backward()
        losses(b, step).backward()
        mine.step()
        other.step()
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(next(a.parameters()), next(network().parameters()))


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kind}-{s.momentum}-{s.nesterov}")
def test_a_saved_state_goes_on_as_if_nothing_had_been(spec: Optimiser) -> None:
    ends = []
    for stop in (None, 3):
        model = network()
        optimiser = Descent(spec, list(model.parameters()), True)
        for step in range(6):
            if step == stop:
                saved = optimiser.state_dict()
                optimiser = Descent(spec, list(model.parameters()), True)
                optimiser.load_state_dict(saved)
            optimiser.zero_grad()
            losses(model, step).backward()
            optimiser.step()
        ends.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(p, q) for p, q in zip(*ends, strict=True))


def test_a_parameter_without_a_gradient_stays() -> None:
    model = network()
    before = [p.detach().clone() for p in model[3].parameters()]
    optimiser = Descent(SPECS[1], list(model.parameters()), True)
    model[0](torch.ones(2, 7)).sum().backward()
    optimiser.step()
    assert all(torch.equal(p, q) for p, q in zip(before, model[3].parameters(), strict=True))


def test_no_compiler_is_loaded_for_training() -> None:
    program = (
        "import sys, torch\n"
        "from labelgap.axes.stage import Optimiser\n"
        "from labelgap.learn.optimiser import Descent\n"
        "p = torch.nn.Parameter(torch.ones(3))\n"
        "for kind in ('sgd', 'adam'):\n"
        "    d = Descent(Optimiser(kind), [p], True); (p * p).sum().backward(); d.step()\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
