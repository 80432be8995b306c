"""Which network answers: the latest whose training is complete, kept in memory and in a file."""

from collections.abc import Callable
from copy import copy
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from labelgap.axes import Objective
from labelgap.axes.stage import Stage
from labelgap.axes.training import Training
from labelgap.core.errors import BudgetError, LabelgapError
from labelgap.core.types import Ids, Progress
from labelgap.learn.learner import Learner
from labelgap.networks.network import Network
from labelgap.session.pool import Pool
from labelgap.session.weights import (
    CHECKPOINT,
    keep_only,
    load_weights,
    save_weights,
    weights_file,
    weights_hash,
)


class Trained:
    """The network of one session, round after round.

    Parameters
    ----------
    build: makes the network, in the weights that the current stream draws.
    folder: where weights and checkpoints are kept; None for nowhere.
    continues: each round starts from the last one's weights instead of new ones.
    """

    def __init__(
        self,
        learner: Learner,
        objective: Objective,
        pool: Pool,
        build: Callable[[], Network],
        folder: Path | None,
        continues: bool,
    ) -> None:
        self.learner: Learner = learner
        self.objective: Objective = objective
        self.pool: Pool = pool
        self.build = build
        self.folder: Path | None = folder
        self.continues: bool = continues
        self._training: Training | None = None  # the latest that was completed
        self._round = -1
        self._interrupted: int | None = None  # the round of one that began here and did not end

    @property
    def is_there(self) -> bool:
        """Whether a network could answer, or a training was begun that must be ended first."""
        return self._training is not None or self._interrupted is not None

    def fit(
        self,
        on_stage: Callable[[Stage, Training], None] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, float]:
        """Train on all labels so far; returns seconds per stage.

        Starts from new weights (`training.start = "scratch"`) or from the last round's. A
        training that was killed continues from its checkpoint, at most 60 s old. Until it has
        ended there is no network to ask or evaluate with.

        Parameters
        ----------
        on_stage: called with a stage that has ended, and the training.

        Raises
        ------
        BudgetError: no item has a label.
        LabelgapError: it is to continue from weights that are gone.
        NumericalError: a loss that is NaN or infinite.
        """
        round = max(self.pool.ledger.round, 0)
        training = self.new(round)
        initial = weights_hash(training.network)
        self._interrupted, self._round = round, -1
        seconds = self.learner.fit(
            training,
            self.objective,
            checkpoint=self.folder / CHECKPOINT if self.folder else None,
            progress=progress,
            on_stage=(lambda stage: on_stage(stage, training)) if on_stage else None,
        )
        facts = {
            "seconds": seconds,
            "labels": len(training.labelled_ids),
            "initial_weights_sha256": initial,
            "weights_sha256": weights_hash(training.network),
        }
        if self.folder:
            save_weights(self.folder, round, training)
        self.pool.ledger.note("fitted", facts, round=round)
        self._training = training
        self._round = round
        self._interrupted = None
        if self.folder:
            # Only now: until the note is stored, a killed run continues from what is deleted here.
            keep_only(self.folder, round)
        return seconds

    def new(self, round: int) -> Training:
        """Network and modules in their initial weights, and what the objective may know.

        Raises as `fit`.
        """
        last = self._last_training() if self.continues else None
        training = self._blank_training(round)
        if last is not None:
            training.network.load_state_dict(last.network.state_dict())
        return training

    def answering(self, training: Training, pool: Pool) -> "Trained":
        """The same with another's training and pool: for timing a query, never for a result."""
        other = copy(self)
        other.pool, other._training = pool, training
        return other

    def trial(self, ids: Ids, labels: Int64[np.ndarray, " n"], round: int) -> Training:
        """A training on these labels as that of the round would be; it leaves no trace.

        The network that answers, its files and the ledger stay as they are.
        """
        training = self._blank_training(round, (ids, labels))
        last = self._last_training() if self.continues else None
        if last is not None:
            training.network.load_state_dict(last.network.state_dict())
        self.learner.fit(training, self.objective)
        return training

    def _blank_training(
        self, round: int, given: tuple[Ids, Int64[np.ndarray, " n"]] | None = None
    ) -> Training:
        ids, labels = given or self.pool.labelled()
        if len(ids) == 0:
            raise BudgetError(
                "There is nothing to train on: no item has a label.",
                "Ask for an initial set and tell its labels first.",
            )
        network = self.learner.new_network(self.build, round)
        unlabelled = self.pool.unlabelled()
        if given:
            unlabelled = np.setdiff1d(unlabelled, ids)
        return self.learner.training(network, self.objective, ids, labels, unlabelled, round)

    def _last_training(self) -> Training | None:
        """What a continued training starts from; None before the first fit."""
        fitted = self.pool.ledger.notes("fitted")
        if self._training is None and fitted and not self.restore():
            missing = f"The weights of round {fitted[-1].round}, from which it would start,"
            where = f" are not in {self.folder}" if self.folder else " were in memory and are gone"
            raise LabelgapError(
                f'training.start is "continue". {missing}{where}.',
                "Put the file back, or train in another folder with training.start=scratch.",
            )
        return self._training

    def restore(self) -> bool:
        """Load the weights of the latest fitted round; False where there are none of them."""
        fitted = self.pool.ledger.notes("fitted")
        if not self.folder or not fitted:
            return False
        last = fitted[-1]
        round = int(last.round if last.round is not None else 0)
        file = weights_file(self.folder, round)
        if not file.exists():
            return False
        training = self._blank_training(max(self.pool.ledger.round, 0))
        if not load_weights(file, training, last.data["weights_sha256"]):
            return False
        self._training = training
        self._round = round
        self._interrupted = None
        return True

    @property
    def training(self) -> Training:
        """Network and modules of the latest fit.

        Raises `LabelgapError` before the first one, and while one is incomplete.
        """
        if self._interrupted is not None:
            raise LabelgapError(
                f"The training of round {self._interrupted} was interrupted: its network is "
                "half trained.",
                "Call fit() again; with a folder it continues from its checkpoint.",
            )
        if self._training is None:
            raise LabelgapError("There is no trained network yet.", "Call fit() first.")
        return self._training

    @property
    def round(self) -> int:
        """The round whose labels the network was trained on; −1 before any fit."""
        return self._round
