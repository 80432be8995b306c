"""Predictions for Label Studio by the latest trained model.

Two things take the door: this, for the minutes in which a new network predicts all images, and
the worker, for a pull (seconds) or a training (as long as it takes). A request waits for the
first, since that is what it asks for, and not for a training.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from labelgap.core.errors import LabelgapError
from labelgap.project.keep.store import Project
from labelgap.project.label_studio.labelling import Control, prediction
from labelgap.project.quality.quality import TRAINED

PATIENCE = 5.0
"""Seconds to wait for the worker: a pull is over by then, and Label Studio gives up after 100 s."""
_Key = tuple[int, int, tuple[int, ...]]
_Rows = dict[int, Float[np.ndarray, " k"]]


class Predictor:
    """Predictions of the last trained network, computed once for each training.

    The project is opened for a moment only, so that other commands can use it meanwhile.

    door: held while this process writes in the project; the worker has the same one.
    """

    def __init__(self, root: Path, door: threading.Lock) -> None:
        self.root, self.door = root, door
        # Replaced as a whole, so that it is read without a lock.
        self._computed: tuple[_Key | None, _Rows] = (None, {})
        self._computing = False

    def version(self) -> str:
        """Names the last training: its round and its number of labels."""
        with Project.open(self.root, "read") as project:
            return model_version(project)

    def predict(self, tasks: Sequence[Any], control: Control) -> list[dict[str, Any]]:
        """One prediction for each task, in order; an empty one for held-out items (it would
        colour the answer that measures the accuracy), for strangers, and before any training.

        Raises `LabelgapError` where this network has not predicted yet, and a training or another
        program keeps it waiting.
        """
        with Project.open(self.root, "read") as project:
            last = project.last_note(TRAINED)
            version, classes = model_version(project), project.classes
            columns = project.ledger.meaning().own
            key = None if last is None else (last.seq, project.items.count(), columns)
            hashes, held = project.items.known_hashes(), project.ledger.held_out
        of = {} if key is None else self._of(key)
        results = []
        for task in tasks:
            data = task.get("data") if isinstance(task, dict) else None
            name = data.get("labelgap_id") if isinstance(data, dict) else None
            id = hashes.get(name) if isinstance(name, str) else None
            if id is None or id in held or id not in of:
                results.append({"model_version": version, "result": [], "score": 0.0})
                continue
            best = int(of[id].argmax())
            score = round(float(of[id][best]), 6)
            results.append(prediction(control, classes[best], version, score))
        return results

    def _of(self, key: _Key) -> _Rows:
        """The probabilities of every image, by the network and for the images that `key` names."""
        if self._computed[0] == key:
            return self._computed[1]
        while not self.door.acquire(timeout=PATIENCE):
            if not self._computing:
                raise LabelgapError(
                    "A training or a long pull is at work, and the network has not predicted yet.",
                    "Ask again when it is done.",
                )
        try:
            if self._computed[0] != key:
                self._computing = True
                self._computed = (key, self._compute())
            return self._computed[1]
        finally:
            self._computing = False
            self.door.release()

    def _compute(self) -> _Rows:
        from labelgap.project.asking.work import Work

        with Project.open(self.root) as project:
            ids, p = Work(project).predict()
        return dict(zip(ids.tolist(), p, strict=True))


def model_version(project: Project) -> str:
    last = project.last_note(TRAINED)
    if last is None:
        return "labelgap-untrained"
    return f"labelgap-round-{last.round}-labels-{last.data['labels']}"
