"""The contract of a method: what every registered pair must do, as runnable checks.

The test suite runs all of them over every method by its being registered; `labelgap check FILE`
runs them on a user's own. Each check takes a `Case` and raises `AssertionError` or a named error.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from labelgap.axes.registry import METHODS, Method
from labelgap.axes.view import PoolView
from labelgap.check.case import (
    BUDGET,
    CLASSES,
    INITIAL,
    ITEMS,
    Case,
    Fault,
    Poison,
    failing_at,
    tiny_task,
)
from labelgap.check.guard import Guard
from labelgap.core.device import machine
from labelgap.core.errors import BudgetError, LabelgapError, NumericalError
from labelgap.core.types import Answer, Ids
from labelgap.loop import run as loop
from labelgap.loop.oracle import Oracle
from labelgap.loop.result import QUERIES
from labelgap.session.claim import prepare
from labelgap.session.session import Session
from labelgap.session.weights import weights_hash

Check = Callable[["Case"], None]
CONTRACTS: dict[str, Check] = {}


def contract(name: str) -> Callable[[Check], Check]:
    """Register a check under the sentence that it verifies."""

    def register(check: Check) -> Check:
        CONTRACTS[name] = check
        return check

    return register


def _select(session: Session, view: PoolView, n: int) -> Ids:
    return np.asarray(session.acquisition.select(view, n).ids)


@contract("asks for n distinct candidates, none labelled, skipped or held out; ties or not")
def distinct(case: Case) -> None:
    session = case.fitted(tiny_task(duplicates=True))
    with torch.no_grad():
        session.training.network.head.weight.zero_()
        session.training.network.head.bias.zero_()
    free = session.unlabelled_ids()
    session.ledger.hold_out(free[:4])
    session.tell([Answer(int(i), None, "unsure") for i in free[4:8]], allow_unasked=True)
    taken = set(session.labelled()[0].tolist()) | set(free[:8].tolist())
    n = 5 * BUDGET  # of 64: a draw with replacement would repeat one almost surely
    ids = session.ask(n).ids
    found = set(ids.tolist())
    assert len(ids) == len(found) == n, f"{n} asked for: {len(ids)} ids, {len(found)} distinct"
    assert not taken & found, f"labelled, skipped or held out: {sorted(taken & found)}"


@contract("answers within a non-contiguous subset, and finds there what it found at large")
def subset(case: Case) -> None:
    task = tiny_task()
    session = case.fitted(replace(task, pool=np.arange(0, ITEMS, 2, dtype=np.int64)))
    view = session.view(1)
    assert (view.candidate_ids % 2 == 0).all()
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(view.candidate_ids))[: len(view.candidate_ids) // 2])
    part = view.subset(rows)
    ids = _select(session, part, 5)
    strangers = sorted(set(ids.tolist()) - set(part.candidate_ids.tolist()))
    assert not strangers, f"not among the candidates: {strangers}"
    if session.acquisition.kind == "score" and session.acquisition.deterministic:
        best = _select(session, view, 1)[0]
        planted = np.union1d(rows, np.flatnonzero(view.candidate_ids == best))
        found = _select(session, view.subset(planted), 1)[0]
        assert found == best, f"{best} is best of all, in a subset that has it {found} is"


@contract("does not depend on the order of storage, where it is deterministic")
def permutation(case: Case) -> None:
    session = case.fitted()
    if not session.acquisition.deterministic:
        return
    view = session.view(1)
    order = np.random.default_rng(1).permutation(len(view.candidate_ids))
    a, b = (_select(session, v, BUDGET) for v in (view, view.subset(order)))
    assert a.tolist() == b.tolist(), f"{a} from one order, {b} from another"


@contract("never reads the label of an unlabelled item")
def poisoned(case: Case) -> None:
    task = tiny_task()
    oracle = Oracle(task, task.train.labels.copy())
    object.__setattr__(task.train, "labels", Poison(len(task.train)))
    with case.session(task) as session:
        session.tell(oracle.answer(session.ask(INITIAL)))
        session.fit()
        session.tell(oracle.answer(session.ask(BUDGET)))
        session.fit()


@contract("`ask` leaves the network bit-equal and draws nothing outside a stream")
def pure(case: Case) -> None:
    session = case.fitted()
    network = session.training.network
    before, state, legacy = weights_hash(network), torch.get_rng_state(), _numpy_state()
    session.ask(BUDGET)
    assert weights_hash(network) == before, "the query changed parameters or buffers"
    assert torch.equal(torch.get_rng_state(), state), "the query drew from torch's global stream"
    assert _numpy_state() == legacy, "the query drew from numpy's global stream"


@contract("leaves the view that it is given as it was: ids, labels and every array")
def untouched(case: Case) -> None:
    session = case.fitted()
    view = session.view(1)
    before = _contents(view)
    _select(session, view, BUDGET)
    after = _contents(view)
    changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    assert not changed, f"the query changed {', '.join(changed)} of the view"


def _contents(view: PoolView) -> dict[str, bytes]:
    """What a view holds, by name: its arrays' shapes and bytes, and which functions it has."""
    outputs = {
        f"{of}({name!r})": value.numpy()
        for of, arrays in (("candidates", view._candidates), ("labelled", view._labelled))
        for name, value in arrays.items()
    }
    rounds = {f"history[{r}]": ids for r, ids in view.history.items()}
    rounds |= {f"memory[{r}]": v for r, kept in view.memory.items() for v in kept.values()}
    ids = {name: getattr(view, name) for name in _ARRAYS}
    arrays = {**outputs, **rounds, **ids}
    found = {name: str(a.shape).encode() + a.tobytes() for name, a in arrays.items()}
    kept = ("num_classes", "round", "preset", "network", "inputs", "passes", "_streams")
    return found | {name: str(id(getattr(view, name))).encode() for name in kept}


_ARRAYS = ("candidate_ids", "labelled_ids", "labels", "rejected_ids")


def _numpy_state() -> tuple[bytes, int]:
    """Key and position of numpy's global generator: a short draw moves only the position."""
    _, key, position, *_ = np.random.get_state()  # noqa: NPY002
    return np.asarray(key).tobytes(), int(position)


@contract("training draws nothing outside a stream, and repeats bit by bit")
def repeatable(case: Case) -> None:
    state, legacy = torch.get_rng_state(), _numpy_state()
    hashes = [weights_hash(case.fitted().training.network) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state), "training drew from torch's global stream"
    assert _numpy_state() == legacy, "training drew from numpy's global stream"
    assert hashes[0] == hashes[1], "two trainings of one seed differ"


@contract("shares initial weights with every method, and extra players leave the network alone")
def paired(case: Case) -> None:
    plain = Case(METHODS["random"])
    settings: dict[str, Any] = {"network": {"dropout": case.config().network.dropout}}
    ours, other = case.fitted(**settings), plain.fitted(**settings)
    facts = [s.ledger.notes("fitted")[0].data for s in (ours, other)]
    same = facts[0]["initial_weights_sha256"] == facts[1]["initial_weights_sha256"]
    assert same, "training began from other weights than random's"
    first, *rest = ours.objective.stages(ours.new_training(0))
    updating = {name for stage in rest for phase in stage.phases for name in phase.modules}
    if ours.config.objective_name == "cross-entropy":
        same = facts[0]["weights_sha256"] == facts[1]["weights_sha256"]
        assert same, "cross-entropy ended in other weights than random's"
    elif "network" not in updating and rest:
        seen: list[str] = []
        again = case.session(**settings)
        again.tell(Oracle(again.task).answer(again.ask(INITIAL)))
        again.fit(lambda name, training: seen.append(weights_hash(training.network)))
        assert len(set(seen)) == 1, f"a stage after {first.name!r} changed the network"


@contract("NaN in what it needs is refused by name; p = 0 and p = 1 are fine")
def finite(case: Case) -> None:
    session = case.fitted()
    names = sorted(set(session.acquisition.needs) & set(session.view(1)._candidates))
    for name in names:
        view = session.view(1)
        view._candidates[name][3] = float("nan")
        try:
            ids = _select(session, view, BUDGET)
        except NumericalError:
            continue
        raise AssertionError(f"NaN in {name!r} gave the query {ids}")
    if "logits" in names:
        view = session.view(1)
        logits = view.candidates("logits")
        logits.fill_(-1e4)
        logits[torch.arange(len(logits)), torch.arange(len(logits)) % CLASSES] = 1e4
        ids = _select(session, view, BUDGET)
        assert len(set(ids.tolist())) == BUDGET, f"probabilities of 0 and 1 gave the query {ids}"


@contract("n = pool, n > pool, an empty pool and a single class: an answer or a named error")
def borders(case: Case) -> None:
    session = case.fitted()
    view = session.view(1)
    everything = _select(session, view, len(view.candidate_ids))
    whole = sorted(everything.tolist()) == sorted(view.candidate_ids.tolist())
    assert whole, f"n = pool = {len(view.candidate_ids)} gave {len(set(everything.tolist()))} ids"
    for n in (len(view.candidate_ids) + 1,):
        try:
            session.ask(n)
        except BudgetError:
            continue
        raise AssertionError(f"{n} items of {len(view.candidate_ids)} were asked for")
    empty = view.subset(np.empty(0, np.int64))
    with suppress(LabelgapError):  # a named error is a right answer too
        ids = _select(session, empty, 1)
        assert len(ids) == 0, f"an empty pool gave the query {ids}"
    with case.fitted(tiny_task(INITIAL + BUDGET)) as exhausted:
        exhausted.tell(Oracle(exhausted.task).answer(exhausted.ask(BUDGET)))
        exhausted.fit()  # nothing is unlabelled any more
        assert len(exhausted.candidate_ids(2)) == 0
    with case.session() as one_class:
        ids = np.flatnonzero(one_class.task.train.labels == 1)[:INITIAL]
        one_class.tell(Oracle(one_class.task).answer(one_class.start_with(ids)))
        one_class.fit()
        ids = one_class.ask(BUDGET).ids
        assert len(ids) == BUDGET, f"with one class among the labels {BUDGET} gave {len(ids)} ids"


@contract("a fault at any event of a round, then reopened: the same queries")
def faults(case: Case) -> None:
    config, task, place = case.config(), tiny_task(), machine("cpu", "float32")
    with TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        prepare(whole, config, place)
        loop.run(config, task, whole, place)
        expected = (whole / QUERIES).read_bytes()
        for event in range(100):
            folder = Path(name) / f"fault-{event}"
            prepare(folder, config, place)
            with failing_at(event) as struck, suppress(Fault):
                loop.run(config, task, folder, place)
            if not struck:
                return
            loop.run(config, task, folder, place)
            assert (folder / QUERIES).read_bytes() == expected, f"after a fault at {event}"


def run_contract(method: Method, guard: Guard | None = None) -> Iterator[tuple[str, str]]:
    """Every check of one method: (what it verifies, "" where it holds, else what went wrong).

    After each of them nothing may run on, and nothing that checks may have been replaced.

    Parameters
    ----------
    guard: made before the method's code ran for the first time; None makes one now.
    """
    guard = guard or Guard({"CONTRACTS": CONTRACTS})
    for sentence, check in list(CONTRACTS.items()):
        problems = []
        try:
            check(Case(method))
        except KeyboardInterrupt:
            raise
        except SystemExit as error:
            problems = [f"it ends the program (sys.exit({error.code!r})); raise an error instead"]
        # Whatever a user's code raises is a finding about it, told with its type and its text.
        except BaseException as error:  # noqa: BLE001
            problems = [f"{type(error).__name__}: {error}"]
        yield sentence, "; ".join(problems + guard.problems())
