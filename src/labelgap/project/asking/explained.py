"""A query with what a person is told of each image: the network's guess, how sure, what is near."""

import numpy as np
import torch
from jaxtyping import Float

from labelgap.core.types import Query, QueryItem
from labelgap.project.asking.explain import why
from labelgap.project.asking.work_notes import WHY
from labelgap.project.keep.store import Project
from labelgap.session.calibrating import calibrated
from labelgap.session.session import Session

NEAREST = 3
"""Labelled images that are shown beside one: enough to see a pattern, few enough to look at."""


def explained(session: Session, project: Project, query: Query, round: int) -> list[QueryItem]:
    """The items of a query, each with a sentence.

    The percentages are calibrated (`session.calibrating`): one temperature for the round's
    network, found by labels it was not trained on. It is kept as a note with the labelled
    neighbours, so that the page knows whether the percentages were checked against any label.
    """
    classes = project.classes
    probabilities: Float[np.ndarray, "n k"] | None = None
    near: dict[int, list[int]] = {}
    ids = np.asarray(query.ids)
    labelled, labels = session.labelled()
    if session.fitted_round >= 0 and len(labelled):
        both = np.concatenate([ids, labelled])
        network = session.training.network
        calibration = calibrated(session.trained, session.progress)
        out = session.learner.predict(network, both, {"features", "logits"})
        logits = out["logits"][: len(ids)].double() / calibration.temperature
        probabilities = logits.softmax(dim=1).numpy()
        z = out["features"]
        distance = torch.cdist(z[: len(ids)], z[len(ids) :])
        order = distance.topk(min(NEAREST, len(labelled)), largest=False).indices.numpy()
        near = {int(i): labelled[row].tolist() for i, row in zip(ids, order, strict=True)}
        facts = {
            "neighbours": {str(k): v for k, v in near.items()},
            "calibration": {"temperature": calibration.temperature, "items": calibration.items},
        }
        project.ledger.note(WHY, facts, round=round)
    known = {int(i): classes[int(y)] for i, y in zip(labelled, labels, strict=True)}
    items = []
    for row, id in enumerate(ids.tolist()):
        parts = {name: float(values[row]) for name, values in query.parts.items()}
        p = None if probabilities is None else probabilities[row]
        neighbours = [known[i] for i in near.get(id, [])]
        items.append(
            QueryItem(
                id,
                None if query.score is None else float(query.score[row]),
                parts,
                None if p is None else int(p.argmax()),
                why(parts, p, classes, neighbours),
                probability=None if p is None else float(p.max()),
            )
        )
    return items
