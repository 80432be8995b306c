"""How a query looks at the pool: the declared arrays, filled in one pass of the frozen network."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labelgap.axes import STANDARD_OUTPUTS, Acquisition
from labelgap.axes.view import PoolView
from labelgap.core import scratch
from labelgap.core.config import RunConfig
from labelgap.core.types import Ids, Progress
from labelgap.data.types import Task
from labelgap.frozen.embedding import embedding, has_embedding
from labelgap.ledger import Ledger
from labelgap.select.kernel import unit
from labelgap.session.calibrating import calibrated
from labelgap.session.trained import Trained


def provided(config: RunConfig, task: Task) -> frozenset[str]:
    """Outputs that a session has for every objective."""
    extra = set()
    if config.network.dropout > 0:
        extra.add("mc_logits")
    if has_embedding(task):
        extra.add("embedding")
    if not task.train.is_images:
        extra.add("inputs")  # of a frozen backbone, or of whoever made them
    return STANDARD_OUTPUTS | extra


def look(
    trained: Trained,
    acquisition: Acquisition,
    config: RunConfig,
    round: int,
    progress: Progress | None = None,
    *,
    stand_in: bool = False,
) -> PoolView:
    """The arrays that the acquisition declared, of the labelled and the candidate ids.

    stand_in: the network's features for the embedding of images, which may take minutes to learn,
        once for all runs on the data: for timing a query.
    """
    training, learner, pool = trained.training, trained.learner, trained.pool
    labelled_ids, labels = pool.labelled()
    candidates = pool.candidates(round)
    ids = np.concatenate([labelled_ids, candidates])
    outputs = _outputs(trained, acquisition, config, ids, progress, stand_in)
    split = len(labelled_ids)

    def passes(ids: Ids, number: int) -> Tensor:
        return learner.mc_logits(training.network, ids, number, round)

    ledger = pool.ledger
    return PoolView(
        round=round,
        num_classes=pool.task.num_classes,
        labelled_ids=labelled_ids,
        labels=labels,
        candidate_ids=candidates,
        rejected_ids=pool.rejected(),
        labelled={k: v[:split] for k, v in outputs.items()},
        candidates={k: v[split:] for k, v in outputs.items()},
        streams=pool.streams,
        network=training.network,
        inputs=lambda ids: learner.inputs.clean(pool.task.train, ids),
        passes=passes if config.network.dropout > 0 else None,
        history={r: ledger.labelled_in_round(r) for r in range(ledger.round + 1)},
        preset=config.preset,
        memory=_memory(ledger),
        calibrate=lambda: calibrated(trained, progress).temperature,
    )


def _outputs(
    trained: Trained,
    acquisition: Acquisition,
    config: RunConfig,
    ids: Ids,
    progress: Progress | None,
    stand_in: bool,
) -> dict[str, Tensor]:
    training, objective, learner = trained.training, trained.objective, trained.learner
    available = objective.outputs | provided(config, learner.task)
    names = set(acquisition.needs) | (set(acquisition.uses) & available)
    if names:
        names.add("logits")
    stands_in = stand_in and "embedding" in names and learner.task.train.is_images
    if stands_in:
        names.add("features")
    outputs: dict[str, Tensor] = {}
    by_network = names - {"mc_logits", "embedding", "inputs"}
    if by_network:
        outputs = learner.predict(
            training.network,
            ids,
            by_network,
            objective=objective,
            modules=training.modules,
            progress=progress,
        )
    if stands_in:
        features = outputs["features"]
        outputs["embedding"] = unit(features, torch.zeros(features.shape[1]))
    elif "embedding" in names:
        known = embedding(learner.task, learner)
        outputs["embedding"] = scratch.rows(known, torch.from_numpy(ids))
    if "inputs" in names:
        outputs["inputs"] = scratch.read(learner.task.train.inputs, ids)
    return outputs


def _memory(ledger: Ledger) -> dict[int, dict[str, NDArray[Any]]]:
    """What queries asked to have back, by round; of an id noted twice the later row."""
    rows: dict[int, dict[int, dict[str, Any]]] = {}
    for event in ledger.notes("memory"):
        for i, id in enumerate(event.data["ids"]):
            row = {name: values[i] for name, values in event.data.items()}
            rows.setdefault(int(event.round or 0), {})[id] = row
    memory = {}
    for round, by_id in rows.items():
        kept = list(by_id.values())
        memory[round] = {name: np.array([row[name] for row in kept]) for name in kept[0]}
    return memory
