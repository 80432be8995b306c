"""Pixels keep their meaning: what 12, 16 and 32 bits, signed and float values become."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from labelgap.core.errors import DataError
from labelgap.data import load
from labelgap.data.images import decode, picture, pixels
from labelgap.data.scales import TYPES, Scales, WideFound, chosen, kind_of, may_be_wide

R = np.random.default_rng(0)
SHARES = R.random((8, 8))
CLASSES = ("ant", "bee", "cat")


def encoded(values: np.ndarray, kind: str = "TIFF", **options: object) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(values).save(sink, kind, **options)
    return sink.getvalue()


def tiff(values: np.ndarray, form: int, photometric: int = 1) -> bytes:
    """A TIFF by hand, of types that Pillow reads and does not write.

    form: 1 unsigned, 2 signed, 3 float.
    """
    h, w = values.shape
    entries = [
        (256, 4, w), (257, 4, h), (258, 3, 8 * values.itemsize), (259, 3, 1),
        (262, 3, photometric), (273, 4, 0), (277, 3, 1), (278, 4, h),
        (279, 4, values.nbytes), (339, 3, form),
    ]  # fmt: skip
    start = 8 + 2 + 12 * len(entries) + 4
    out = b"II*\0" + (8).to_bytes(4, "little") + len(entries).to_bytes(2, "little")
    for tag, type_, value in entries:
        value = start if tag == 273 else value
        out += tag.to_bytes(2, "little") + type_.to_bytes(2, "little")
        out += (1).to_bytes(4, "little") + value.to_bytes(4, "little")
    return out + b"\0\0\0\0" + values.astype(values.dtype.newbyteorder("<")).tobytes()


CASES = {
    "8-bit signed": (tiff((SHARES * 255 - 128).astype(np.int8), 2), -128, 127),
    "16-bit": (encoded((SHARES * 65535).astype(np.uint16), "PNG"), 0, 65535),
    "16-bit signed": (tiff((SHARES * 65535 - 32768).astype(np.int16), 2), -32768, 32767),
    "32-bit": (tiff((SHARES * (2**32 - 1)).astype(np.uint32), 1), 0, 2**32 - 1),
    "32-bit signed": (
        tiff((SHARES * (2**32 - 1) - 2**31).astype(np.int32), 2), -(2**31), 2**31 - 1
    ),
    "float": (encoded(SHARES.astype(np.float32)), 0, 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_the_range_of_the_type(kind: str) -> None:
    """0 is the least value that the type has and 255 the greatest."""
    data, low, high = CASES[kind]
    with Image.open(io.BytesIO(data)) as image:
        assert kind_of(image) == kind
    assert may_be_wide(data[:32])
    assert TYPES[kind] == (low, high)
    got = decode(("x", data), 1, None, None)[..., 0]
    assert np.abs(got - 255 * SHARES).max() <= 1
    fixed = decode(("x", data), 3, None, None, Scales({kind: (float(low), float(high))}))
    np.testing.assert_array_equal(fixed, np.repeat(got[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ((SHARES * 4095).astype(np.uint16), 1),
        ((SHARES * 1000 - 500).astype(np.float32), 3),
        ((SHARES * 255).astype(np.float32), 3),
        ((SHARES * 0.01).astype(np.float32), 3),
        ((SHARES * 3000 - 1000).astype(np.int16), 2),
        ((SHARES * 65535).astype(np.uint32), 1),
    ],
)
def test_the_own_range_of_data_that_use_little_of_the_type(values: np.ndarray, form: int) -> None:
    got = decode(("x", tiff(values, form)), 1, None, None)[..., 0]
    low, high = np.percentile(values, [0.1, 99.9])
    wanted = 255 * ((values.astype(np.float64) - low) / (high - low)).clip(0, 1)
    assert np.abs(got - wanted).max() <= 0.501
    assert got.min() == 0
    assert got.max() == 255


def test_white_is_zero() -> None:
    values = (SHARES * 65535).astype(np.uint16)
    black, white = (decode(("x", tiff(values, 1, p)), 1, None, None) for p in (1, 0))
    np.testing.assert_array_equal(white, 255 - black)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_refused(bad: float) -> None:
    values = SHARES.astype(np.float32)
    values[3, 4] = bad
    for read in (lambda d: decode(("x.tif", d), 1, None, None), lambda d: picture(d, 20)):
        with pytest.raises(DataError, match="NaN or infinite pixels"):
            read(encoded(values))


def test_a_kind_without_a_range_is_told() -> None:
    with pytest.raises(WideFound, match=r"x: no range is chosen for 16-bit pixels"):
        decode(("x", CASES["16-bit"][0]), 1, None, None, Scales())
    eight = encoded((SHARES * 255).astype(np.uint8), "PNG")
    assert decode(("x", eight), 1, None, None, Scales()).max() > 200


@given(
    st.lists(st.integers(0, 65535), min_size=2, max_size=50),
    st.sampled_from(["auto", "own", "type"]),
)
def test_a_range_is_one(values: list[int], rule: str) -> None:
    """Never empty; the greater value never becomes the darker one."""
    array = np.array(values, dtype=np.uint16)
    low, high = chosen("16-bit", [array], rule)  # type: ignore[arg-type]
    assert low < high
    image = Image.fromarray(np.sort(array)[None])
    made = Scales({"16-bit": (low, high)}).bytes_of(image, "16-bit", np.asarray(image), "x")
    assert (np.diff(made.astype(int)) >= 0).all()


def test_what_is_no_wide_file() -> None:
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP"):
        assert not may_be_wide(encoded((SHARES * 255).astype(np.uint8), kind)[:32])
    assert not may_be_wide(b"")


# ------------------------------------------------------------------------------ data sets


def wide_set(folder: Path, values: np.ndarray) -> None:
    """Class folders of 16-bit images: 2 of each of three classes, and a test image of each."""
    for split, rows in (("train", range(6)), ("test", range(6, 9))):
        for row in rows:
            place = folder / split / CLASSES[row % 3]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values[row]).save(place / f"{row}.png")


def test_a_data_set_has_one_range_of_its_training_images(tmp_path, capsys):
    """So equal values stay equal: a dark image stays darker than a bright one."""
    values = (R.random((9, 8, 8)) * 4095).astype(np.uint16)
    values[0] //= 8
    values[6:] *= 2  # tests decide nothing
    wide_set(tmp_path, values)
    task = load(str(tmp_path))
    low, high = np.percentile(values[:6], [0.1, 99.9])
    order = [0, 3, 1, 4, 2, 5]
    for got, of in ((task.train.inputs, values[order]), (task.test.inputs, values[6:])):
        wanted = 255 * ((of.astype(np.float64) - low) / (high - low)).clip(0, 1)
        assert np.abs(got[..., 0] - wanted).max() <= 0.501
    said = capsys.readouterr().err
    assert re.search(
        r"16-bit pixels: [\d.]+ … [\d.]+ become 0 … 255 \(the data's own range\)", said
    )


def test_a_data_set_of_the_whole_type_and_a_float_among_them(tmp_path, capsys):
    values = (R.random((9, 8, 8)) * 65535).astype(np.uint16)
    wide_set(tmp_path, values)
    float_ = R.random((8, 8)).astype(np.float32)
    Image.fromarray(float_).save(tmp_path / "train" / CLASSES[0] / "z.tif")
    task = load(str(tmp_path))
    assert task.input_shape == (8, 8, 1)
    np.testing.assert_array_equal(task.train.inputs[0, ..., 0], np.rint(values[0] / 257))
    np.testing.assert_array_equal(task.train.inputs[2, ..., 0], np.rint(float_ * 255))
    said = capsys.readouterr().err
    assert "16-bit pixels: 0 … 65535 become 0 … 255 (the type's range)" in said
    assert "float pixels: 0 … 1 become 0 … 255 (the type's range)" in said


# ------------------------------------------------------------------ orientation and palettes


def turned(stored: np.ndarray, orientation: int) -> np.ndarray:
    """What a viewer shows, by the definition of the EXIF tag: where row 0 and column 0 are."""
    t = stored.transpose(1, 0, *range(2, stored.ndim))
    return {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1],
        5: t, 6: t[:, ::-1], 7: t[::-1, ::-1], 8: t[::-1],
    }[orientation]  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "wide PNG", "float TIFF"])
def test_all_orientations_pixel_by_pixel(kind: str, orientation: int) -> None:
    stored = R.integers(0, 256, (6, 10, 3), dtype=np.uint8)
    if kind == "wide PNG":
        stored = np.linspace(0, 65535, 60).round().astype(np.uint16).reshape(6, 10)
    elif kind == "float TIFF":
        stored = np.linspace(0, 1, 60, dtype=np.float32).reshape(6, 10)
    if kind.endswith("TIFF"):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        data = encoded(stored, "TIFF", tiffinfo=tags)
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        more = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(stored, kind.split()[-1], exif=exif, **more)
    wanted = turned(stored, orientation)
    if stored.dtype != np.uint8:
        scale = 257 if stored.dtype == np.uint16 else 1 / 255
        wanted = np.repeat(np.rint(wanted.astype(np.float64) / scale)[..., None], 3, axis=2)
    got = decode(("x", data), 3, None, None)
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(np.asarray(picture(data, 100)), wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_jpeg_that_is_decoded_small(orientation: int) -> None:
    """JPEG decodes at a half or less: four flat quarters stay where they belong."""
    colours = np.array([[(250, 0, 0), (0, 250, 0)], [(0, 0, 250), (250, 250, 0)]], dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = colours.repeat(64, axis=0).repeat(64, axis=1)
    got = decode(("x", encoded(stored, "JPEG", exif=exif)), 3, None, 16)
    wanted = turned(colours, orientation)
    assert np.abs(got[[4, 4, 12, 12], [4, 12, 4, 12]].astype(int) - wanted.reshape(4, 3)).max() < 12


def test_a_palette_with_transparency_has_its_colours() -> None:
    """Every entry of the palette by its own colour and opacity, over white."""
    palette = R.integers(0, 256, (16, 3), dtype=np.uint8)
    opacity = R.integers(0, 256, 16, dtype=np.uint8)
    opacity[:2] = 0, 255
    coloured = Image.new("P", (4, 4))
    coloured.putdata(list(range(16)))
    coloured.putpalette(palette.ravel().tolist())
    sink = io.BytesIO()
    coloured.save(sink, "PNG", transparency=opacity.tobytes())
    got = decode(("x", sink.getvalue()), 3, None, None).reshape(16, 3)
    share = opacity[:, None] / 255
    assert np.abs(got - (palette * share + 255 * (1 - share))).max() <= 1
    np.testing.assert_array_equal(got[0], [255, 255, 255])
    np.testing.assert_array_equal(got[1], palette[1])


def test_a_palette_with_one_transparent_colour() -> None:
    coloured = Image.new("P", (2, 1))
    coloured.putpalette([200, 10, 20, 30, 40, 250])
    coloured.putdata([0, 1])
    for kind in ("PNG", "GIF"):
        sink = io.BytesIO()
        coloured.save(sink, kind, transparency=0)
        got = decode(("x", sink.getvalue()), 3, None, None)
        assert got.tolist() == [[[255, 255, 255], [30, 40, 250]]]


def test_an_open_image_is_scaled_alike() -> None:
    wide = Image.fromarray((SHARES * 65535).astype(np.uint16))
    np.testing.assert_array_equal(
        pixels(wide, "x")[..., 0], np.rint(np.asarray(wide, dtype=np.float64) / 257)
    )
