"""One chunked pass in evaluation mode that fills all named outputs."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.axes.objective import STANDARD_OUTPUTS, Objective, Passed
from labelgap.core import crossing, scratch
from labelgap.core.errors import PairError
from labelgap.core.streams import Streams
from labelgap.core.types import Ids, Progress
from labelgap.data.types import Split
from labelgap.learn.inputs import Inputs
from labelgap.networks.network import Network, dropout_modules

PREDICT_BATCH = 512


@torch.no_grad()
def predict(
    network: Network,
    inputs: Inputs,
    ids: Ids,
    names: Iterable[str] = STANDARD_OUTPUTS,
    *,
    split: Split | None = None,
    objective: Objective | None = None,
    modules: Mapping[str, nn.Module] | None = None,
    progress: Progress | None = None,
    on_host: bool,
) -> dict[str, Tensor]:
    """One chunked pass in eval mode and float32 that fills all named outputs.

    Float32 whatever the training's precision: bfloat16 logits tie. On an accelerator the chunks
    are queued one behind the other, with their way home; the host waits once, for all of them.

    Parameters
    ----------
    on_host: the outputs come to the host's memory; False: they stay on the device.
    """
    split = split or inputs.task.train
    wanted = sorted(set(names))
    made: dict[str, Tensor] = {}
    modules = modules or {}
    with evaluation_mode([network, *modules.values()]):
        for start in range(0, len(ids), PREDICT_BATCH):
            x = inputs.clean(split, ids[start : start + PREDICT_BATCH])
            passed = Passed.through(network, modules, x)
            known = {"features": passed.features, "logits": passed.logits}
            for name in wanted:
                if name in known:
                    value = known[name]
                elif objective is not None and name in objective.outputs:
                    value = objective.output(name, passed)
                else:
                    raise KeyError(name)
                if name not in made:
                    made[name] = (
                        crossing.waiting_room(len(ids), value)
                        if on_host
                        else scratch.empty(len(ids), *value.shape[1:], device=value.device)
                    )
                rows = made[name][start : start + len(x)]
                rows.copy_(value, non_blocking=rows.is_pinned())
            if progress:
                progress("predict", min(start + PREDICT_BATCH, len(ids)), len(ids))
    if on_host:
        inputs.machine.synchronise()  # what is pinned is there only now
    return {name: made.get(name, torch.zeros(0)) for name in wanted}


@torch.no_grad()
def mc_logits(
    network: Network, inputs: Inputs, ids: Ids, passes: int, streams: Streams, round: int
) -> Float[Tensor, "n t k"]:
    """Logits of `passes` stochastic passes: dropout drawn, batch-norm as in evaluation.

    Raises PairError for a network without dropout, whose passes would all be one.
    """
    dropping = dropout_modules(network)
    if not dropping:
        raise PairError(
            f"Stochastic passes need dropout; {type(network).__name__} has no such module.",
            "Give the network one, or choose an acquisition of a single pass.",
        )
    made = torch.zeros(0, passes, inputs.task.num_classes)
    with evaluation_mode([network]), streams.scope("mc-dropout", round):
        for module in dropping:
            module.train()
        for start in range(0, len(ids), PREDICT_BATCH):
            x = inputs.clean(inputs.task.train, ids[start : start + PREDICT_BATCH])
            logits = torch.stack([network(x).logits for _ in range(passes)], dim=1)
            if start == 0:
                made = crossing.waiting_room(len(ids), logits)
            rows = made[start : start + len(x)]
            rows.copy_(logits, non_blocking=rows.is_pinned())
    inputs.machine.synchronise()
    return made


class evaluation_mode(AbstractContextManager[None]):
    """Modules in eval mode, their own modes restored after: prediction changes nothing."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = modules

    def __enter__(self) -> None:
        self.modes = [[(m, m.training) for m in module.modules()] for module in self.modules]
        for module in self.modules:
            module.eval()

    def __exit__(self, *exc: object) -> None:
        for modes in self.modes:
            for module, training in modes:
                module.training = training
