"""Fit, ask, tell, evaluate: the same four verbs for a benchmark and for a person's folder."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, nn

from labelgap.axes.objective import STANDARD_OUTPUTS
from labelgap.axes.registry import check_pair
from labelgap.axes.training import Training
from labelgap.axes.view import PoolView
from labelgap.core.config import RunConfig
from labelgap.core.device import Machine, machine
from labelgap.core.errors import BudgetError, LabelgapError
from labelgap.core.files import write_atomically
from labelgap.core.streams import Streams
from labelgap.core.types import UNKNOWN_CLASS, Answer, Ids, Metrics, Progress, Query
from labelgap.data.types import Task
from labelgap.frozen.embedding import embedding, has_embedding
from labelgap.learn.learner import Learner
from labelgap.ledger.ledger import LEDGER, Ledger
from labelgap.networks import build as networks
from labelgap.networks.network import Network
from labelgap.session.claim import prepare, read_config
from labelgap.session.metrics import metrics
from labelgap.session.presets import pair_of, resolve
from labelgap.session.query import as_query, query_items
from labelgap.session.weights import CHECKPOINT, WEIGHTS, ids_hash, weights_hash


class Session:
    """One active-learning loop over one task. The ledger is its state; weights are a cache.

    Parameters
    ----------
    task: what is to be learned. Labels of its training images are never read: they come in
        through `tell`.
    config: the whole configuration; without it `resolve` makes one from the keywords.
    folder: where configuration, ledger and weights live; None keeps the ledger in memory.
    machine: device and precision; by default what the hardware offers.
    build: makes the user's own network, in the weights that the current stream draws; with a
        folder, give the same one when it is opened again.
    ledger: an open ledger instead of the folder's own (a labelling project has one).
    without: ids that have a row and no input (their file is lost): their labels are kept and not
        used; the pool must not have them either.
    keywords: method, seed, preset, and trees such as training={"steps": 100}.

    Raises
    ------
    PairError: the acquisition needs an output that nobody provides.
    FolderError: the folder belongs to another configuration.
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
        preset: str = "smoke",
        **values: Any,
    ) -> None:
        self.task = task
        self.config = config or resolve(values, preset=preset)
        self.folder = Path(folder) if folder is not None else None
        self.machine = machine or _default_machine(self.config)
        self.progress = progress
        self._build = build or self._configured_network
        self._without = frozenset(without)
        self.streams = Streams(self.config.seed)
        self.objective, self.acquisition = pair_of(self.config)
        check_pair(self.objective, self.acquisition, self._provided())
        if self.objective.needs_images and not task.train.is_images:
            raise LabelgapError(
                f"Objective {self.config.objective_name!r} needs images; {task.name!r} has "
                "vectors.",
                "Use another objective, or a network on images.",
            )
        self.learner = Learner(
            task, self.config.training, self.streams, self.machine, self.config.preset
        )
        if ledger is None:
            where: Path | str = ":memory:"
            if self.folder is not None:
                prepare(self.folder, self.config, self.machine)
                where = self.folder / LEDGER
            ledger = Ledger.open(where)
        self.ledger = ledger
        if not ledger.classes:
            try:
                ledger.set_classes(task.num_classes, none_of_these=self.config.data.open_set > 0)
            except BaseException:
                self.close()  # nobody else could release its lock
                raise
        self._training: Training | None = None
        self._fitted_round = -1

    @classmethod
    def open(cls, folder: Path | str, task: Task, **keywords: Any) -> "Session":
        """Continue the session of a folder: its configuration, ledger and last weights."""
        session = cls(task, read_config(Path(folder)), folder=folder, **keywords)
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

    def labelled(self) -> tuple[Ids, Int64[np.ndarray, " n"]]:
        """Ids to train on, ascending, and their labels; held-out items, "none" and ids without
        an input left out."""
        labels = self.ledger.labels
        # People label meanwhile: what came after the labels were read waits for the next call.
        known = set(labels) - self._without
        ids = sorted(i for i in self.ledger.labelled_ids("train").tolist() if i in known)
        return np.array(ids, dtype=np.int64), np.array([labels[i] for i in ids], dtype=np.int64)

    @property
    def next_round(self) -> int:
        """The round of the next question: the latest while some of it is outstanding, else a
        new one."""
        return self.round if len(self.ledger.outstanding_ids()) else self.round + 1

    def unlabelled_ids(self) -> Ids:
        """Ids of the pool with no answer of any kind: what semi-supervised stages may see."""
        taken = set(self.ledger.labels) | set(self.ledger.skipped) | set(self.ledger.held_out)
        if not taken:
            return self.task.pool
        return self.task.pool[~np.isin(self.task.pool, np.fromiter(taken, np.int64))]

    def pool_permutation(self, round: int) -> Int64[np.ndarray, " n"]:
        """A permutation of *all* ids, so that every method of a seed sees the same subset."""
        return self.streams.permutation("pool subset", len(self.task.train), round)

    def candidate_ids(self, round: int) -> Ids:
        """What a query of this round may choose: unlabelled, not outstanding, in the subset."""
        free = np.setdiff1d(self.unlabelled_ids(), self.ledger.outstanding_ids())
        return self.pool_subset(free, round)

    def pool_subset(self, free: Ids, round: int) -> Ids:
        """The first `pool_subset` of the free ids in the round's permutation, ascending."""
        size = self.config.loop.pool_subset
        if size is None or len(free) <= size:
            return free
        order = self.pool_permutation(round)
        return np.sort(order[np.isin(order, free)][:size])

    # ------------------------------------------------------------------ fit

    def fit(self, on_stage: Any = None) -> dict[str, float]:
        """Train on all labels so far; returns seconds per stage.

        Starts from new weights (`training.start = "scratch"`) or from the last round's. A
        training that was killed continues from its checkpoint, at most 60 s old.
        """
        round = max(self.round, 0)
        self._fitted_round = -1
        training = self.new_training(round)
        checkpoint = self.folder / CHECKPOINT if self.folder else None
        seconds = self.learner.fit(
            training,
            self.objective,
            checkpoint=checkpoint,
            progress=self.progress,
            on_stage=(lambda name: on_stage(name, self)) if on_stage else None,
        )
        self._training, self._fitted_round = training, round
        facts = {
            "seconds": seconds,
            "labels": len(training.labelled_ids),
            "initial_weights_sha256": self._initial_hash,
            "weights_sha256": weights_hash(training.network),
        }
        if self.folder:
            self._save_weights(round)
        self.ledger.note("fitted", facts, round=round)
        if self.folder:
            # Only now: until the note is stored, a killed run continues from what is deleted here.
            (self.folder / CHECKPOINT).unlink(missing_ok=True)
            for file in self.folder.glob(WEIGHTS.format(round="*")):
                if file != self._weights_file(round):
                    file.unlink()
        return seconds

    def new_training(self, round: int) -> Training:
        """Network and modules in their initial weights, and what the objective may know."""
        ids, labels = self.labelled()
        if len(ids) == 0:
            raise BudgetError(
                "There is nothing to train on: no item has a label.",
                "Ask for an initial set and tell its labels first.",
            )
        network = self.learner.new_network(self._build, round)
        if self.config.training.start == "continue" and self._training is not None:
            network.load_state_dict(self._training.network.state_dict())
        self._initial_hash = weights_hash(network)
        training = self.learner.training(
            network, self.objective, ids, labels, self.unlabelled_ids(), round
        )
        self._training = training
        return training

    def _configured_network(self) -> Network:
        task = self.task
        return networks.build(self.config.network, task.input_shape, task.num_classes)

    def _weights_file(self, round: int) -> Path:
        assert self.folder
        return self.folder / WEIGHTS.format(round=round)

    def _save_weights(self, round: int) -> None:
        training = self.training
        state = {f"network/{k}": v for k, v in training.network.state_dict().items()}
        for name, module in training.modules.items():
            state.update({f"{name}/{k}": v for k, v in module.state_dict().items()})
        data = save(
            {k: v.detach().cpu().contiguous() for k, v in state.items()}, {"round": str(round)}
        )
        write_atomically(self._weights_file(round), lambda file: file.write(data))

    def restore(self) -> bool:
        """Load the weights of the latest fitted round, if they are of the labels at hand."""
        fitted = self.ledger.notes("fitted")
        if not self.folder or not fitted:
            return False
        last = fitted[-1]
        fitted_round = int(last.round if last.round is not None else 0)
        if not self._weights_file(fitted_round).exists():
            return False
        state = load_file(self._weights_file(fitted_round))
        training = self.new_training(max(self.round, 0))
        players: dict[str, nn.Module] = {"network": training.network, **training.modules}
        for name, module in players.items():
            own = {k.split("/", 1)[1]: v for k, v in state.items() if k.startswith(f"{name}/")}
            module.load_state_dict(own)
            module.eval()
        if weights_hash(training.network) != last.data["weights_sha256"]:
            self._training = None
            return False
        self._fitted_round = fitted_round
        return True

    @property
    def training(self) -> Training:
        """Network and modules of the latest fit."""
        if self._training is None:
            raise LabelgapError("There is no trained network yet.", "Call fit() first.")
        return self._training

    @property
    def fitted_round(self) -> int:
        """The round whose labels the network was trained on; −1 before any fit."""
        return self._fitted_round

    # ------------------------------------------------------------------ ask

    def ask(self, n: int) -> Query:
        """The next `n` items to label: outstanding ones first, then new ones.

        The query is in the ledger before it is returned. Without any label it is the initial
        set: uniform, from a stream of its own. It changes no parameter and no buffer.

        Raises
        ------
        BudgetError: the pool holds fewer than n unlabelled items.
        NumericalError: a score is NaN or infinite.
        """
        waiting = self.ledger.outstanding()
        if len(waiting) >= n:
            return as_query(waiting[:n])
        missing = n - len(waiting)
        first = self.round < 0 or (self.round == 0 and not self.ledger.labels)
        round = self.next_round
        supply = len(self.candidate_ids(round))
        if missing > supply:
            raise BudgetError(
                f"{missing} items asked for in round {round}, {supply} candidates left "
                f"of {len(self.task.pool)} in the pool.",
                "Lower `--budget`, `--rounds` or `--initial`, or raise `--pool-subset`.",
            )
        if first:
            query = Query(self._initial_ids(missing))
        else:
            query = self.choose(missing, round)
        self.ledger.asked(round, query_items(query))
        return as_query(self.ledger.outstanding()[:n])

    def start_with(self, ids: Ids) -> Query:
        """Record a given initial set instead of a uniform one."""
        self.ledger.asked(0, query_items(Query(ids)))
        return as_query(self.ledger.outstanding())

    def _initial_ids(self, n: int) -> Ids:
        order = self.streams.permutation("initial set", len(self.task.train))
        return order[np.isin(order, self.candidate_ids(0))][:n]

    def choose(self, n: int, round: int) -> Query:
        """n candidates by the acquisition, checked and noted as in `ask`, but not yet asked.

        For callers that put other questions in between: they record the whole batch themselves
        with `ledger.asked(round, ...)`.

        Raises
        ------
        LabelgapError: nothing is trained.
        NumericalError: a score is NaN or infinite.
        """
        if self._training is None and not self.restore():
            raise LabelgapError("There is no trained network yet.", "Call fit() before ask().")
        started = time.perf_counter()
        view = self.view(round)
        self.machine.synchronise()
        scored = time.perf_counter()
        query: Query = self.acquisition.select(view, n)
        self._check(query, view, n)
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

    def _memory(self) -> dict[int, dict[str, NDArray[Any]]]:
        """What queries asked to have back, by round; of an id noted twice the later row."""
        rows: dict[int, dict[int, dict[str, Any]]] = {}
        for event in self.ledger.notes("memory"):
            for i, id in enumerate(event.data["ids"]):
                row = {name: values[i] for name, values in event.data.items()}
                rows.setdefault(int(event.round or 0), {})[id] = row
        memory = {}
        for round, by_id in rows.items():
            kept = list(by_id.values())
            memory[round] = {name: np.array([row[name] for row in kept]) for name in kept[0]}
        return memory

    def _check(self, query: Any, view: PoolView, n: int) -> None:
        if not isinstance(query, Query):
            raise LabelgapError(
                f"Acquisition {self.config.acquisition_name!r} returned a {type(query).__name__}.",
                "Return `labelgap.core.types.Query(ids)`, its ids taken from `view.candidate_ids`.",
            )
        # A benchmark is worth what this line is worth: n distinct candidates, always.
        ids = np.asarray(query.ids)
        if len(ids) != n or len(np.unique(ids)) != n or not np.isin(ids, view.candidate_ids).all():
            raise LabelgapError(
                f"Acquisition {self.config.acquisition_name!r} returned {len(ids)} ids, "
                f"{len(np.unique(ids))} distinct, "
                f"{int(np.isin(ids, view.candidate_ids).sum())} of them candidates; {n} distinct "
                "candidates were asked for.",
                "This is a defect of the acquisition.",
            )

    def _provided(self) -> frozenset[str]:
        extra = set()
        if self.config.network.dropout > 0:
            extra.add("mc_logits")
        if has_embedding(self.task):
            extra.add("embedding")
        return STANDARD_OUTPUTS | extra

    def view(self, round: int) -> PoolView:
        """The arrays that the acquisition declared, filled in one pass of the frozen network."""
        training, acquisition = self.training, self.acquisition
        labelled_ids, labels = self.labelled()
        candidates = self.candidate_ids(round)
        available = STANDARD_OUTPUTS | self.objective.outputs | self._provided()
        names = set(acquisition.needs) | (set(acquisition.uses) & available)
        if names:
            names.add("logits")
        by_network = names - {"mc_logits", "embedding"}
        both = np.concatenate([labelled_ids, candidates])
        outputs: dict[str, Tensor] = {}
        if by_network:
            outputs = self.learner.predict(
                training.network,
                both,
                by_network,
                objective=self.objective,
                modules=training.modules,
                progress=self.progress,
            )
        if "embedding" in names:
            outputs["embedding"] = embedding(self.task, self.learner)[both]
        split = len(labelled_ids)

        def passes(ids: Ids, number: int) -> Tensor:
            return self.learner.mc_logits(training.network, ids, number, round)

        all_labels = self.ledger.labels
        return PoolView(
            round=round,
            num_classes=self.task.num_classes,
            labelled_ids=labelled_ids,
            labels=labels,
            candidate_ids=candidates,
            rejected_ids=np.array(
                sorted(
                    i
                    for i, y in all_labels.items()
                    if y == UNKNOWN_CLASS and i not in self._without
                ),
                dtype=np.int64,
            ),
            labelled={k: v[:split] for k, v in outputs.items()},
            candidates={k: v[split:] for k, v in outputs.items()},
            streams=self.streams,
            network=training.network,
            inputs=lambda ids: self.learner.inputs.clean(self.task.train, ids),
            passes=passes if self.config.network.dropout > 0 else None,
            history={r: self.ledger.labelled_in_round(r) for r in range(self.round + 1)},
            preset=self.config.preset,
            memory=self._memory(),
        )

    # ------------------------------------------------------------------ tell, evaluate

    def tell(self, answers: Iterable[Answer] | Mapping[int, int]) -> None:
        """Store answers; never trains. Partial, late, skipped and corrected ones are normal."""
        if isinstance(answers, Mapping):
            self.ledger.answers(answers)
            return
        for a in answers:
            if a.label is None:
                self.ledger.skip(a.id, a.skipped or "skip", person=a.person, request=a.request)
            else:
                self.ledger.answer(a.id, a.label, person=a.person, request=a.request)

    def evaluate(self) -> Metrics:
        """Accuracy on the test split, or on the held-out labels where there is none."""
        task, network = self.task, self.training.network
        if len(task.test):
            ids = np.arange(len(task.test))
            split, truth = task.test, task.test.labels
        else:
            ids = np.sort(self.ledger.labelled_ids("held-out"))
            labels = self.ledger.labels
            split, truth = task.train, np.array([labels[int(i)] for i in ids], dtype=np.int64)
        if len(ids) == 0:
            raise LabelgapError(
                "There is nothing to evaluate on: no test images and no held-out labels.",
                "Label a held-out share first.",
            )
        out = self.learner.predict(network, ids, {"logits"}, split=split, progress=self.progress)
        return metrics(out["logits"].argmax(dim=1).numpy(), truth, task.num_classes)


def _default_machine(config: RunConfig) -> Machine:
    return machine("auto", config.precision)
