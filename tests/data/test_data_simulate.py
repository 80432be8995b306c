"""Tasks and the pools made out of them: counts, laws, ids for ever."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerance import assert_rounded

from labelgap.core.errors import ConfigError, DataError
from labelgap.data import Augment, Split, Task
from labelgap.data.simulate import (
    development_split,
    imbalance,
    label_noise,
    open_set,
    redundancy,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def make_task(per_class=40, classes=5, seed=0):
    def split(n, s):
        labels = rng(s).permutation(np.arange(n * classes) % classes).astype(np.int64)
        images = rng(s + 1).integers(0, 256, (n * classes, 6, 6, 1), dtype=np.uint8)
        return Split(images, labels)

    names = tuple(f"class {k}" for k in range(classes))
    return Task.of("toy", names, split(per_class, seed), split(10, seed + 7), Augment(1, True))


def unchanged(before, after):
    """The inputs of every old id are where they were."""
    n = len(before.train)
    np.testing.assert_array_equal(after.train.inputs[:n], before.train.inputs)
    assert len(np.unique(after.pool)) == len(after.pool)
    assert np.all((after.pool >= 0) & (after.pool < len(after.train)))
    assert (after.mean, after.std) == (before.mean, before.std)


class TestTask:
    def test_statistics_and_pool(self):
        task = make_task()
        assert task.mean == pytest.approx([task.train.inputs.mean() / 255])
        assert task.std == pytest.approx([task.train.inputs.std() / 255])
        np.testing.assert_array_equal(task.pool, np.arange(200))
        assert (task.num_classes, task.input_shape, len(task.test)) == (5, (6, 6, 1), 50)

    def test_an_empty_pool_stays_empty(self):
        task = make_task()
        fields = {name: getattr(task, name) for name in task.__dataclass_fields__}
        assert len(Task(**fields | {"pool": np.empty(0, np.int64)}).pool) == 0

    def test_vectors(self):
        x = rng().normal(size=(60, 3)).astype(np.float32) * [1, 5, 0] + [0, 2, 4]
        split = Split(x.astype(np.float32), np.arange(60) % 2)
        task = Task.of("toy", ("a", "b"), split, split, Augment())
        assert not split.is_images
        assert task.input_shape == (3,)
        assert_rounded(task.mean, x.mean(0), 1, np.abs(x).mean(0), dtype="float32")
        assert task.std[2] == 1, "a constant feature is not divided by 0"

    @pytest.mark.parametrize("where", ["input", "label", "test", "name", "order"])
    def test_the_fingerprint_sees_every_change(self, where):
        task = make_task()
        x, y, names = task.train.inputs.copy(), task.train.labels.copy(), list(task.classes)
        test = task.test
        if where == "input":
            x[3, 2, 1, 0] ^= 1
        elif where == "label":
            y[5] = (y[5] + 1) % 5
        elif where == "test":
            test = test.subset(np.arange(49))
        elif where == "name":
            names[0] += "s"
        else:
            x, y = x[::-1], y[::-1]
        train = Split(np.ascontiguousarray(x), y.copy())
        other = Task.of("toy", tuple(names), train, test, task.augment)
        assert other.fingerprint != task.fingerprint
        assert make_task().fingerprint == task.fingerprint

    def test_labels_out_of_range_are_refused(self):
        task = make_task()
        for split, label in (("train", 5), ("train", -2), ("test", -1)):
            labels = getattr(task, split).labels.copy()
            labels[4] = label
            wrong = Split(getattr(task, split).inputs, labels)
            splits = {"train": task.train, "test": task.test, split: wrong}
            with pytest.raises(DataError, match=f"row 4 has label {label}"):
                Task.of("toy", task.classes, splits["train"], splits["test"], task.augment)

    def test_shapes_that_do_not_fit_are_refused(self):
        task = make_task()
        # Past the shape checks of the test run, which users do not have.
        split = object.__new__(Split)
        object.__setattr__(split, "inputs", np.zeros((60, 2), np.float32))
        object.__setattr__(split, "labels", np.zeros(61, np.int64))
        with pytest.raises(DataError, match="60 inputs but 61 labels"):
            split.__post_init__()
        small = Split(np.zeros((5, 4, 4, 1), np.uint8), np.zeros(5, np.int64))
        with pytest.raises(DataError, match="training items have shape"):
            Task.of("toy", task.classes, task.train, small, task.augment)


class TestImbalance:
    @given(st.floats(1, 60), st.integers(0, 9))
    @settings(max_examples=30, deadline=None)
    def test_alternate_classes_shrink(self, ratio, seed):
        task = make_task()
        got = imbalance(task, ratio, rng(seed))
        counts = np.bincount(got.train.labels[got.pool], minlength=5)
        few = max(1, round(40 / ratio))
        assert counts.tolist() == [few, 40, few, 40, few]
        unchanged(task, got)
        assert got.test is task.test
        assert np.all(np.diff(got.pool) > 0)

    def test_the_kept_ones_are_drawn_not_the_first(self):
        task = make_task()
        kept = [frozenset(imbalance(task, 10, rng(s)).pool.tolist()) for s in range(20)]
        assert len(set(kept)) == 20
        assert (
            imbalance(task, 10, rng(3)).pool.tolist() == imbalance(task, 10, rng(3)).pool.tolist()
        )
        zeros = np.flatnonzero(task.train.labels == 0)
        drawn = set().union(*(k & set(zeros.tolist()) for k in kept))
        assert len(drawn) > 20, "20 draws of 4 out of 40"

    def test_composes_with_a_development_split(self):
        task = development_split(make_task(), 50, rng())
        both = imbalance(task, 5, rng())
        assert set(both.pool) <= set(task.pool)

    @pytest.mark.parametrize("ratio", [0.5, 0, -1, float("nan"), float("inf")])
    def test_senseless_ratios(self, ratio):
        with pytest.raises(ConfigError, match="imbalance"):
            imbalance(make_task(), ratio, rng())


class TestDevelopmentSplit:
    def test_is_training_images_out_of_the_pool(self):
        task = make_task()
        dev = development_split(task, 60, rng())
        held = np.setdiff1d(task.pool, dev.pool)
        assert len(held) == len(dev.test) == 60
        np.testing.assert_array_equal(dev.test.inputs, task.train.inputs[held])
        np.testing.assert_array_equal(dev.test.labels, task.train.labels[held])
        unchanged(task, dev)
        assert dev.fingerprint != task.fingerprint

    def test_never_holds_a_stranger(self):
        dev = development_split(open_set(make_task(), 0.4, rng()), 60, rng(1))
        assert dev.test.labels.min() >= 0

    @pytest.mark.parametrize("n", [0, 200, 201])
    def test_leaves_something(self, n):
        with pytest.raises(ConfigError, match="development split"):
            development_split(make_task(), n, rng())


class TestOpenSet:
    @pytest.mark.parametrize(("share", "out"), [(0.2, 1), (0.4, 2), (0.6, 3)])
    def test_strangers_stay_in_the_pool_without_a_class(self, share, out):
        task = make_task()
        got = open_set(task, share, rng())
        unchanged(task, got)
        assert got.num_classes == 5 - out
        assert (got.train.labels == -1).sum() == 40 * out
        assert len(got.pool) == 200
        assert len(got.test) == 10 * (5 - out)
        inside = got.train.labels >= 0
        old = np.array(task.classes)[task.train.labels[inside]]
        new = np.array(got.classes)[got.train.labels[inside]]
        np.testing.assert_array_equal(old, new)

    @pytest.mark.parametrize("share", [0, 0.05, 0.8, 1])
    def test_needs_a_stranger_and_two_classes(self, share):
        with pytest.raises(ConfigError, match="Holding out"):
            open_set(make_task(), share, rng())


class TestLabelNoise:
    @given(st.integers(2, 9), st.floats(0, 1), st.integers(0, 9))
    @settings(max_examples=40, deadline=None)
    def test_rate_is_exact_and_wrong_means_another(self, classes, rate, seed):
        labels = np.arange(200) % classes
        labels[::10] = -1
        before = labels.copy()
        noisy = label_noise(labels, classes, rate, rng(seed))
        assert (noisy != labels).sum() == round(rate * 180)
        assert np.all(noisy[::10] == -1)
        assert np.all((noisy[labels >= 0] >= 0) & (noisy[labels >= 0] < classes))
        np.testing.assert_array_equal(labels, before)

    def test_the_other_classes_are_equally_likely(self):
        noisy = label_noise(np.zeros(30_000, np.int64), 4, 1.0, rng())
        counts = np.bincount(noisy, minlength=4)
        assert counts[0] == 0
        assert np.abs(counts[1:] - 10_000).max() < 5 * np.sqrt(10_000)

    @pytest.mark.parametrize(("classes", "rate"), [(1, 0.1), (3, -0.1), (3, 1.1)])
    def test_senseless_settings(self, classes, rate):
        with pytest.raises(ConfigError, match="Label noise"):
            label_noise(np.zeros(3, np.int64), classes, rate, rng())


class TestRedundancy:
    def test_copies_are_near_and_appended(self):
        task = make_task()
        got = redundancy(task, 2, rng(), shift=0, noise=2.0)
        unchanged(task, got)
        assert len(got.train) == len(got.pool) == 600
        for copy in (1, 2):
            block = slice(200 * copy, 200 * (copy + 1))
            difference = got.train.inputs[block].astype(float) - task.train.inputs
            inner = (task.train.inputs > 20) & (task.train.inputs < 235)  # no clipping there
            assert difference[inner].std() == pytest.approx(2.0, rel=0.1)
            np.testing.assert_array_equal(got.train.labels[block], task.train.labels)
        assert len(np.unique(got.train.inputs.reshape(600, -1), axis=0)) == 600

    def test_shift_moves_and_repeats_the_edge(self):
        task = make_task()
        got = redundancy(task, 1, rng(), shift=1, noise=0)
        places = set()
        for image, copy in zip(task.train.inputs, got.train.inputs[200:], strict=True):
            edged = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
            matches = [
                (y, x)
                for y in range(3)
                for x in range(3)
                if np.array_equal(edged[y : y + 6, x : x + 6], copy)
            ]
            assert len(matches) == 1
            places.add(matches[0])
        assert len(places) == 9

    def test_only_of_the_pool(self):
        task = imbalance(make_task(), 10, rng())
        got = redundancy(task, 1, rng())
        assert len(got.train) == 200 + len(task.pool)
        np.testing.assert_array_equal(got.train.labels[200:], task.train.labels[task.pool])

    def test_refusals(self):
        task = make_task()
        with pytest.raises(ConfigError, match="Redundancy of 0"):
            redundancy(task, 0, rng())
        split = Split(np.zeros((4, 2), np.float32), np.arange(4) % 2)
        vectors = Task.of("toy", ("a", "b"), split, split, Augment())
        with pytest.raises(ConfigError, match="vectors"):
            redundancy(vectors, 1, rng())
