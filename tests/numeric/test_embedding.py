"""The embedding: frozen features, pixels, and SimCLR: its loss, its views, its cache."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sessions import digits, vectors
from sklearn.neighbors import KNeighborsClassifier
from tolerance import assert_rounded, through
from views import normal

from labelgap.bench.running.cell import task_of
from labelgap.core.config import TrainingSettings
from labelgap.core.device import machine
from labelgap.core.errors import ConfigError, DataError
from labelgap.core.streams import Streams
from labelgap.data.types import Augment, Split, Task
from labelgap.frozen import simclr
from labelgap.frozen.embedding import embedded, embedding
from labelgap.frozen.freeze import load_task_for
from labelgap.learn.learner import Learner
from labelgap.loop.oracle import Oracle
from labelgap.session.presets import resolve
from labelgap.session.session import Session

QUICK = simclr.Recipe(8, (1, 1), batch=64, lr=0.1, steps=30)


def learner(task, preset="smoke"):
    return Learner(task, TrainingSettings(), Streams(0), machine("cpu", "float32"), preset)


def test_vectors_are_their_own_embedding():
    task = vectors()
    found = embedding(task, learner(task))
    assert torch.equal(found, torch.from_numpy(task.train.inputs))


def test_small_images_are_standardised_pixels():
    task = digits()
    found = embedding(task, learner(task))
    pixels = task.train.inputs.reshape(len(task.train), -1).astype(np.float64)
    varying = pixels.std(axis=0) > 0
    mean, std = pixels.mean(axis=0)[varying], pixels.std(axis=0)[varying]
    expected = (pixels[:, varying] - mean) / std
    # Rounded are mean and deviation, the difference, which cancels, and the quotient.
    assert_rounded(found[:, torch.from_numpy(varying)], expected, 4, mean / std)
    assert (found[:, torch.from_numpy(~varying)] == 0).all()


def test_loss_of_two_views_is_written_out():
    z = normal(12, 5)
    u = (z / z.norm(dim=1, keepdim=True)).double().numpy()
    total = 0.0
    for i in range(12):
        weights = np.exp(u @ u[i] / 0.5)
        partner = (i + 6) % 12
        total -= np.log(weights[partner] / (weights.sum() - weights[i]))
    # A cosine's sums, the exponents of eleven pairs, their sum and its logarithm; an error of a
    # cosine counts twice, by the temperature.
    assert_rounded(simclr.two_views_loss(z, 0.5), total / 12, 3 * 5 + 11 + 12 + 4, 1 / 0.5)


@pytest.mark.parametrize("channels", [1, 3])
def test_views_differ_stay_in_range_and_repeat(channels):
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (16, 20, 20, channels), dtype=np.uint8))
    one, two, other = (simclr.view_of(images, True, np.random.default_rng(s)) for s in (1, 1, 2))
    assert one.shape == (16, channels, 20, 20)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert float(one.min()) >= 0
    assert float(one.max()) <= 1


def test_crops_are_not_mirrored_where_flips_change_the_class():
    ramp = torch.arange(0, 240, 12, dtype=torch.uint8).expand(20, 20)[None, :, :, None]
    images = ramp.repeat(64, 1, 1, 1)
    for flip in (False, True):
        x = simclr.view_of(images, flip, np.random.default_rng(0))
        falling = (x[:, 0, 10, 4] > x[:, 0, 10, 15]).float().mean()
        assert (falling > 0.3) if flip else (falling == 0)


def large(items=240):
    """20-pixel images of four dashes anywhere, all horizontal or all vertical, on noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, items)
    images = rng.integers(0, 120, (items, 20, 20, 1))
    for i, label in enumerate(labels):
        height, width = (1, 7) if label else (7, 1)
        for y, x in rng.integers(0, (21 - height, 21 - width), (4, 2)):
            images[i, y : y + height, x : x + width] = 255
    split = Split(images.astype(np.uint8), labels.astype(np.int64))
    return Task.of(
        "dashes", ("vertical", "horizontal"), split, split.subset(np.arange(8)), Augment()
    )


def test_is_learned_once_cached_by_content_and_seedless(tmp_path, monkeypatch):
    monkeypatch.setenv("LABELGAP_CACHE", str(tmp_path))
    task, state = large(), torch.get_rng_state()
    first = embedding(task, learner(task), QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (240, 16)
    (file,) = (tmp_path / "embeddings").glob("*.npy")
    stamp = file.stat().st_mtime_ns
    relabelled = replace(
        task, train=Split(task.train.inputs, 1 - task.train.labels), fingerprint="other"
    )
    assert torch.equal(embedding(relabelled, learner(relabelled), QUICK), first)
    assert file.stat().st_mtime_ns == stamp
    other = Split(task.train.inputs.copy(), task.train.labels)
    other.inputs[0] ^= 255
    embedding(replace(task, train=other), learner(task), QUICK)
    assert len(list((tmp_path / "embeddings").glob("*.npy"))) == 2
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match=file.name):
        embedding(task, learner(task), QUICK)


def test_both_splits_become_features_of_one_encoder(tmp_path, monkeypatch):
    """The test images of this task are its first training images."""
    monkeypatch.setenv("LABELGAP_CACHE", str(tmp_path))
    task = large()
    # Features that another encoder left behind are not mixed with this one's.
    embedding(task, learner(task), QUICK)
    (kept,) = (tmp_path / "embeddings").glob("*.npy")
    (tmp_path / "embeddings" / f"{kept.stem}.safetensors").unlink()
    np.save(kept, np.zeros((240, 16), dtype=np.float32))
    found = embedded(task, learner(task), QUICK)
    assert found.train.inputs.std() > 0
    # Other rows are in the batch, for which the products are cut differently.
    roundings = 2 * through(simclr.new_encoder(task, QUICK))
    exact = found.train.inputs[:8]
    assert_rounded(found.test.inputs, exact, roundings, np.abs(exact).max())
    assert found.train.labels is task.train.labels
    assert found.fingerprint != task.fingerprint
    again = embedded(task, learner(task), QUICK)
    assert again.fingerprint == found.fingerprint
    np.testing.assert_array_equal(again.test.inputs, found.test.inputs)
    np.testing.assert_array_equal(embedding(task, learner(task), QUICK), found.train.inputs)
    (encoder,) = (tmp_path / "embeddings").glob("*.safetensors")
    encoder.write_bytes(b"no tensors")
    (tmp_path / "embeddings" / f"{kept.stem}.npy").unlink()
    with pytest.raises(DataError, match=encoder.name):
        embedded(task, learner(task), QUICK)


@pytest.mark.parametrize("method", ["random", "typiclust", "probcover", "coreset"])
def test_an_adapter_on_the_embedding_is_the_same_for_every_method(method):
    task = digits()
    config = resolve(
        {
            "method": method,
            "network": {"name": "embedding", "freeze": True, "adapter": 32},
            "training": {"steps": 40},
        }
    )
    where = machine("cpu", "float32")
    frozen = load_task_for(config, task, where)
    session = Session(frozen, config, machine=where)
    session.tell(Oracle(frozen).answer(session.ask(40)))
    session.fit()
    assert session.evaluate().accuracy > 0.6
    assert len(session.ask(10)) == 10
    # What the classifier learns from is what the methods choose by.
    seen = embedding(task, learner(task))
    np.testing.assert_array_equal(frozen.train.inputs, seen)
    assert torch.equal(embedding(frozen, session.learner), seen)
    assert np.abs(frozen.test.inputs).max() < 50
    assert frozen.fingerprint != task.fingerprint
    cell = task_of(config, None, "cpu", development=100)  # the same in a grid, and in tuning
    np.testing.assert_array_equal(cell.train.inputs, frozen.train.inputs)
    assert len(cell.pool) == len(frozen.pool) - len(cell.test) == len(task.train) - 100


def test_frozen_features_and_near_duplicates_exclude_each_other():
    network = {"name": "embedding", "freeze": True}
    values = {"method": "random", "network": network, "data": {"redundancy": 1}}
    with pytest.raises(ConfigError, match=r"redundancy copies images.*--freeze"):
        load_task_for(resolve(values), digits(), machine("cpu", "float32"))
    loose = resolve({"method": "random", "network": {"name": "embedding"}})
    session = Session(digits(), loose, machine=machine("cpu", "float32"))
    session.tell(Oracle(session.task).answer(session.ask(20)))
    with pytest.raises(ConfigError, match=r"embedding.*--freeze"):
        session.fit()


def test_learns_what_views_share():
    """Neighbours agree on the dashes' direction, which those of an untrained encoder do not."""
    task = large()
    work, ids = learner(task), np.arange(240, dtype=np.int64)

    def agreement(rate):
        encoder = simclr.train(work, ids, replace(QUICK, steps=40, lr=rate), lambda n: None)
        x = torch.nn.functional.normalize(simclr.embed(work, encoder, task.train), dim=1).numpy()
        model = KNeighborsClassifier(5).fit(x[:160], task.train.labels[:160])
        return model.score(x[160:], task.train.labels[160:])

    learned = agreement(QUICK.lr)
    assert learned > 0.95
    # Untrained, and with batch-norm's statistics of the same images.
    assert learned > agreement(0.0) + 0.1
