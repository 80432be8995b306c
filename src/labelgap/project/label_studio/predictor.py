"""Predictions for Label Studio by the latest trained model."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from labelgap.project.keep.store import Project
from labelgap.project.label_studio.labelling import Control, prediction
from labelgap.project.quality.quality import TRAINED


class Predictor:
    """Predictions of the last trained network, computed once for each training.

    The project is opened for a moment only, so that other commands can use it meanwhile.

    door: held while this process writes in the project; the worker has the same one.
    """

    def __init__(self, root: Path, door: threading.Lock) -> None:
        self.root, self.door = root, door
        self._mutex = threading.Lock()
        self._key: tuple[int, int, int] | None = None
        self._probabilities: dict[int, Float[np.ndarray, " k"]] | None = None

    def version(self) -> str:
        """Names the last training: its round and its number of labels."""
        with Project.open(self.root, "read") as project:
            return model_version(project)

    def predict(self, tasks: Sequence[Any], control: Control) -> list[dict[str, Any]]:
        """One prediction for each task, in order; an empty one for held-out items (it would
        colour the answer that measures the accuracy), for strangers, and before any training.

        Raises `LedgerError` while another program holds the project and nothing is computed yet.
        """
        with self._mutex:
            with Project.open(self.root, "read") as project:
                last = project.last_note(TRAINED)
                version, classes = model_version(project), project.classes
                key = None if last is None else (last.seq, project.items.count(), len(classes))
                hashes, held = project.items.known_hashes(), project.ledger.held_out
            if key is None:
                self._probabilities = None
            elif key != self._key:
                from labelgap.project.asking.work import Work

                with self.door, Project.open(self.root) as project:
                    ids, p = Work(project).predict()
                    self._probabilities = dict(zip(ids.tolist(), p, strict=True))
            self._key = key
            of = self._probabilities
        results = []
        for task in tasks:
            data = task.get("data") if isinstance(task, dict) else None
            name = data.get("labelgap_id") if isinstance(data, dict) else None
            id = hashes.get(name) if isinstance(name, str) else None
            if of is None or id is None or id in held or id not in of:
                results.append({"model_version": version, "result": [], "score": 0.0})
                continue
            best = int(of[id].argmax())
            score = round(float(of[id][best]), 6)
            results.append(prediction(control, classes[best], version, score))
        return results


def model_version(project: Project) -> str:
    last = project.last_note(TRAINED)
    if last is None:
        return "labelgap-untrained"
    return f"labelgap-round-{last.round}-labels-{last.data['labels']}"
