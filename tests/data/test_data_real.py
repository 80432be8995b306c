"""The real files, where this machine has them."""

import os
from pathlib import Path

import numpy as np
import pytest

from labelgap.data import load

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
PARQUET = os.environ.get("LABELGAP_TEST_DATA")  # a folder that holds cifar10/train.parquet


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
@pytest.mark.parametrize("root", [None, DEBIAN, DEBIAN.parent])
def test_fashion_mnist_of_debian(root):
    task = load("fashion-mnist", root=root)
    assert (len(task.train), len(task.test), task.input_shape) == (60_000, 10_000, (28, 28, 1))
    assert np.bincount(task.train.labels).tolist() == [6000] * 10
    assert np.bincount(task.test.labels).tolist() == [1000] * 10
    # As published with the set, to four decimals.
    assert task.mean == pytest.approx([0.2860], abs=5e-5)
    assert task.std == pytest.approx([0.3530], abs=5e-5)


@pytest.mark.skipif(not PARQUET, reason="LABELGAP_TEST_DATA is not set")
def test_cifar10_from_parquet():
    task = load("cifar10", root=PARQUET)
    assert (len(task.train), len(task.test), task.input_shape) == (50_000, 10_000, (32, 32, 3))
    assert np.bincount(task.train.labels).tolist() == [5000] * 10
    assert np.bincount(task.test.labels).tolist() == [1000] * 10
    assert task.classes[:2] == ("airplane", "automobile")
    assert task.mean == pytest.approx([0.49140, 0.48216, 0.44653], abs=5e-6)  # five decimals
    assert load(str(Path(PARQUET) / "cifar10")).fingerprint == task.fingerprint
