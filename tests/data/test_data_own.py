"""Anybody's data: Parquet in the Hugging Face convention and folders of images."""

import data_files as files
import numpy as np
import pytest
from PIL import Image

from labelgap.data import Augment, load


def write_pair(folder, images, labels, **options):
    for split in ("train", "test"):
        files.write_parquet(folder / f"{split}.parquet", map(files.png, images), labels, **options)


@pytest.mark.parametrize("struct_column", [True, False])
@pytest.mark.parametrize("columns", [("image", "label"), ("img", "fine_label"), ("scan", "kind")])
def test_parquet_columns_are_found_by_type(tmp_path, columns, struct_column):
    images = files.pictures(9, 5, 7, 3)
    extra = {"text": ["x"] * 9, "weight": [0.5] * 9}
    write_pair(
        tmp_path,
        images,
        [0, 1, 2] * 3,
        image=columns[0],
        label=columns[1],
        struct_column=struct_column,
        extra=extra,
    )
    task = load(str(tmp_path))
    np.testing.assert_array_equal(task.train.inputs, images)
    np.testing.assert_array_equal(task.test.labels, [0, 1, 2] * 3)
    assert task.classes == ("0", "1", "2")
    assert task.input_shape == (5, 7, 3)


def test_parquet_class_names_come_from_the_metadata(tmp_path):
    write_pair(tmp_path, files.pictures(6, 4, 4, 1), [0, 1] * 3, names=["left", "right"])
    task = load(str(tmp_path))
    assert task.classes == ("left", "right")
    assert task.input_shape == (4, 4, 1)
    assert task.name == tmp_path.name


def test_parquet_shards_are_read_in_order(tmp_path):
    images, labels = files.pictures(1300, 3, 3, 1), np.arange(1300) % 4
    for i, part in enumerate(np.array_split(np.arange(1300), 3)):
        path = tmp_path / "data" / f"train-{i:05}-of-00003.parquet"
        files.write_parquet(path, [files.png(images[j]) for j in part], labels[part])
    test = tmp_path / "data" / "test-00000-of-00001.parquet"
    files.write_parquet(test, map(files.png, images), labels)
    task = load(str(tmp_path))
    np.testing.assert_array_equal(task.train.inputs, images)
    np.testing.assert_array_equal(task.train.labels, labels)
    np.testing.assert_array_equal(task.test.inputs, images)


@pytest.mark.parametrize("channels", [1, 3])
def test_folder_of_images_of_one_kind(tmp_path, channels):
    images = files.pictures(7, 12, 16, channels)
    files.write_class_folders(tmp_path, images)
    task = load(str(tmp_path))
    assert task.classes == ("ant", "bee", "cat")
    order = [0, 3, 6, 1, 4, 2, 5]  # by class, then by name
    np.testing.assert_array_equal(task.train.inputs, images[order])
    np.testing.assert_array_equal(task.train.labels, [0, 0, 0, 1, 1, 2, 2])
    assert task.augment == Augment(pad=1, flip=True)  # 12 // 8


def test_one_colour_image_makes_the_set_coloured(tmp_path):
    grey, colour = files.pictures(6, 8, 8, 1), files.pictures(1, 8, 8, 3)[0]
    files.write_class_folders(tmp_path, grey)
    files.write_image(tmp_path / "test" / "cat" / "zz.png", colour)
    task = load(str(tmp_path))
    assert task.input_shape == (8, 8, 3)
    np.testing.assert_array_equal(task.train.inputs[0], np.repeat(grey[0], 3, axis=2))
    np.testing.assert_array_equal(task.test.inputs[-1], colour)


def test_folder_leaves_out_what_is_no_image_and_goes_deep(tmp_path):
    files.write_class_folders(tmp_path, files.pictures(6, 8, 8, 1))
    (tmp_path / "train" / "ant" / "notes.txt").write_text("seen at noon")
    (tmp_path / "train" / "ant" / ".hidden.png").write_text("a resource fork")
    (tmp_path / "train" / ".cache").mkdir()
    files.write_image(tmp_path / "train" / "ant" / "2024" / "x.PNG", files.pictures(1, 8, 8, 1)[0])
    assert np.bincount(load(str(tmp_path)).train.labels).tolist() == [3, 2, 2]


def one(tmp_path, image, suffix="png", image_size=None, **options):
    """`image` through a folder of its own, next to plain images of the same size."""
    files.write_class_folders(tmp_path, files.pictures(6, 8, 8, 1))
    files.write_image(tmp_path / "train" / "ant" / f"0.{suffix}", image, **options)
    return load(str(tmp_path), image_size=image_size).train.inputs[0]


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    wide = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    got = one(tmp_path, Image.fromarray(wide))
    np.testing.assert_array_equal(got[..., 0], np.rint(wide / 257))


def test_transparency_lies_on_white(tmp_path):
    image = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    image.paste((10, 20, 30, 255), (0, 0, 4, 8))
    got = one(tmp_path, image)
    assert got[0, 0].tolist() == [10, 20, 30]
    assert got[0, 7].tolist() == [255, 255, 255]


def test_palette_cmyk_and_the_first_frame(tmp_path):
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    assert one(tmp_path / "p", red.convert("P"))[3, 3].tolist() == [255, 0, 0]
    assert np.abs(one(tmp_path / "c", red.convert("CMYK"), "jpg")[3, 3] - [254, 0, 0]).max() < 6
    blue = Image.new("RGB", (8, 8), (0, 0, 255))
    got = one(tmp_path / "g", red, "gif", save_all=True, append_images=[blue])
    assert got[3, 3].tolist() == [255, 0, 0]


def test_exif_orientation_is_applied(tmp_path):
    upright = np.zeros((8, 8), np.uint8)
    upright[:, :4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # stored upside down
    got = one(tmp_path, Image.fromarray(upright[::-1, ::-1].copy()), exif=exif)
    np.testing.assert_array_equal(got[..., 0], upright)


def test_image_size_keeps_the_centre_and_the_aspect(tmp_path):
    wide = np.zeros((64, 128, 1), np.uint8)
    wide[:, 32:96] = 200  # the square at the centre
    got = one(tmp_path, wide, image_size=16)
    assert got.shape == (16, 16, 1)
    assert np.all(got[:, 2:-2] == 200)


def test_image_size_is_antialiased(tmp_path):
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None]
    got = one(tmp_path, board, image_size=8)
    assert np.all(np.abs(got[2:-2, 2:-2].astype(int) - 127) <= 2), "picking pixels gives 0 or 255"


@pytest.mark.parametrize("size", [4, 16])
def test_built_in_sets_can_be_resized(tmp_path, size):
    files.write_svhn(tmp_path)
    plain, resized = load("svhn", root=tmp_path), load("svhn", root=tmp_path, image_size=size)
    assert resized.input_shape == (size, size, 3)
    np.testing.assert_array_equal(plain.train.labels, resized.train.labels)
    image = Image.fromarray(plain.train.inputs[5])
    expected = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resized.train.inputs[5], expected)


def test_a_jpeg_decoded_at_reduced_scale_looks_the_same(tmp_path):
    ramp = np.add.outer(np.arange(512), np.arange(512)) / 1022 * 255
    big = np.repeat(ramp[..., None], 3, axis=2).astype(np.uint8)
    got = one(tmp_path, big, "jpg", image_size=16, quality=95)
    expected = np.asarray(Image.fromarray(big).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.abs(got.astype(int) - expected).max() <= 6
