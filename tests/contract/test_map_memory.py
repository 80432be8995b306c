"""A query over a memory map keeps no copy of the features in memory, and chooses the same."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labelgap.arrays.choose import choose
from labelgap.core import scratch
from labelgap.core.errors import DiskError

FILE = Path(__file__).parents[2] / "benchmarks" / "scaling" / "memory.py"
ITEMS, WIDTH = 100_000, 512
COPY = ITEMS * WIDTH * 4
"""205 MB."""


def scaling() -> Any:
    spec = importlib.util.spec_from_file_location("scaling_memory", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for pools that the methods share."""
    return tmp_path_factory.mktemp("pools")


@pytest.mark.skipif(sys.platform != "linux", reason="RssAnon is Linux's")
@pytest.mark.parametrize(
    "method",
    ["daal", *(pytest.param(m, marks=pytest.mark.slow) for m in ("coreset", "badge", "alfa-mix"))],
)
def test_no_copy_of_the_features_is_in_memory(method: str, pools: Path) -> None:
    # Arrays from 16 MB on lie in files here, as those from 512 MB on do at a million items.
    facts = scaling().measure(method, ITEMS, WIDTH, 50, 1, False, 16 << 20, pools)
    assert len(set(facts["ids"])) == 50
    assert facts["bytes"] < 0.75 * COPY, facts


def test_scratch_in_a_file_holds_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    x, index = torch.randn(9000, 7), torch.randperm(9000)[:5000]
    inside = scratch.rows(x, index), scratch.joined(x, x[:3].double())
    monkeypatch.setattr(scratch, "ABOVE", 100)
    for one, other in zip(
        inside, (scratch.rows(x, index), scratch.joined(x, x[:3].double())), strict=True
    ):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype
    assert torch.equal(inside[0], x[index])


def test_a_disk_without_room_is_told_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from disks import small_file_system

    with small_file_system(tmp_path / "small", "400k") as small:
        monkeypatch.setenv("TMPDIR", str(small))
        monkeypatch.setattr(scratch, "ABOVE", 100)
        monkeypatch.setattr(scratch, "_folder", lambda: small)
        with pytest.raises(DiskError, match="could not be used for an array: the disk is full"):
            scratch.empty(1 << 20)


@pytest.mark.parametrize("method", ["coreset", "badge", "daal", "gap", "typiclust"])
def test_maps_choose_what_arrays_do(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    z = np.maximum(rng.normal(0, 1, (3000, 16)) + 2 * rng.integers(0, 2, (3000, 16)), 0)
    np.save(tmp_path / "z.npy", z.astype(np.float32))
    np.save(tmp_path / "half.npy", z.astype(np.float16))
    logits = (z[:, :4] * 2).astype(np.float32)
    known = rng.choice(3000, 40, replace=False)
    given = {"logits": logits, "labelled": known, "labels": logits[known].argmax(1)}
    inside = choose(60, z.astype(np.float32), method=method, **given).rows
    monkeypatch.setattr(scratch, "ABOVE", 1000)
    for mode in ("r", "c"):
        mapped = np.load(tmp_path / "z.npy", mmap_mode=mode)
        assert choose(60, mapped, method=method, **given).rows.tolist() == inside.tolist()
    half = np.load(tmp_path / "half.npy", mmap_mode="r")
    rounded = choose(60, z.astype(np.float16).astype(np.float32), method=method, **given)
    assert choose(60, half, method=method, **given).rows.tolist() == rounded.rows.tolist()
