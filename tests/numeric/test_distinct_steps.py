"""The parts of `distinct`: its hash in whole numbers, its words byte by byte, when it sorts."""

from importlib import import_module

import numpy as np
import pytest
import torch

from labelgap.select.distinct import _bytes, _equal, _hashes, differing, distinct

module = import_module("labelgap.select.distinct")
ALL = slice(None)


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def hashed(words):
    """The same in Python's whole numbers, with the published constants of SplitMix64."""
    total = 0
    for i, word in enumerate(words, 1):
        place = i * 0x9E3779B97F4A7C15 % 2**64
        place = (place ^ place >> 30) * 0xBF58476D1CE4E5B9 % 2**64 | 1
        mixed = (word ^ word >> 32) * place % 2**64
        total += mixed ^ mixed >> 29
    return total % 2**64


@pytest.mark.parametrize("width", [1, 2, 7])
def test_the_hash_is_a_sum_of_mixed_words_modulo_a_power_of_two(width):
    words = np.random.default_rng(0).integers(0, 2**64, (20, width), dtype=np.uint64)
    words[3], words[4] = 0, 2**64 - 1
    assert _hashes(words).tolist() == [hashed(row) for row in words.tolist()]


@pytest.mark.parametrize(
    ("widths", "dtype"),
    [((9,), torch.uint8), ((18,), torch.uint8), ((8,), torch.uint8), ((3,), torch.float32),
     ((2,), torch.float32), ((1, 3), torch.float32), ((5, 11), torch.uint8), ((3, 1), torch.int16),
     ((1,), torch.float64)],
)  # fmt: skip
def test_rows_are_words_of_eight_bytes_the_last_filled_up_with_zeros(widths, dtype):
    arrays = [(100 * normal(6, w, seed=w)).to(dtype) for w in widths]
    expected = []
    for i in range(6):
        row = b"".join(a[i].numpy().tobytes() for a in arrays)
        row += bytes(-len(row) % 8)
        expected.append([int.from_bytes(row[j : j + 8], "little") for j in range(0, len(row), 8)])
    assert _bytes(arrays, ALL).tolist() == expected
    at = np.array([4, 0, 4])
    assert _bytes(arrays, at).tolist() == [expected[i] for i in at]
    assert _bytes(arrays, slice(1, 3)).tolist() == expected[1:3]


def test_zeros_of_both_signs_are_the_same_words_in_every_type():
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        words = _bytes([torch.tensor([[0.0, 1.5], [-0.0, 1.5]], dtype=dtype)], ALL)
        assert words[0].tolist() == words[1].tolist()


@pytest.mark.parametrize("rows", [2, 3, 4096])
def test_one_row_that_differs_is_found_wherever_it_is(rows, monkeypatch):
    monkeypatch.setattr(module, "ROWS", rows)
    z = torch.arange(7.0)[:, None].repeat(2, 1)  # rows 7 to 13 are copies of 0 to 6
    like = np.tile(np.arange(7), 2)
    assert _equal([z], like)
    for i in range(7, 14):
        other = z.clone()
        other[i] += 0.5
        assert not _equal([other], like)


def test_rows_are_sorted_only_where_one_hash_is_of_two_rows(monkeypatch):
    sort, sorted_ = module._sorted, []
    monkeypatch.setattr(module, "_sorted", lambda arrays: sorted_.append(1) or sort(arrays))
    z = normal(30, 3)
    assert not distinct(z).copies
    assert len(distinct(z.repeat(2, 1))) == 30
    assert not sorted_
    monkeypatch.setattr(module, "_hashes", lambda words: words[:, 0] * np.uint64(0))
    assert len(distinct(z.repeat(2, 1))) == 30
    assert sorted_


@pytest.mark.parametrize("block", [1, 7, 512])
def test_rows_are_hashed_a_block_at_a_time(block, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", block)
    sizes, hashes = [], module._hashes
    monkeypatch.setattr(module, "_hashes", lambda words: sizes.append(len(words)) or hashes(words))
    found = distinct(normal(10, 3).repeat(2, 1))
    assert found.first.tolist() == list(range(10))
    assert sizes == [min(block, 20 - i) for i in range(0, 20, block)]


@pytest.mark.parametrize(("width", "equal", "different"), [(64, [32], [32]), (65, [16, 33], [16])])
def test_of_wide_rows_the_leading_columns_are_looked_at_first(width, equal, different, monkeypatch):
    """Words looked at: rows equal in the first 32 columns need a second look, at all of them."""
    widths, hashes = [], module._hashes
    monkeypatch.setattr(
        module, "_hashes", lambda words: widths.append(words.shape[1]) or hashes(words)
    )
    z = torch.zeros(5, width)
    for column, words in ((32, equal), (31, different)):
        widths.clear()
        z[:, column] = torch.arange(5.0)
        found = distinct(z)
        assert found.first.tolist() == found.inverse.tolist() == list(range(5))
        assert found.counts.tolist() == [1] * 5
        assert widths == words


def test_equal_draws_keep_the_order_of_the_items():
    z, ties = torch.zeros(100, 1), np.random.default_rng(0).integers(0, 3, 100).astype(float)
    order = sorted(range(100), key=lambda i: ties[i])
    found = distinct(z, ties=ties)
    assert found.first.tolist() == order[:1]
    assert found.filled(np.array([0]), 100, ties).tolist() == order
    new, spare = differing(torch.ones(1, 1), z, ties)
    assert [*new.tolist(), *spare.tolist()] == order


def test_types_are_those_that_are_promised():
    for z in (normal(4, 2).repeat(2, 1), normal(4, 2), normal(0, 2)):
        found = distinct(z)
        for x in (found.first, found.inverse, found.counts, found.others()):
            assert x.dtype == np.int64
        assert found.rows.tolist() == found.first.tolist()
