"""Damaged, hostile and half-missing files: refused by name, with a cure, and nothing executed."""

import gzip
import os
import pickle

import data_files as files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgap.core.errors import DataError
from labelgap.data import load
from labelgap.data.pack import _OFFICIAL
from labelgap.data.unpickle import unpickle_table


def damaged_idx(raw):
    yield "truncated gzip", raw[: len(raw) // 2], "cannot be read"
    yield "flipped bit", raw[:-6] + bytes([raw[-6] ^ 1]) + raw[-5:], "cannot be read"
    plain = gzip.decompress(raw)
    yield "magic", b"\x00\x00\x0d" + plain[3:], "starts with 0x"
    yield "short", plain[:-1], "announces"
    yield "long", plain + b"\x00", "announces"
    yield "header", plain[:9], "ends inside its header"
    yield "empty", b"", "starts with 0x"
    yield "text", b"<html>404</html>", "starts with 0x"


@pytest.mark.parametrize("which", range(8))
def test_idx(tmp_path, which):
    files.write_fashion(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    _, raw, message = list(damaged_idx(path.read_bytes()))[which]
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message) as caught:
        load("fashion-mnist", root=tmp_path)
    assert str(path) in str(caught.value)
    assert caught.value.cure


def test_idx_labels_in_place_of_images(tmp_path):
    files.write_fashion(tmp_path)
    labels = (tmp_path / "train-labels-idx1-ubyte.gz").read_bytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(labels)
    with pytest.raises(DataError, match="this one with 0x00000801"):
        load("fashion-mnist", root=tmp_path)


def test_idx_labels_of_another_count(tmp_path):
    files.write_fashion(tmp_path)
    raw = files.idx_bytes(np.zeros(7, np.uint8))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(raw))
    with pytest.raises(DataError, match=r"30 images, .* 7 labels"):
        load("fashion-mnist", root=tmp_path)


def test_idx_one_of_four_missing(tmp_path):
    files.write_fashion(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="no t10k-labels-idx1-ubyte"):
        load("fashion-mnist", root=tmp_path)


def test_idx_label_out_of_range(tmp_path):
    files.write_fashion(tmp_path)
    labels = np.arange(30, dtype=np.uint8) % 10
    labels[17] = 10
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(files.idx_bytes(labels)))
    with pytest.raises(DataError, match=r"row 17 has label 10, outside 0\.\.9"):
        load("fashion-mnist", root=tmp_path)


def test_a_class_without_images(tmp_path):
    files.write_fashion(tmp_path)
    labels = np.arange(30, dtype=np.uint8) % 9
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(files.idx_bytes(labels)))
    with pytest.raises(DataError, match="class 'Ankle boot' has no image"):
        load("fashion-mnist", root=tmp_path)


# CIFAR ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("cut", [10, 1000, -100])
def test_cifar_tar_truncated(tmp_path, cut):
    path = tmp_path / "cifar-10-python.tar.gz"
    files.write_tar(path, files.cifar10_python(files.cifar10_batches()))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz"):
        load("cifar10", root=tmp_path)


def test_cifar_tar_without_a_batch(tmp_path):
    content = files.cifar10_python(files.cifar10_batches())
    del content["cifar-10-batches-py/data_batch_3"]
    files.write_tar(tmp_path / "cifar-10-python.tar.gz", content)
    with pytest.raises(DataError, match="has no file 'data_batch_3'"):
        load("cifar10", root=tmp_path)


def test_cifar_folder_without_a_batch(tmp_path):
    content = files.cifar10_python(files.cifar10_batches())
    del content["cifar-10-batches-py/data_batch_3"]
    files.write_files(tmp_path, content)
    with pytest.raises(DataError, match="not data_batch_3"):
        load("cifar10", root=tmp_path)


def test_a_file_of_official_name_and_size_needs_the_official_sum(tmp_path):
    content = files.cifar10_python(files.cifar10_batches())
    path = tmp_path / "cifar-10-python.tar.gz"
    files.write_tar(path, content)
    with path.open("ab") as file:  # gzip ignores zeros at the end
        file.truncate(_OFFICIAL[path.name][0])
    with pytest.raises(DataError, match="MD5 sum is not the published c58f30108f718f92721af3b95e7"):
        load("cifar10", root=tmp_path)


@pytest.mark.parametrize(
    "table",
    [
        {"labels": [0] * 10},
        {"labels": [0] * 10, "data": np.zeros((10, 3071), np.uint8)},
        {"labels": [0] * 9, "data": np.zeros((10, 3072), np.uint8)},
        {"labels": [0] * 10, "data": np.zeros((10, 3072), np.int8)},
        {"labels": [0.5] * 10, "data": np.zeros((10, 3072), np.uint8)},
        {"labels": [0] * 10, "data": np.zeros((10, 3072), np.float64)},
        {"labels": [0] * 10, "data": np.array([["a"]], dtype=object)},
        [1, 2, 3],
    ],
    ids=["no data", "columns", "labels", "signed", "fractions", "floats", "objects", "a list"],
)
def test_cifar_batch_of_wrong_contents(tmp_path, table):
    content = files.cifar10_python(files.cifar10_batches())
    content["cifar-10-batches-py/data_batch_2"] = pickle.dumps(table, 2)
    files.write_files(tmp_path, content)
    with pytest.raises(DataError, match="data_batch_2: not a batch of CIFAR images"):
        load("cifar10", root=tmp_path)


def test_cifar_binary_cut_inside_a_row(tmp_path):
    content = files.cifar10_binary(files.cifar10_batches())
    content["cifar-10-batches-bin/test_batch.bin"] += b"\x00"
    files.write_files(tmp_path, content)
    with pytest.raises(DataError, match=r"30731 bytes are not rows of 3073"):
        load("cifar10", root=tmp_path)


class Gadget:
    """Runs a command when a pickle of it is loaded by the ordinary unpickler."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_a_command_is_refused_and_not_run(tmp_path, protocol):
    witness = tmp_path / "executed"
    gadget = Gadget(os.system, f"touch {witness}")
    raw = pickle.dumps({"labels": [0] * 10, "data": gadget}, protocol)
    pickle.loads(raw)
    assert witness.exists(), "the gadget works"
    witness.unlink()
    content = files.cifar10_python(files.cifar10_batches())
    content["cifar-10-batches-py/data_batch_1"] = raw
    files.write_files(tmp_path, content)
    with pytest.raises(DataError, match="refused"):
        load("cifar10", root=tmp_path)
    assert not witness.exists()


@pytest.mark.parametrize(
    "gadget",
    [
        Gadget(eval, "1"),
        Gadget(getattr, "", "upper"),
        Gadget(np.fromfile, "/etc/hostname"),
        Gadget(np.load, "x.npy"),
        np.float64(1.0),
        np.array([object()], dtype=object),
        np.zeros(2, dtype=[("a", "u1")]),
    ],
)
def test_nothing_but_integer_arrays_comes_out_of_a_pickle(gadget):
    with pytest.raises(pickle.UnpicklingError):
        unpickle_table(pickle.dumps({"data": gadget}, 2))


@pytest.mark.parametrize(
    "stand_in", [b"c_codecs\nencode\n", b"cnumpy._core.multiarray\n_reconstruct\n"]
)
@pytest.mark.parametrize("state", [b"}U\x01aK\x01s", b"N}U\x0c__defaults__K\x01s\x86"])
def test_a_pickle_cannot_change_the_stand_ins(stand_in, state):
    with pytest.raises(pickle.UnpicklingError):
        unpickle_table(b"\x80\x02" + stand_in + state + b"b.")


_VALID = files.pickle2({"labels": [1, 2], "data": np.arange(12, dtype=np.uint8).reshape(2, 6)})


@given(st.integers(0, len(_VALID) - 1), st.integers(0, 255), st.integers(0, len(_VALID)))
@settings(max_examples=400, deadline=None)
def test_a_mutated_pickle_is_read_or_refused_and_nothing_else(place, byte, cut):
    raw = _VALID[:place] + bytes([byte]) + _VALID[place + 1 :]
    for candidate in (raw, raw[:cut]):
        try:
            table = unpickle_table(candidate)
        except pickle.UnpicklingError:
            continue
        assert isinstance(table, dict)


# SVHN -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("cut", [0, 60, 500, -50])
def test_svhn_truncated(tmp_path, cut):
    files.write_svhn(tmp_path)
    path = tmp_path / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"test_32x32\.mat"):
        load("svhn", root=tmp_path)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"X": np.zeros((32, 32, 3, 4), np.uint8)}, "no variable 'y'"),
        ({"y": np.ones((4, 1))}, "no variable 'X'"),
        ({"X": np.zeros((32, 32, 1, 4), np.uint8), "y": np.ones((4, 1))}, "not bytes 32×32×3"),
        ({"X": np.zeros((32, 32, 3, 4)), "y": np.ones((4, 1))}, "not bytes 32×32×3"),
        ({"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones((3, 1))}, "4 images, 3 labels"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1], [11]])}, "label 11"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[0], [1]])}, "row 0 has label 0"),
    ],
)
def test_svhn_of_wrong_contents(tmp_path, variables, message):
    from scipy.io import savemat

    files.write_svhn(tmp_path)
    savemat(tmp_path / "train_32x32.mat", variables)
    with pytest.raises(DataError, match=message):
        load("svhn", root=tmp_path)


def test_svhn_one_of_two_missing(tmp_path):
    files.write_svhn(tmp_path)
    (tmp_path / "train_32x32.mat").unlink()
    with pytest.raises(DataError, match=r"train_32x32\.mat is missing"):
        load("svhn", root=tmp_path)


# Parquet --------------------------------------------------------------------------------------
def write_pair(folder, **train):
    images = [files.png(image) for image in files.pictures(6, 5, 4, 3)]
    files.write_parquet(folder / "test.parquet", images, [0, 1, 2] * 2)
    settings = {"encoded": images, "labels": [0, 1, 2] * 2} | train
    files.write_parquet(folder / "train.parquet", **settings)
    return images


def test_parquet_damaged(tmp_path):
    write_pair(tmp_path)
    path = tmp_path / "train.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        load(str(tmp_path))


def test_parquet_label_outside_the_training_classes(tmp_path):
    write_pair(tmp_path, labels=[0, 1, 0, 1, 0, 1])
    with pytest.raises(DataError, match=r"test\.parquet: row 2 has label 2, outside 0\.\.1"):
        load(str(tmp_path))


def test_parquet_label_missing_or_negative(tmp_path):
    write_pair(tmp_path, labels=[0, 1, 2, None, 1, 2])
    with pytest.raises(DataError, match="row 3 has no label"):
        load(str(tmp_path))
    write_pair(tmp_path, labels=[0, 1, 2, 0, -1, 2])
    with pytest.raises(DataError, match="row 4 has no label"):
        load(str(tmp_path))


def test_parquet_image_missing_or_corrupt(tmp_path):
    images = write_pair(tmp_path)
    write_pair(tmp_path, encoded=[*images[:4], None, images[5]])
    with pytest.raises(DataError, match="row 4 has no image bytes"):
        load(str(tmp_path))
    write_pair(tmp_path, encoded=[*images[:4], images[4][:-60], images[5]])
    with pytest.raises(DataError, match=r"train\.parquet, row 4: not a readable image"):
        load(str(tmp_path))


def test_parquet_columns_that_do_not_decide(tmp_path):
    write_pair(tmp_path, label="a", extra={"b": [1] * 6})
    with pytest.raises(DataError, match="2 columns of integer labels"):
        load(str(tmp_path))


def test_parquet_split_or_shard_missing(tmp_path):
    write_pair(tmp_path)
    (tmp_path / "test.parquet").rename(tmp_path / "validation.parquet")
    with pytest.raises(DataError, match=r"has no test\.parquet"):
        load(str(tmp_path))
    (tmp_path / "train.parquet").rename(tmp_path / "train-00001-of-00002.parquet")
    with pytest.raises(DataError, match="of 2 train shards number 0 is missing"):
        load(str(tmp_path))


# Folders --------------------------------------------------------------------------------------
def test_folder_corrupt_image_is_named(tmp_path):
    files.write_class_folders(tmp_path, files.pictures(6, 8, 8, 3))
    path = tmp_path / "train" / "bee" / "001.png"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"bee/001\.png: not a readable image"):
        load(str(tmp_path))
    path.write_text("not an image")
    with pytest.raises(DataError, match=r"bee/001\.png: not a readable image"):
        load(str(tmp_path))


def test_folder_truncated_jpeg_is_damaged(tmp_path):
    files.write_class_folders(tmp_path, files.pictures(6, 64, 64, 3), suffix="jpg")
    path = tmp_path / "test" / "ant" / "000.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"ant/000\.jpg"):
        load(str(tmp_path))


def test_folder_bomb_is_refused_before_it_is_decoded(tmp_path):
    from PIL import Image

    files.write_class_folders(tmp_path, files.pictures(6, 8, 8, 1))
    bomb = Image.new("1", (9000, 9000))
    files.write_image(tmp_path / "train" / "bee" / "001.png", bomb)
    with pytest.raises(DataError, match=r"bee/001\.png: 9000×9000 is more than 50 Mpx"):
        load(str(tmp_path), image_size=8)


def test_folder_of_several_sizes_says_which_and_the_cure(tmp_path):
    files.write_class_folders(tmp_path, files.pictures(6, 8, 8, 3))
    files.write_image(tmp_path / "test" / "cat" / "odd.png", files.pictures(1, 9, 7, 3)[0])
    with pytest.raises(DataError, match=r"cat/odd\.png has 7×9 pixels, the first image 8×8") as e:
        load(str(tmp_path))
    assert "--image-size" in e.value.cure
    assert load(str(tmp_path), image_size=8).input_shape == (8, 8, 3)


def test_folder_layouts_that_are_incomplete(tmp_path):
    with pytest.raises(DataError, match=r"holds neither"):
        load(str(tmp_path))
    files.write_class_folders(tmp_path, files.pictures(6, 8, 8, 3))
    (tmp_path / "train" / "dog").mkdir()
    with pytest.raises(DataError, match="class 'dog' has no image"):
        load(str(tmp_path))
    (tmp_path / "train" / "dog").rmdir()
    (tmp_path / "test" / "eel").mkdir()
    with pytest.raises(DataError, match="test/eel is a class without training images"):
        load(str(tmp_path))
    (tmp_path / "test").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="has no folder 'test'"):
        load(str(tmp_path))


def test_folder_of_one_class(tmp_path):
    files.write_class_folders(tmp_path, files.pictures(6, 8, 8, 3), classes=("only",))
    with pytest.raises(DataError, match="only 1 class"):
        load(str(tmp_path))


def test_a_path_that_is_not_a_folder(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        load(str(tmp_path / "nothing"))
