"""The temperature of a session's network: found once a training, when first asked for."""

import numpy as np
import torch

from labelgap.core.types import Progress
from labelgap.learn.calibration import Calibration, fit_temperature, held_out
from labelgap.session.trained import Trained
from labelgap.session.weights import weights_hash

NOTE = "calibrated"
SHARE = 0.3
"""Of the labels, kept from the network that the temperature is measured on (Bae et al. 2025)."""
ENOUGH = 20
"""Labels of a held-out share, which no training uses, that do instead of a second training."""


def calibrated(trained: Trained, progress: Progress | None = None) -> Calibration:
    """The calibration of the latest network, fitted to labels that it was not trained on.

    A project's held-out labels, where there are 20 or more; else a second network is trained on
    70 per cent of each class's labels, as the first was, and asked about the rest. Where no class
    has two labels there is nothing to ask about, and the temperature is 1.

    The ledger notes it beside the weights' hash: a run that goes on does not train again.
    """
    training, ledger = trained.training, trained.pool.ledger
    weights = weights_hash(training.network)
    for event in reversed(ledger.notes(NOTE)):
        if event.data["weights_sha256"] == weights:
            return Calibration(event.data["temperature"], event.data["items"])
    logits, labels = _of_the_share(trained) or _of_a_second_network(trained, progress)
    truth = torch.from_numpy(labels)
    found = Calibration(fit_temperature(logits, truth), len(labels))
    facts = {"temperature": found.temperature, "items": found.items, "weights_sha256": weights}
    ledger.note(NOTE, facts, round=trained.round)
    return found


def _of_the_share(trained: Trained) -> tuple[torch.Tensor, np.ndarray] | None:
    ledger, network = trained.pool.ledger, trained.training.network
    ids = np.sort(ledger.labelled_ids("held-out"))
    known = ledger.labels
    labels = np.array([known[int(i)] for i in ids], dtype=np.int64)
    of_class = labels >= 0
    if of_class.sum() < ENOUGH:
        return None
    out = trained.learner.predict(network, ids[of_class], {"logits"})
    return out["logits"], labels[of_class]


def _of_a_second_network(
    trained: Trained, progress: Progress | None
) -> tuple[torch.Tensor, np.ndarray]:
    learner, training, round = trained.learner, trained.training, trained.training.round
    ids, labels = training.labelled_ids, training.labels
    out = held_out(labels, SHARE, learner.streams.numpy("calibration", round))
    if not out.any():
        return torch.empty(0, training.num_classes), labels[:0]
    network = learner.new_network(trained.build, round)
    second = learner.training(
        network, trained.objective, ids[~out], labels[~out], training.unlabelled_ids, round
    )
    learner.fit(second, trained.objective, progress=progress)
    return learner.predict(network, ids[out], {"logits"})["logits"], labels[out]
