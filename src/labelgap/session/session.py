"""Fit, ask, tell, evaluate: the same four verbs for a benchmark and for a person's folder."""

import time
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from jaxtyping import Float32, Int64

from labelgap.axes.acquisition import check_query
from labelgap.axes.stage import Stage
from labelgap.axes.training import Training
from labelgap.axes.view import PoolView
from labelgap.core.config import RunConfig
from labelgap.core.device import Machine
from labelgap.core.errors import ConfigError
from labelgap.core.streams import Streams
from labelgap.core.types import Ids, Metrics, Progress, Query
from labelgap.data.types import Task
from labelgap.learn.learner import Learner
from labelgap.ledger import LEDGER, Ledger
from labelgap.networks import build as networks
from labelgap.networks.network import Network
from labelgap.session.answers import as_answers, check_told
from labelgap.session.arguments import (
    configuration,
    default_machine,
    given_task,
    whole_budget,
)
from labelgap.session.claim import read_config
from labelgap.session.looking import look
from labelgap.session.own_data import claimed
from labelgap.session.pool import Pool
from labelgap.session.predicting import evaluated, probabilities
from labelgap.session.presets import pair_of
from labelgap.session.refused import refuse_pair, too_few
from labelgap.session.trained import Trained
from labelgap.session.weights import ids_hash


class Session:
    """One active-learning loop over one task. The ledger is its state; weights are a cache.

    Parameters
    ----------
    task: what is to be learned. Labels of its training images are never read: they come in
        through `tell`.
    config: the whole configuration; without it `resolve` makes one from preset and keywords.
    folder: where configuration, ledger and weights live; None keeps the ledger in memory.
    machine: device and precision; by default what the hardware offers.
    build: makes the user's own network, in the weights that the current stream draws; with a
        folder, give the same one when it is opened again.
    ledger: an open ledger instead of the folder's own (a labelling project has one).
    without: ids that have a row and no input (their file is lost): their labels are kept and not
        used; the pool must not have them either.
    extend: the folder's data grew: ids stay what they are, new rows come behind them.
    preset: what the keywords are laid over; "smoke" unless given.
    values: the keywords: method, seed, and trees such as training={"steps": 100}.

    Raises
    ------
    ConfigError: a configuration is given and keywords (or a preset) too.
    PairError: the acquisition needs an output that nobody provides.
    DataError: `task` is no Task.
    FolderError: the folder belongs to another configuration, or other data (what differs is said).
    """

    def __init__(
        self,
        task: Task,
        config: RunConfig | None = None,
        *,
        folder: Path | str | None = None,
        machine: Machine | None = None,
        ledger: Ledger | None = None,
        progress: Progress | None = None,
        build: Callable[[], Network] | None = None,
        without: Collection[int] = (),
        extend: bool = False,
        preset: str | None = None,
        **values: Any,
    ) -> None:
        task = given_task(task)
        self.config: RunConfig = configuration(config, preset, values)
        self.folder: Path | None = Path(folder) if folder is not None else None
        self.machine: Machine = machine or default_machine(self.config)
        self.progress = progress
        self.judge: Callable[[Ids], float] | None = None  # a benchmark's upper line has one
        self.streams: Streams = Streams(self.config.seed)
        self.objective, self.acquisition = pair_of(self.config)
        refuse_pair(self.objective, self.acquisition, self.config, task)
        if self.folder is not None and ledger is None:
            task = claimed(self.folder, self.config, self.machine, task, extend)
        elif extend:
            raise ConfigError("extend=True is for a session's own folder.", "Give `folder=` too.")
        self.task: Task = task
        self.learner: Learner = Learner(
            task, self.config.training, self.streams, self.machine, self.config.preset
        )
        if ledger is None:
            ledger = Ledger.open(":memory:" if self.folder is None else self.folder / LEDGER)
        self.ledger = ledger
        subset = self.config.loop.pool_subset
        self.pool: Pool = Pool(task, ledger, self.streams, frozenset(without), subset)
        if (strange := self.pool.strange()) is not None:
            warnings.warn(str(strange), stacklevel=2)
        if not ledger.classes:
            try:
                ledger.set_classes(task.num_classes, none_of_these=self.config.data.open_set > 0)
            except BaseException:
                self.close()  # nobody else could release its lock
                raise
        continues = self.config.training.start == "continue"
        self.trained: Trained = Trained(
            self.learner,
            self.objective,
            self.pool,
            build or self._configured_network,
            self.folder,
            continues,
        )

    @classmethod
    def open(
        cls,
        folder: Path | str,
        task: Task,
        *,
        machine: Machine | None = None,
        progress: Progress | None = None,
        build: Callable[[], Network] | None = None,
        extend: bool = False,
    ) -> "Session":
        """Continue the session of a folder: its configuration, ledger and last weights."""
        session = cls(
            task,
            read_config(Path(folder)),
            folder=folder,
            machine=machine,
            progress=progress,
            build=build,
            extend=extend,
        )
        session.restore()
        return session

    def close(self) -> None:
        """Close the ledger and release its lock."""
        self.ledger.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ------------------------------------------------------------------ state, all replayed

    @property
    def round(self) -> int:
        """The latest round asked: 0 is the initial set, k the k-th query; −1 before any."""
        return self.ledger.round

    @property
    def next_round(self) -> int:
        """The round of the next question: the latest while it is outstanding, else a new one."""
        return self.round if len(self.ledger.outstanding_ids()) else self.round + 1

    def labelled(self) -> tuple[Ids, Int64[np.ndarray, " n"]]:
        """Ids to train on and their labels (`Pool.labelled`)."""
        return self.pool.labelled()

    def unlabelled_ids(self) -> Ids:
        """Ids with no answer of any kind (`Pool.unlabelled`)."""
        return self.pool.unlabelled()

    def candidate_ids(self, round: int) -> Ids:
        """What a query of this round may choose (`Pool.candidates`)."""
        return self.pool.candidates(round)

    # ------------------------------------------------------------------ fit

    def fit(self, on_stage: Callable[[Stage, Training], None] | None = None) -> dict[str, float]:
        """Train on all labels so far; returns seconds per stage (`Trained.fit`)."""
        return self.trained.fit(on_stage, self.progress)

    def new_training(self, round: int) -> Training:
        """Network and modules in their initial weights (`Trained.new`)."""
        return self.trained.new(round)

    def restore(self) -> bool:
        """Load the weights of the latest fitted round; False where there are none of them."""
        return self.trained.restore()

    @property
    def training(self) -> Training:
        """Network and modules of the latest fit; raises where there is none, or a half one."""
        return self.trained.training

    @property
    def fitted_round(self) -> int:
        """The round whose labels the network was trained on; −1 before any fit."""
        return self.trained.round

    def _configured_network(self) -> Network:
        task = self.task
        return networks.build(self.config.network, task.input_shape, task.num_classes)

    # ------------------------------------------------------------------ ask

    def ask(self, n: SupportsIndex, *, later: int = 0) -> Query:
        """The next `n` items to label: outstanding ones first, then new ones.

        The query is in the ledger before it is returned. Without any label it is the initial
        set: uniform, from a stream of its own. It changes no parameter and no buffer.

        Parameters
        ----------
        later: items of the same round that are asked for after this query's answers, for an
            acquisition that reads them (`Acquisition.portion`).

        Raises
        ------
        BudgetError: n is no whole number above 0, or the pool holds fewer unlabelled items.
        NumericalError: a score is NaN or infinite.
        """
        number = whole_budget(n)
        self.pool.check()
        waiting = self.ledger.outstanding(limit=number)
        missing = number - len(waiting)
        if not missing:
            return Query.of(waiting)
        first = self.round < 0 or (self.round == 0 and not self.ledger.labels)
        round = self.next_round
        supply = len(self.candidate_ids(round))
        if missing > supply:
            raise too_few(missing, round, supply, len(self.task.pool))
        if first:
            query = Query(self.pool.initial(missing))
        else:
            query = self.choose(missing, round, later=later)
        return Query.of([*waiting, *self.ledger.asked(round, query.items())])

    def start_with(self, ids: Ids) -> Query:
        """Record a given initial set of the pool's items instead of a uniform one."""
        check_told(np.asarray(ids).tolist(), self.task.pool, self.task, True)
        self.ledger.asked(0, Query(ids).items())
        return Query.of(self.ledger.outstanding())

    def choose(self, n: int, round: int, *, later: int = 0) -> Query:
        """n candidates by the acquisition, checked and noted as in `ask`, but not yet asked.

        For callers that put other questions in between: they record the whole batch themselves
        with `ledger.asked(round, ...)`.

        Raises
        ------
        LabelgapError: nothing is trained, or a training was interrupted.
        NumericalError: a score is NaN or infinite.
        """
        if not self.trained.is_there:
            self.restore()
        started = time.perf_counter()
        view = self.view(round)
        view.later, view.judge = later, self.judge
        self.machine.synchronise()
        scored = time.perf_counter()
        query: Query = self.acquisition.select(view, n)
        check_query(query, view, n, self.config.acquisition_name)
        facts = {
            "seconds": {"score": scored - started, "select": time.perf_counter() - scored},
            "notes": dict(query.notes),
            "candidates": len(view.candidate_ids),
            "subset_sha256": ids_hash(view.candidate_ids),
        }
        self.ledger.note("scored", facts, round=round)
        if query.memory:
            arrays = {name: np.asarray(value).tolist() for name, value in query.memory.items()}
            self.ledger.note("memory", {"ids": query.ids.tolist(), **arrays}, round=round)
        return query

    def view(self, round: int) -> PoolView:
        """The arrays that the acquisition declared, filled in one pass of the frozen network."""
        return look(self.trained, self.acquisition, self.config, round, self.progress)

    # ------------------------------------------------------------------ tell, evaluate

    def tell(self, answers: Any, labels: Any = None, *, allow_unasked: bool = False) -> None:
        """Store answers, all of them or none; never trains.

        Partial, late, skipped and corrected ones are normal.

        Parameters
        ----------
        answers: {id: label}, pairs (id, label), or `Answer`s, which can skip an item. With
            `labels`: a query, or ids [n].
        labels: [n], one for each of them, in their order. A label is the number of a class
            (3, 3.0) or its name.
        allow_unasked: take items of the pool that were never asked, for labels from elsewhere.

        Raises
        ------
        LedgerError: an id that was never asked, or is not in the pool; a number of no class.
        UnknownName: a name of no class.
        DataError: what is no id, no label or no pair.
        """
        given = as_answers(answers, labels, self.task.classes)
        check_told([a.id for a in given], self.ledger.asked_ids(), self.task, allow_unasked)
        self.ledger.tell(given)

    def set_aside_unknown(self) -> list[int]:
        """Take ids that no item has, which older versions stored, out of the ledger's state.

        Returns them. The log keeps every event: that they are set aside is one more.
        """
        return self.pool.set_aside_unknown()

    def evaluate(self) -> Metrics:
        """Accuracy on the test split, or on the held-out labels where there is none."""
        return evaluated(self.training.network, self.learner, self.pool, self.progress)

    def predict(self, images: Any) -> Float32[np.ndarray, "n k"]:
        """Probabilities of the task's classes, in the order of `task.classes`, for any images.

        images: as the task's are: uint8 [n, h, w, c], or float32 [n, d]. With a frozen backbone
            uint8 images of any size go through it first; features [n, d] are taken as they are.

        Raises `LabelgapError` before the first fit, `DataError` for arrays of another kind.
        """
        network, settings = self.training.network, self.config.network
        return probabilities(images, network, self.learner, settings, self.progress)
