"""The tolerance of the tests holds for every order of a sum, and for little else."""

import numpy as np
import pytest
import torch
from tolerance import assert_rounded, product, rounding


def in_order(x: np.ndarray, lanes: int) -> float:
    """A float32 sum as a processor with so many lanes takes it: lane by lane, then the lanes."""
    x = np.append(x, np.zeros(-len(x) % lanes, np.float32)).reshape(-1, lanes)
    partial = np.add.accumulate(x, axis=0, dtype=np.float32)[-1]
    return float(np.add.accumulate(partial, dtype=np.float32)[-1])


@pytest.mark.parametrize("lanes", [1, 4, 8, 16, 64])
@pytest.mark.parametrize("mean", [0.0, 1.0])
@pytest.mark.parametrize("n", [3, 100, 20_000])
def test_every_order_of_a_sum_is_within(n: int, mean: float, lanes: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        x = rng.permutation((mean + rng.standard_normal(n)).astype(np.float32))
        spread = np.sqrt(np.square(x, dtype=np.float64).sum())
        assert_rounded(in_order(x, lanes), x.sum(dtype=np.float64), n, spread, dtype="float32")


def test_a_term_that_is_missing_is_not() -> None:
    x = np.random.default_rng(0).random(512).astype(np.float32)
    with pytest.raises(AssertionError, match="not within 512 roundings of float32"):
        assert_rounded(x[1:].sum(), x.sum(dtype=np.float64), 512)


def test_products_and_their_spread() -> None:
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(30, 512, generator=g), torch.randn(512, 20, generator=g)
    assert_rounded(a @ b, *product(a, b))
    with pytest.raises(AssertionError):
        assert_rounded((a * (1 + 1e-4)) @ b, *product(a, b))
    with pytest.raises(AssertionError):  # eight bits where twenty-four were said
        assert_rounded((a.bfloat16() @ b.bfloat16()).float(), *product(a, b))


def test_what_is_not_a_number_agrees_with_nothing() -> None:
    assert_rounded([1.0, np.inf], [1.0, np.inf], 1)
    for found in ([1.0, np.nan], [np.inf, 2.0], [1.0, 2.0 + 1e-12]):
        with pytest.raises(AssertionError):
            assert_rounded(found, [1.0, 2.0], 1)
    with pytest.raises(AssertionError, match="expected"):
        assert_rounded([1.0], [1.0, 1.0], 1)


def test_a_few_roundings_add_up_and_many_half_cancel() -> None:
    assert rounding("float32", 4) == 4 * 2.0**-24
    assert rounding("float64", 10_000) == 600 * 2.0**-53
