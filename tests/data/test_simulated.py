"""What a configuration simulates: its pool, and the oracle that answers for it."""

from typing import Any

import numpy as np
from jaxtyping import Int64

from labelgap.core.types import NONE_OF_THESE, Query
from labelgap.data import load
from labelgap.data.types import Task
from labelgap.loop.run import simulated
from labelgap.session.presets import resolve

DIGITS = load("digits")
N = len(DIGITS.train)


def made(
    seed: int = 3, method: str = "random", **data: Any
) -> tuple[Task, Int64[np.ndarray, " n"]]:
    """The simulated task, and the oracle's answer for every id, in or out of the pool."""
    config = resolve({"method": method, "seed": seed, "data": {"name": "digits", **data}})
    task, oracle = simulated(config, DIGITS)
    answers = oracle.answer(Query(np.arange(len(task.train))))
    return task, np.array([answer.label for answer in answers])


def assert_same_pool(one: Task, other: Task) -> None:
    assert one.fingerprint == other.fingerprint  # images, labels and classes
    np.testing.assert_array_equal(one.pool, other.pool)


def test_nothing_simulated_is_the_task_and_the_truth() -> None:
    task, answers = made()
    assert task is DIGITS
    np.testing.assert_array_equal(answers, DIGITS.train.labels)


def test_a_noisy_oracle_errs_at_exactly_the_rate_and_the_truth_stays() -> None:
    task, answers = made(label_noise=0.2)
    assert (answers != task.train.labels).sum() == round(0.2 * N)
    assert set(answers) <= set(range(10))
    assert_same_pool(task, DIGITS)


def test_noise_and_imbalance_are_drawn_apart() -> None:
    few, true = made(imbalance=5)
    both, answers = made(imbalance=5, label_noise=0.2)
    _, alone = made(label_noise=0.2)
    assert_same_pool(both, few)
    np.testing.assert_array_equal(true, DIGITS.train.labels)
    # Labels are noisy per image, so whoever is left in the pool errs on the same images.
    np.testing.assert_array_equal(answers, alone)
    all_of, left = (np.bincount(t.train.labels[t.pool], minlength=10) for t in (DIGITS, both))
    np.testing.assert_array_equal(left[1::2], all_of[1::2])
    np.testing.assert_array_equal(left[::2], np.round(all_of[::2] / 5))


def test_strangers_answer_none_of_these_and_noise_is_among_the_rest() -> None:
    strange, true = made(open_set=0.3)
    task, answers = made(open_set=0.3, label_noise=0.2)
    assert_same_pool(task, strange)
    assert task.num_classes == 7
    stranger = ~np.isin(np.array(DIGITS.classes)[DIGITS.train.labels], task.classes)
    assert set(DIGITS.train.labels[stranger]) == set(range(10)) - set(map(int, task.classes))
    for given in (true, answers):
        np.testing.assert_array_equal(given == NONE_OF_THESE, stranger)
    # Classes are numbered anew; the truth is the old class by its name.
    names = np.array(task.classes)[true[~stranger]]
    np.testing.assert_array_equal(names, np.array(DIGITS.classes)[DIGITS.train.labels[~stranger]])
    wrong = answers != true
    assert wrong.sum() == round(0.2 * (~stranger).sum())
    assert answers.max() < 7


def test_near_duplicates_are_the_same_whatever_else_is_simulated() -> None:
    burst, true = made(redundancy=1)
    assert len(burst.train) == 2 * N
    np.testing.assert_array_equal(true[N:], DIGITS.train.labels)
    few, _ = made(redundancy=1, imbalance=5)
    np.testing.assert_array_equal(few.train.inputs, burst.train.inputs)
    strange, _ = made(open_set=0.3)
    both, answers = made(redundancy=1, open_set=0.3)
    assert both.classes == strange.classes
    np.testing.assert_array_equal(both.train.inputs, burst.train.inputs)
    np.testing.assert_array_equal(answers[N:], answers[:N])


def test_everything_at_once() -> None:
    quiet, true = made(open_set=0.3, redundancy=1, imbalance=5)
    task, answers = made(open_set=0.3, redundancy=1, imbalance=5, label_noise=0.2)
    assert_same_pool(task, quiet)
    assert (answers != true).sum() == round(0.2 * (true >= 0).sum())
    np.testing.assert_array_equal(answers[true < 0], NONE_OF_THESE)
    # Strangers are of no class, so imbalance leaves them in.
    assert np.isin(np.flatnonzero(true < 0), task.pool).all()


def test_draws_belong_to_the_seed_and_not_to_the_method() -> None:
    everything = {"open_set": 0.3, "redundancy": 1, "imbalance": 5, "label_noise": 0.2}
    one, answers = made(**everything)
    for method in ("entropy", "daal"):
        other, again = made(method=method, **everything)
        assert_same_pool(one, other)
        np.testing.assert_array_equal(answers, again)
    assert made(seed=4, open_set=0.3)[0].classes != made(open_set=0.3)[0].classes
    assert not np.array_equal(made(seed=4, imbalance=5)[0].pool, made(imbalance=5)[0].pool)
    assert not np.array_equal(made(seed=4, label_noise=0.2)[1], made(label_noise=0.2)[1])
    duplicates = [made(seed=s, redundancy=1)[0].train.inputs[N:] for s in (3, 4)]
    assert not np.array_equal(*duplicates)
