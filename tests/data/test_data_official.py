"""The official files of the built-in sets, in every form and at every place they are found."""

import pickle

import data_files as files
import numpy as np
import pytest
from torchvision.datasets import utils

from labelgap.core.errors import DataError, UnknownName
from labelgap.data import Augment, load, names


def same(split, images, labels):
    assert split.inputs.dtype == np.uint8
    assert split.labels.dtype == np.int64
    np.testing.assert_array_equal(split.inputs, images)
    np.testing.assert_array_equal(split.labels, labels)


def test_digits_are_all_there_once():
    from sklearn.datasets import load_digits

    task = load("digits")
    assert task.input_shape == (8, 8, 1)
    assert task.augment == Augment(pad=1, flip=False)
    both = np.concatenate([task.train.inputs, task.test.inputs])[..., 0]
    source = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, both)) == sorted(map(bytes, source))
    shares = np.bincount(task.test.labels) / np.bincount(load_digits().target)
    assert np.all(np.abs(shares - 0.25) < 0.01)
    assert task.fingerprint == load("digits").fingerprint


def test_digits_are_resized_in_memory(cache):
    assert load("digits", image_size=32).input_shape == (32, 32, 1)
    assert not cache.exists()


@pytest.mark.parametrize("place", [".", "fashion-mnist", "FashionMNIST/raw", "fashion_mnist"])
@pytest.mark.parametrize("zipped", [True, False])
def test_fashion_mnist_from_idx(tmp_path, place, zipped):
    truth = files.write_fashion(tmp_path / place, zipped)
    task = load("fashion-mnist", root=tmp_path)
    same(task.train, *truth["train"])
    same(task.test, *truth["t10k"])
    assert task.classes[0] == "T-shirt/top"
    assert task.augment == Augment(pad=4, flip=True)
    assert task.mean == pytest.approx([truth["train"][0].mean() / 255])
    assert task.std == pytest.approx([truth["train"][0].std() / 255])


def test_idx_with_a_dot_in_its_name(tmp_path):
    files.write_fashion(tmp_path, zipped=False)
    for path in tmp_path.glob("*-idx*"):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(load("fashion-mnist", root=tmp_path).train) == 30


CIFAR10 = {
    "python": (files.cifar10_python, "cifar-10-python.tar.gz", "cifar-10-batches-py"),
    "binary": (files.cifar10_binary, "cifar-10-binary.tar.gz", "cifar-10-batches-bin"),
}


@pytest.mark.parametrize("form", CIFAR10)
@pytest.mark.parametrize("place", ["tar", "tar in cifar10", "plain tar", "unpacked", "inside"])
def test_cifar10(tmp_path, form, place):
    batches = files.cifar10_batches()
    write, tar, inside = CIFAR10[form]
    root = tmp_path / "data"
    if place == "unpacked":
        files.write_files(root, write(batches))
    elif place == "inside":
        files.write_files(root, write(batches))
        root = root / inside
    elif place == "plain tar":
        files.write_tar(root / tar.removesuffix(".gz"), write(batches), "w")
    else:
        files.write_tar(root / ("cifar10" if "in" in place else ".") / tar, write(batches))
    task = load("cifar10", root=root)
    train = [batches[f"data_batch_{i}"] for i in range(1, 6)]
    same(task.train, *(np.concatenate(part) for part in zip(*train, strict=True)))
    same(task.test, *batches["test_batch"])
    assert list(task.classes) == files.CIFAR10_CLASSES


def test_cifar10_as_python_3_pickles_it(tmp_path):
    batches = files.cifar10_batches()
    for name, (images, labels) in batches.items():
        table = {b"data": files.planes(images), b"labels": [int(k) for k in labels]}
        for protocol in (2, 4):
            raw = pickle.dumps(table, protocol)
            files.write_files(tmp_path / str(protocol), {f"cifar-10-batches-py/{name}": raw})
    for protocol in ("2", "4"):
        task = load("cifar10", root=tmp_path / protocol)
        same(task.test, *batches["test_batch"])


@pytest.mark.parametrize("form", ["python", "binary"])
@pytest.mark.parametrize("packed", [True, False])
def test_cifar100_has_the_fine_labels(tmp_path, form, packed):
    splits = files.cifar100_splits()
    content = (files.cifar100_python if form == "python" else files.cifar100_binary)(splits)
    if packed:
        files.write_tar(tmp_path / f"cifar-100-{form}.tar.gz", content)
    else:
        files.write_files(tmp_path, content)
    task = load("cifar100", root=tmp_path)
    same(task.train, *splits["train"])
    same(task.test, *splits["test"])
    assert task.num_classes == 100
    assert list(task.classes) == sorted(task.classes)
    assert len(set(task.classes)) == 100


@pytest.mark.parametrize("place", [".", "svhn", "SVHN"])
def test_svhn_has_ten_as_zero_and_is_not_flipped(tmp_path, place):
    truth = files.write_svhn(tmp_path / place)
    task = load("svhn", root=tmp_path)
    same(task.train, *truth["train"])
    same(task.test, *truth["test"])
    assert task.augment == Augment(pad=4, flip=False)


@pytest.mark.parametrize(
    ("name", "image", "label"),
    [("cifar10", "img", "label"), ("svhn", "image", "label"), ("cifar100", "img", "fine_label")],
)
def test_built_in_sets_from_parquet(tmp_path, name, image, label):
    k = 100 if name == "cifar100" else 10
    images, labels = files.pictures(k, 32, 32, 3), np.arange(k)
    extra = {"coarse_label": [int(v) // 5 for v in labels]} if name == "cifar100" else None
    for split in ("train", "test"):
        path = tmp_path / name / "data" / f"{split}-00000-of-00001.parquet"
        files.write_parquet(
            path, map(files.png, images), labels, image=image, label=label, extra=extra
        )
    task = load(name, root=tmp_path)
    same(task.train, images, labels)


def test_a_set_is_found_in_the_cache_folder(cache):
    files.write_svhn(cache / "svhn")
    assert len(load("svhn").train) == 40


def test_root_comes_before_the_cache(tmp_path, cache):
    files.write_svhn(cache / "svhn", 40)
    files.write_svhn(tmp_path / "mine", 50)
    assert len(load("svhn", root=tmp_path / "mine").train) == 50


def test_all_forms_of_a_set_have_one_fingerprint(tmp_path):
    batches = files.cifar10_batches()
    prints = set()
    for form, (write, tar, _) in CIFAR10.items():
        files.write_tar(tmp_path / form / tar, write(batches))
        prints.add(load("cifar10", root=tmp_path / form).fingerprint)
    assert len(prints) == 1


def test_missing_files_say_where_and_how(tmp_path, cache):
    with pytest.raises(DataError, match="cifar-10-python") as caught:
        load("cifar10", root=tmp_path)
    for part in (str(tmp_path), str(cache), "--download", "--data-root", "train.parquet"):
        assert part in str(caught.value)


def test_a_root_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        load("svhn", root=tmp_path / "nowhere")


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'fashion-mnist'"):
        load("fashon-mnist")
    assert set(names()) == {"digits", "fashion-mnist", "cifar10", "cifar100", "svhn"}


def test_files_of_another_set_are_refused(tmp_path):
    images = files.pictures(10, 32, 32, 3)
    for split in ("train", "test"):
        files.write_parquet(
            tmp_path / f"{split}.parquet",
            map(files.png, images),
            range(10),
            names=files.CIFAR10_CLASSES,
        )
    assert len(load("cifar10", root=tmp_path).train) == 10
    with pytest.raises(DataError, match="its classes are airplane"):
        load("svhn", root=tmp_path)


def test_images_of_another_shape_are_refused(tmp_path):
    for split in ("train", "test"):
        images = files.pictures(10, 28, 28, 1)
        path = tmp_path / f"{split}.parquet"
        files.write_parquet(path, map(files.png, images), range(10))
    with pytest.raises(DataError, match="28×28"):
        load("svhn", root=tmp_path)
    assert load("fashion-mnist", root=tmp_path).input_shape == (28, 28, 1)


def test_colour_images_in_a_grey_set_are_refused(tmp_path):
    for split in ("train", "test"):
        images = files.pictures(10, 28, 28, 3)
        path = tmp_path / f"{split}.parquet"
        files.write_parquet(path, map(files.png, images), range(10))
    with pytest.raises(DataError, match="has colours"):
        load("fashion-mnist", root=tmp_path)


class TestDownload:
    def test_goes_through_torchvisions_checked_download(self, tmp_path, monkeypatch):
        asked = []

        def fake(url, root, filename, md5):
            asked.append((filename, md5))
            if len(asked) == 2:
                files.write_svhn(type(tmp_path)(root))

        monkeypatch.setattr(utils, "download_url", fake)
        assert len(load("svhn", root=tmp_path / "new", download=True).train) == 40
        assert [name for name, _ in asked] == ["train_32x32.mat", "test_32x32.mat"]
        assert all(len(md5) == 32 for _, md5 in asked)
        load("svhn", root=tmp_path / "new", download=True)
        assert len(asked) == 2, "files that are there are not downloaded again"

    @pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "fashion-mnist"])
    def test_without_a_network_says_so(self, tmp_path, monkeypatch, name):
        def fail(*_):
            raise OSError("no network here")

        from labelgap.data.download import download

        monkeypatch.setattr(utils, "download_url", fail)
        with pytest.raises(DataError, match="no network here"):
            download(name, tmp_path)

    def test_without_torchvision_says_what_to_install(self, tmp_path, monkeypatch):
        import sys

        monkeypatch.setitem(sys.modules, "torchvision", None)
        with pytest.raises(DataError, match=r"torchvision.*brings it"):
            load("svhn", root=tmp_path, download=True)
