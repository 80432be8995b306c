"""Streams: a draw depends on what it is for, and on nothing drawn before."""

import pickle

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelgap.core.streams import Streams
from labelgap.learn.inputs import Endless


def test_a_draw_belongs_to_its_purpose_round_and_step() -> None:
    streams = Streams(5)
    first = streams.numpy("a", 1, 2).random(4)
    streams.numpy("b", 1, 2).random(100)
    assert (streams.numpy("a", 1, 2).random(4) == first).all()
    others = [streams.numpy("a", 1, 3), streams.numpy("a", 2, 2), Streams(6).numpy("a", 1, 2)]
    assert all((other.random(4) != first).any() for other in others)


def test_a_scope_seeds_and_restores_the_global_generators() -> None:
    streams = Streams(0)
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1:3]  # noqa: NPY002
    draws = []
    for _ in range(2):
        with streams.scope("weights", 3):
            draws.append(torch.rand(3).tolist() + np.random.rand(3).tolist())  # noqa: NPY002
    assert draws[0] == draws[1]
    assert torch.equal(torch.get_rng_state(), torch_state)
    key, position = np.random.get_state()[1:3]  # noqa: NPY002
    assert (key == numpy_state[0]).all()
    assert position == numpy_state[1]


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=50, unique=True), st.randoms())
def test_ties_are_keyed_by_id(ids: list[int], random: object) -> None:
    streams, a = Streams(1), np.array(ids, dtype=np.int64)
    draws = dict(zip(ids, streams.ties(a, "ties", 4).tolist(), strict=True))
    shuffled = a[::-1][: max(1, len(a) // 2)].copy()
    for id, draw in zip(shuffled.tolist(), streams.ties(shuffled, "ties", 4), strict=True):
        assert draws[id] == draw
    assert all(0 <= d < 1 for d in draws.values())


def test_ties_are_uniform() -> None:
    draws = Streams(2).ties(np.arange(20_000, dtype=np.int64), "ties")
    counts, _ = np.histogram(draws, bins=20, range=(0, 1))
    # χ² with 19 degrees of freedom: 43.8 is its 0.999 quantile.
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.03


@given(st.integers(1, 13), st.integers(1, 20), st.integers(0, 60))
def test_endless_passes_hold_every_id_once(n: int, size: int, start: int) -> None:
    ids = np.arange(100, 100 + n, dtype=np.int64)
    endless = Endless(ids, Streams(0), "batches", 0)
    whole = endless.window(0, start + size + 2 * n)
    for k in range((start + size) // n + 1):
        assert sorted(whole[k * n : (k + 1) * n].tolist()) == ids.tolist()
    # A window is a pure function of its place, whatever was read before.
    assert (endless.window(start, size) == whole[start : start + size]).all()


@given(st.integers(), st.text(max_size=20), st.integers(0, 99), st.integers(0, 10**6))
def test_a_stream_is_philox_under_its_key(seed: int, purpose: str, round: int, step: int) -> None:
    streams = Streams(seed)
    plain = np.random.Generator(np.random.Philox(key=streams._key(purpose, round, step)))
    found = streams.numpy(purpose, round, step)
    assert (found.integers(0, 1000, 5) == plain.integers(0, 1000, 5)).all()
    assert (pickle.loads(pickle.dumps(found)).random(3) == plain.random(3)).all()
    assert (found.random(3) != found.random(3)).any()
