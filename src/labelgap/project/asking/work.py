"""Ask and train: a `Session` on a project's packed images, with held-out questions in between.

Held-out items are a uniform random sample of the folder, whatever the acquisition prefers: every
item has a draw of its own (keyed by its id), items with a draw below `holdout` are the reserve,
which the acquisition never sees, and held-out questions are the reserve in the order of the draws.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.core.config import RunConfig, config_hash
from labelgap.core.device import machine
from labelgap.core.errors import BudgetError
from labelgap.core.types import Ids, Progress, Query, QueryItem
from labelgap.networks.packaged import DEFAULT_BACKBONE
from labelgap.project.asking.cold import thumbnails, typical
from labelgap.project.asking.explained import explained
from labelgap.project.asking.quick import FROZEN, threads_for
from labelgap.project.asking.ready import need_images, need_labels, unusable
from labelgap.project.asking.regions import uncovered
from labelgap.project.asking.reserve import holdout_draws, interleave, reserve_of
from labelgap.project.asking.task import BLOCK, frozen_task, image_task, with_pool
from labelgap.project.keep.network import SMALL
from labelgap.project.keep.settings import ProjectSettings
from labelgap.project.keep.store import Project
from labelgap.project.quality.quality import TRAINED, last_training
from labelgap.session.presets import merge, resolve
from labelgap.session.refused import refuse_task
from labelgap.session.session import Session
from labelgap.session.weights import ids_hash

WATCHED = 2000
"""Reserve items that every network predicts: to compare networks with each other, and with the
held-out labels that come later."""


def configuration(settings: ProjectSettings, name: str, method: str | None = None) -> RunConfig:
    """The whole configuration of a project's session.

    With weights: a frozen backbone and its adapter. Without: a small ResNet from new weights,
    whose stem's stride grows with the images so that a round stays in minutes on a CPU; that is
    also what a project has that says nothing, as those of older versions do.
    """
    s = settings
    network: dict[str, Any] = {}
    if s.weights:
        network = {"name": s.network or DEFAULT_BACKBONE, "freeze": True, "weights": s.weights}
    elif s.network not in (None, SMALL):
        network = {"name": s.network}
    else:
        network = {"stem_stride": 1 if s.image_size <= 40 else 2 if s.image_size <= 80 else 4}
    values: dict[str, Any] = {
        "method": method or s.method,
        "seed": s.seed,
        "network": network,
        "data": {"name": name},
    }
    # From new weights a round must stay near a minute on two cores: the smaller preset.
    preset = "cpu" if s.weights else "smoke"
    values = merge(FROZEN, values) if network.get("freeze") else values
    return resolve(merge(values, s.config), preset=preset, where="the project's settings")


@dataclass(frozen=True)
class Asked:
    """What `ask` did: the outstanding items, how many are new, and whether it had to train.

    answered: items that were to be asked and were left out, since somebody answered them while
        the query was made.
    """

    items: list[QueryItem]
    new: int
    held_out: int
    trained: bool
    cold: bool
    answered: int = 0


class Work:
    """The session of a project that is open for writing.

    Parameters
    ----------
    method: another method than the project's.
    """

    def __init__(
        self,
        project: Project,
        *,
        method: str | None = None,
        device: str = "auto",
        progress: Progress | None = None,
    ) -> None:
        self.project = project
        self.config = configuration(project.settings, project.root.name, method)
        self.machine = machine(device, self.config.precision)
        need_images(project)
        items = project.items.all()
        self.unpacked = project.items.unpacked()
        here = [i.id for i in items if i.present and i.id not in self.unpacked]
        self.present: Ids = np.array(here, dtype=np.int64)
        images, self.statistics_rows = image_task(project, [i.sha256 for i in items])
        draws = holdout_draws(project, len(items))
        everything: Ids = np.arange(len(items), dtype=np.int64)
        self.reserve = reserve_of(draws, everything, project.settings.holdout)
        pool = np.setdiff1d(self.present, self.reserve)
        self.images = with_pool(images, pool)
        refuse_task(self.config, self.images)  # before features are computed
        task = frozen_task(project, self.config, self.images, self.machine, progress)
        self.session = Session(
            task,
            self.config,
            folder=project.home,
            machine=self.machine,
            ledger=project.ledger,
            progress=progress,
            without=self.unpacked,
        )

    # --------------------------------------------------------------------------- training

    def state(self, ids: Ids, labels: Ids) -> dict[str, Any]:
        """What a network trained on these labels depends on: them, configuration, statistics,
        classes."""
        return {
            "labels_sha256": ids_hash(np.concatenate([ids, labels])),
            "config": config_hash(self.config.model_dump(mode="json")),
            "statistics_rows": self.statistics_rows,
            "classes": len(self.project.classes),
            "columns": list(self.project.ledger.meaning().own),
        }

    def is_stale(self) -> bool:
        """Whether labels or settings have changed since the last training."""
        last, state = last_training(self.project.ledger), self.state(*self.session.labelled())
        return any(last.get(k) != v for k, v in state.items())

    def restore(self) -> bool:
        """Load the last trained network, if it is one of this configuration and these classes."""
        last, state = last_training(self.project.ledger), self.state(*self.session.labelled())
        if any(last.get(k) != v for k, v in state.items() if k != "labels_sha256"):
            return False
        return self.session.restore()

    def load(self) -> None:
        """As `restore`. Raises `LabelgapError` with the reason where there is no such network."""
        if self.restore():
            return
        raise unusable(self.project)

    def train(self) -> dict[str, float]:
        """Train on all labels that are not held out; predicts the watched items afterwards.

        Returns seconds by stage. Raises `BudgetError` without labels, `LabelgapError` for one
        class only.
        """
        need_labels(self.project)
        session = self.session
        with threads_for(session.task):
            seconds = session.fit()
            # Of what was trained on: people may have labelled on meanwhile.
            ids, labels = session.training.labelled_ids, session.training.labels
            started = time.perf_counter()
            held = self.project.ledger.labelled_ids("held-out")
            watched = self._packed(np.union1d(self.reserve[:WATCHED], held))
            predicted: list[int] = []
            if len(watched):
                out = session.learner.predict(session.training.network, watched, {"logits"})
                predicted = out["logits"].argmax(dim=1).tolist()
            facts = {
                **self.state(ids, labels),
                "labels": len(ids),
                "classes_seen": len(np.unique(labels)),
                "watched": watched.tolist(),
                "predicted": predicted,
                "regions": self.regions(),
                "seconds": {**seconds, "evaluate": time.perf_counter() - started},
            }
        self.project.ledger.note(TRAINED, facts, round=max(session.round, 0))
        return seconds

    def _packed(self, ids: Ids) -> Ids:
        """Without the items that have no pixels."""
        return np.array([i for i in ids.tolist() if i not in self.unpacked], dtype=np.int64)

    def regions(self) -> list[dict[str, Any]]:
        """Components of the unlabelled mixture that the labels do not cover, the largest first."""
        session, training = self.session, self.session.training
        rng = session.streams.numpy("regions", max(session.round, 0))
        labelled, free = training.labelled_ids, session.unlabelled_ids()
        if len(free) > BLOCK:
            free = np.sort(rng.choice(free, BLOCK, replace=False))
        both = np.concatenate([labelled, free])
        out = session.learner.predict(training.network, both, {"features", "logits"})
        z, predicted = out["features"], out["logits"].argmax(dim=1)
        n = len(labelled)
        return uncovered(z[:n], training.labels, z[n:], predicted[n:], free, rng)

    # ------------------------------------------------------------------------------ asking

    def ask(self, n: int) -> Asked:
        """The next `n` images to label: outstanding ones first, then new ones, held-out included.

        Trains first if labels have come since. Raises `BudgetError` where nothing is left.
        """
        if n < 1:
            raise BudgetError(f"{n} images asked for.", "Ask for 1 at least.")
        waiting = self.project.waiting()
        if len(waiting) >= n:
            return Asked(waiting[:n], 0, 0, False, False)
        return self.ask_more(n - len(waiting))

    def ask_more(self, n: int) -> Asked:
        """`n` images besides those that wait; fewer where fewer are left.

        People may answer meanwhile: what they answer after the training began is left to the
        next one, and an image that they answer before it is asked is left out.
        """
        session, ledger = self.session, self.project.ledger
        round, waiting = session.next_round, self.project.waiting()
        candidates = session.candidate_ids(round)
        held = self.next_held_out(n, len(candidates))
        wanted = min(n - len(held), len(candidates))
        if not len(held) and not wanted:
            if waiting:
                return Asked(waiting, 0, 0, False, False)
            raise BudgetError(
                "Every image has an answer, or is gone: there is nothing left to ask.",
                "Put more images into the folder and run `labelgap add`.",
            )
        trained = cold = False
        chosen: list[QueryItem] = []
        if wanted:
            cold = self.is_cold()
            trained = not cold and self._ready()
            left = min(wanted, len(session.candidate_ids(round)))
            with threads_for(session.task):
                if cold:
                    query: Query | None = self._typical(wanted, candidates, round)
                else:
                    query = session.choose(left, round) if left else None
                if query is not None:
                    chosen = explained(session, self.project, query, round)
        items = interleave(chosen, held, session.streams.numpy("held-out places", round))
        self.project.snapshot(f"before-round-{round:05d}")
        done = ledger.labels.keys() | ledger.skipped.keys()
        # First: an item that is asked and not held out yet would be trained on after a crash.
        ledger.hold_out(id for id in held.tolist() if id not in done)
        asked = ledger.asked(round, items, unless_answered=True)
        left_out = len(held) + wanted - len(asked)
        drawn = len(set(held.tolist()).intersection(item.id for item in asked))
        return Asked(self.project.waiting(), len(asked), drawn, trained, cold, left_out)

    def is_cold(self) -> bool:
        """Whether there is nothing that a network could learn to tell apart."""
        _, labels = self.session.labelled()
        return len(np.unique(labels)) < 2

    def next_held_out(self, missing: int, supply: int) -> Ids:
        """The reserve items whose turn it is, so that they are `holdout` of all that was asked."""
        ledger, share = self.project.ledger, self.project.settings.holdout
        asked = ledger.asked_ids()
        taken = set(asked.tolist()) | set(ledger.labels) | set(ledger.skipped)
        here = set(self.present.tolist())
        free = [i for i in self.reserve.tolist() if i not in taken and i in here]
        held_so_far = len(ledger.held_out.intersection(asked.tolist()))
        due = round(share * (len(asked) + missing)) - held_so_far
        due = max(due, missing - supply)  # the reserve is asked too when nothing else is left
        return np.array(free[: min(max(due, 0), missing)], dtype=np.int64)

    def _ready(self) -> bool:
        """A network of the labels at hand; True if it had to be trained."""
        if not self.is_stale() and self.restore():
            return False
        self.train()
        return True

    def embedding(self) -> Float[Tensor, "n d"]:
        """One row an item, known before any label: frozen features, else thumbnails' PCA."""
        task = self.session.task
        if not task.train.is_images:
            return torch.from_numpy(np.array(task.train.inputs, dtype=np.float32))
        return thumbnails(np.asarray(task.train.inputs))

    def _typical(self, n: int, candidates: Ids, round: int) -> Query:
        session = self.session
        labelled = self._packed(self.project.ledger.labelled_ids("all"))
        normalise = not session.task.train.is_images
        return typical(self.embedding(), candidates, labelled, n, session.streams, round, normalise)

    # -------------------------------------------------------------------------- predicting

    def predict(self) -> tuple[Ids, Float[np.ndarray, "n k"]]:
        """Ids and their probabilities of every class, by the last trained network: every item
        but those without pixels.

        Raises `LabelgapError` where none is trained yet.
        """
        self.load()
        ids = self._packed(np.arange(len(self.session.task.train), dtype=np.int64))
        out = self.session.learner.predict(
            self.session.training.network, ids, {"logits"}, progress=self.session.progress
        )
        return ids, out["logits"].softmax(dim=1).numpy()
