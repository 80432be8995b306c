"""How an interval on a line is shrunk, step by step, and which lots are drawn."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelgap.select.line import balance, shrink

SIGNS = st.lists(st.sampled_from([-1, 0, 0, 0, 1]), min_size=1, max_size=25).map(np.array)


def shrunk(low, high, free, value, width, draws):
    """Free positions counted anew at every step; a lot is drawn for equal ends alone."""
    used = 0
    while low < high and sum(free[i] for i in range(low, high + 1)) > width:
        inwards = value[high] - value[low]
        if inwards == 0:
            inwards = 0.5 - draws[used]
            used += 1
        low, high = (low + 1, high) if inwards > 0 else (low, high - 1)
    return (low, high), used


@given(SIGNS, st.data())
def test_the_end_of_lower_balance_moves_until_the_interval_is_narrow_enough(signs, data):
    n, seed = len(signs), data.draw(st.integers(0, 1000))
    low = data.draw(st.integers(0, n - 1))
    high, width = data.draw(st.integers(low, n - 1)), data.draw(st.integers(0, 10))
    value, rng = balance(signs), np.random.default_rng(seed)
    draws = np.random.default_rng(seed).random(n + 1)
    found = shrink(low, high, signs == 0, value, width, rng)
    expected, used = shrunk(low, high, signs == 0, value, width, draws)
    assert found == expected
    assert rng.random() == draws[used]


def test_free_positions_beside_the_interval_do_not_count():
    free, value = np.ones(5, dtype=bool), np.arange(6)
    for width, found in ((1, (2, 2)), (2, (1, 2)), (3, (1, 2))):
        assert shrink(1, 2, free, value, width, np.random.default_rng(0)) == found
