"""How a run asks for a round: at once, or in portions whose answers the next portion reads."""

import numpy as np

from labelgap.core.errors import LabelgapError
from labelgap.core.types import Ids
from labelgap.loop.oracle import Oracle
from labelgap.session.metrics import metrics
from labelgap.session.session import Session


def answer(session: Session, oracle: Oracle) -> None:
    """Let the oracle answer what is outstanding."""
    waiting = session.ledger.outstanding()
    if waiting:
        session.tell(oracle.answer(session.ask(len(waiting))))


def ask_round(session: Session, oracle: Oracle) -> None:
    """Ask for the next round's whole budget and let the oracle answer it."""
    budget = session.config.loop.budget
    first = min(budget, session.acquisition.portion or budget)
    session.ask(first, later=budget - first)
    answer(session, oracle)
    finish_round(session, oracle)


def finish_round(session: Session, oracle: Oracle) -> None:
    """Ask for what is missing of the latest round, portion by portion: nothing of one that was
    asked for at once, the rest of one that was killed between two portions."""
    portion, budget = session.acquisition.portion, session.config.loop.budget
    if portion is None or session.round < 1:
        return
    while (missing := budget - len(session.ledger.queries(session.round))) > 0:
        _ask_more(session, min(portion, missing), max(0, missing - portion))
        answer(session, oracle)


def _ask_more(session: Session, n: int, later: int) -> None:
    """`n` further items of the latest round, by the network that chose its first ones."""
    chose = session.round - 1
    if session.fitted_round != chose:
        session.restore()
    if session.fitted_round != chose:
        raise LabelgapError(
            f"Round {session.round} is half asked, and the network that chose its first half "
            f"(of round {chose}) is not there.",
            "Put its weights back into the folder, or run in another one.",
        )
    query = session.choose(n, session.round, later=later)
    session.ledger.asked(session.round, query.items())


def give_judge(session: Session, oracle: Oracle) -> None:
    """Give an upper line, and nothing else, what it judges by: the truth."""
    if not session.acquisition.upper_line:
        return

    def judge(ids: Ids) -> float:
        known, labels = session.labelled()
        told = np.array([a.label for a in oracle.answer_ids(ids)], dtype=np.int64)
        order = np.argsort(np.concatenate([known, ids]), kind="stable")
        both = np.concatenate([known, ids])[order], np.concatenate([labels, told])[order]
        # As the fit after these answers would be: its round is the next.
        training = session.trained.trial(*both, session.round + 1)
        test = session.task.test
        out = session.learner.predict(
            training.network, np.arange(len(test)), {"logits"}, split=test
        )
        predicted = out["logits"].argmax(dim=1).numpy()
        return metrics(predicted, test.labels, session.task.num_classes).accuracy

    session.judge = judge
