"""Losses are watched without waiting: which was the first that is not finite, noted on the device.

To read a number stops the host until an accelerator has done all that was queued. So the device
notes what happened, and the host reads the note at times.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from labelgap.core.errors import NumericalError

EVERY = 20
"""Steps between two readings of the note."""
_NEVER = -1


class Watch:
    """The losses of one stage's phases.

    Parameters
    ----------
    phases: their names, in the order of their turns.
    stage, round: for the message.
    """

    def __init__(self, phases: Sequence[str], stage: str, round: int, device: torch.device) -> None:
        self.phases: tuple[str, ...] = tuple(phases)
        self.stage: str = stage
        self.round: int = round
        self._step: list[Tensor] = [
            torch.full((), float(_NEVER), device=device) for _ in self.phases
        ]
        self._loss: list[Tensor] = [torch.zeros((), device=device) for _ in self.phases]

    @torch.no_grad()
    def note(self, phase: int, loss: Tensor, step: int) -> None:
        """Remember the first loss of a phase that is NaN or infinite. Nothing is read."""
        loss = loss.detach().float()
        first = (self._step[phase] < 0) & ~torch.isfinite(loss)
        self._step[phase] = torch.where(first, float(step), self._step[phase])
        self._loss[phase] = torch.where(first, loss, self._loss[phase])

    def read(self) -> None:
        """Refuse to go on if any loss was not finite: waits for the device once.

        Raises
        ------
        NumericalError: the first such loss, by its phase and step.
        """
        if not self.phases:
            return
        told = torch.stack([*self._step, *self._loss]).tolist()
        steps, losses = told[: len(self.phases)], told[len(self.phases) :]
        bad = [(step, k) for k, step in enumerate(steps) if step != _NEVER]
        if bad:
            step, k = min(bad)  # of one step the first phase's, whose turn came first
            raise not_finite(self.phases[k], self.stage, losses[k], int(step), self.round)


def not_finite(phase: str, stage: str, loss: float, step: int, round: int) -> NumericalError:
    """What is said of a loss that is NaN or infinite."""
    return NumericalError(
        f"The loss of phase {phase!r} in stage {stage!r} is {loss} at step {step} of round "
        f"{round}.",
        "Try a lower learning rate (`--set training.lr=0.03`) or `--precision float32`.",
    )
