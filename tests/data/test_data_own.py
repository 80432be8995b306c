"""Anybody's data: Parquet in the Hugging Face convention and folders of images."""

import data_files as files
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from labelgap.core.errors import DataError
from labelgap.data import Augment, load
from labelgap.data.contents import in_order
from labelgap.data.known import KNOWN


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


def test_folder_tells_what_it_leaves_out(tmp_path, capsys):
    files.write_class_folders(tmp_path, files.pictures(6, 8, 8, 1))
    for name in ("train/ant/a.cr2", "train/bee/b.cr2", "test/ant/c.mp4", "train/ant/notes.txt"):
        (tmp_path / name).write_text("x")
    load(str(tmp_path))
    assert capsys.readouterr().err.splitlines() == [
        "left out: 2 camera RAW files, e.g. train/ant/a.cr2",
        "left out: 1 video: test/ant/c.mp4",
    ]
    load(str(tmp_path))
    assert capsys.readouterr().err == ""  # it was packed before


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


def write_split(folder, name, labels, names=None):
    images = map(files.png, files.pictures(len(labels), 4, 4, 1, seed=len(labels)))
    files.write_parquet(folder / f"{name}.parquet", images, labels, names=names)


def test_class_names_in_another_order_are_mapped_by_name(tmp_path):
    """04-order: the test file's numbers were taken for the training file's."""
    write_split(tmp_path, "train", [0, 1, 2, 0, 1, 2], ["cat", "dog", "fox"])
    write_split(tmp_path, "test", [2, 1, 0], ["fox", "dog", " cat"])
    task = load(str(tmp_path))
    assert task.classes == ("cat", "dog", "fox")
    assert task.test.labels.tolist() == [0, 1, 2]


def test_shards_are_compared_too(tmp_path):
    write_split(tmp_path, "train-00000-of-00002", [0, 1], ["cat", "dog"])
    write_split(tmp_path, "train-00001-of-00002", [0, 1], ["fox", "cat"])
    write_split(tmp_path, "test-00000-of-00002", [0, 1], ["fox", "cat"])
    write_split(tmp_path, "test-00001-of-00002", [0], ["dog"])
    task = load(str(tmp_path))
    assert task.classes == ("cat", "dog", "fox")
    assert task.train.labels.tolist() == [0, 1, 2, 0]
    assert task.test.labels.tolist() == [2, 0, 1]


CONTRADICTIONS = {
    "a class is missing in the test file": (
        ["cat", "dog", "fox"], [0, 1, 2], ["dog", "fox"], [0, 1],
        r"test\.parquet: class 'cat' has no image",
    ),
    "a class is in the test file alone": (
        ["cat", "dog"], [0, 1], ["cat", "dog", "wolf"], [0, 1],
        r"test\.parquet: class 'wolf' is none of the training files' \(cat, dog\)",
    ),
    "one file names its classes": (
        ["cat", "dog"], [0, 1], None, [0, 1], r"test\.parquet: has numbers .*train\.parquet names",
    ),
    "more numbers than names": (
        ["cat", "dog"], [0, 2], ["cat", "dog"], [0, 1], r"train\.parquet: .*row 1 \(2, where 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_contradicting_class_names_are_refused(tmp_path, what):
    names, labels, test_names, test_labels, message = CONTRADICTIONS[what]
    write_split(tmp_path, "train", labels, names)
    write_split(tmp_path, "test", test_labels, test_names)
    with pytest.raises(DataError, match=message):
        load(str(tmp_path))


def test_a_bad_row_is_named_in_its_own_shard(tmp_path):
    write_split(tmp_path, "train-00000-of-00002", [0, 1])
    write_split(tmp_path, "train-00001-of-00002", [0, None])
    write_split(tmp_path, "test", [0, 1])
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet: row 1 has no label"):
        load(str(tmp_path))


@pytest.mark.parametrize("label", [2**62, 10**9, 10**5])
def test_a_label_of_a_million_classes_is_refused_before_memory_is_taken(tmp_path, label):
    write_split(tmp_path, "train", [0, 1, label])
    write_split(tmp_path, "test", [0, 1])
    with pytest.raises(DataError, match=rf"row 2 .*{label}"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.float64(), pa.uint8(), pa.dictionary(pa.int8(), pa.string())]
)
def test_labels_of_every_type(tmp_path, kind):
    for split in ("train", "test"):
        write_split(tmp_path, split, [0, 1, 10, 2])
        table = pq.read_table(tmp_path / f"{split}.parquet")
        label = pa.array([str(k) for k in (0, 1, 10, 2)])
        if not pa.types.is_dictionary(kind):
            label = label.cast(kind)
        else:
            label = label.dictionary_encode()
        table = table.set_column(table.column_names.index("label"), "label", label)
        keep = table.filter(pc.not_equal(label.cast(pa.string()).cast(pa.float64()), 10.0))
        pq.write_table(keep, tmp_path / f"{split}.parquet")
    task = load(str(tmp_path))
    assert task.classes == ("0", "1", "2")
    assert task.train.labels.tolist() == [0, 1, 2]


def test_folders_named_by_numbers_are_ordered_as_numbers(tmp_path):
    files.write_class_folders(tmp_path, files.pictures(6, 8, 8, 1), classes=("10", "9", "1"))
    assert load(str(tmp_path)).classes == ("1", "9", "10")


def test_folders_are_compared_without_regard_to_unicode_form(tmp_path):
    images = files.pictures(4, 8, 8, 1)
    files.write_class_folders(tmp_path, images, classes=("zürich", "bern"))
    (tmp_path / "test" / "zürich").rename(tmp_path / "test" / "zu\u0308rich")
    task = load(str(tmp_path))
    assert task.classes == ("bern", "zürich")
    assert task.test.labels.tolist() == [0, 0, 1, 1]


def test_a_folder_of_unlabelled_images_is_refused(tmp_path):
    files.write_class_folders(tmp_path, files.pictures(6, 8, 8, 1), classes=("a", "b", "unlabeled"))
    with pytest.raises(DataError, match="train/unlabeled: images without a label"):
        load(str(tmp_path))


ORDERS = [
    ("the same", ("cat", "dog"), [0, 1]),
    ("another order", ("dog", "cat"), [1, 0]),
    ("other spelling", ("Cat ", "D-O-G"), [0, 1]),
    ("another class", ("cat", "cow"), None),
    ("twice the same", ("cat", "cat"), None),
    ("one less", ("cat",), None),
]


@pytest.mark.parametrize(("what", "found", "outcome"), ORDERS, ids=[case[0] for case in ORDERS])
def test_the_names_of_a_built_in_set_are_found_in_any_order(what, found, outcome):
    assert in_order(found, ("cat", "dog")) == outcome


def test_a_misspelling_is_no_other_class():
    known = KNOWN["cifar100"].classes
    assert in_order(("aple", *known[1:]), known) == list(range(100))
    swapped = in_order((known[1], known[0], *known[2:]), known)
    assert swapped == [1, 0, *range(2, 100)]
