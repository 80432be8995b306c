"""A phase's optimiser: PyTorch's SGD and Adam, by their functions.

The classes of `torch.optim` load PyTorch's compiler when the first one is made: two or three
seconds in every process that trains, for nothing that is used here. Their functions compute the
same, bit by bit.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from labelgap.axes.stage import Optimiser


class Descent:
    """One player's parameters, going down their gradients by the rule that `spec` names.

    Parameters
    ----------
    fused: take the fused kernels, whose last digits are others; None: where the device has them.
    """

    def __init__(
        self, spec: Optimiser, params: list[nn.Parameter], fused: bool | None = None
    ) -> None:
        self.spec: Optimiser = spec
        self.params: list[nn.Parameter] = params
        if fused is None:
            fused = all(p.device.type in ("cpu", "cuda") for p in params)
        self.fused: bool = fused
        self.lr: float = spec.lr
        self._state: list[dict[str, Tensor]] = [{} for _ in params]

    def zero_grad(self) -> None:
        for parameter in self.params:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step with the gradients at hand; a parameter without one stays as it is."""
        chosen = [
            (p, s) for p, s in zip(self.params, self._state, strict=True) if p.grad is not None
        ]
        params: list[Tensor] = [p for p, _ in chosen]
        grads = [p.grad for p, _ in chosen if p.grad is not None]
        states = [s for _, s in chosen]
        if not params:
            return
        if self.spec.kind == "adam":
            self._adam(params, grads, states)
        else:
            self._sgd(params, grads, states)

    def _sgd(
        self, params: list[Tensor], grads: list[Tensor], states: list[dict[str, Tensor]]
    ) -> None:
        buffers = [state.get("momentum_buffer") for state in states]
        sgd(
            params,
            grads,
            buffers,
            fused=self.fused,
            weight_decay=self.spec.weight_decay,
            momentum=self.spec.momentum,
            lr=self.lr,
            dampening=0.0,
            nesterov=self.spec.nesterov,
            maximize=False,
        )
        for state, buffer in zip(states, buffers, strict=True):
            if buffer is not None:
                state["momentum_buffer"] = buffer

    def _adam(
        self, params: list[Tensor], grads: list[Tensor], states: list[dict[str, Tensor]]
    ) -> None:
        for parameter, state in zip(params, states, strict=True):
            if not state:
                device = parameter.device if self.fused else torch.device("cpu")
                state["step"] = torch.zeros((), dtype=torch.float32, device=device)
                for name in ("exp_avg", "exp_avg_sq"):
                    state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        first, second = self.spec.betas
        adam(
            params,
            grads,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=self.fused,
            amsgrad=False,
            beta1=first,
            beta2=second,
            lr=self.lr,
            weight_decay=self.spec.weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs; the rate is a function of the step."""
        return {"parameters": self._state}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        self._state = [dict(state) for state in saved["parameters"]]
