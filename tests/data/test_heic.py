"""HEIC: read like any photograph, turned upright once, in the decoding process too."""

import io
import subprocess
import sys

import numpy as np
import pytest
from heic_files import heic_bytes
from PIL import Image, ImageOps
from pillow_heif import HeifFile

from labelgap.core.errors import DataError
from labelgap.data.apart import decode_apart, picture_apart
from labelgap.data.images import decode, picture
from labelgap.data.scales import ALONE
from labelgap.project.images.look import look, seen, size_of


def corner(width=48, height=32):
    """Dark, but for a bright red quarter at the top left: each of the eight turns shows."""
    pixels = np.full((height, width, 3), 40, np.uint8)
    pixels[: height // 2, : width // 2] = (230, 20, 20)
    return Image.fromarray(pixels)


def heic(image, orientation=1):
    """Lossless, with rotation as telephones write it: a box of the container, and EXIF's tag."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return heic_bytes(image, quality=-1, chroma=444, exif=exif.tobytes())


def expected(image, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    sink = io.BytesIO()
    image.save(sink, "PNG", exif=exif)
    return np.asarray(ImageOps.exif_transpose(Image.open(sink))).astype(int)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_once(orientation):
    data, upright = heic(corner(), orientation), expected(corner(), orientation)
    stored = HeifFile(io.BytesIO(data))[0]
    assert stored.info["exif"]  # both say it, and only one of them may be followed
    height, width, _ = upright.shape
    for pixels in (
        decode(("a.heic", data), 3, None, None),
        decode_apart(("a.heic", data), 3, None, None),
        np.asarray(picture(data, 1000)),
        np.asarray(picture_apart(data, 1000)),
    ):
        # YCbCr is rounded to whole numbers.
        assert np.abs(pixels.astype(int) - upright).max() <= 3
    assert size_of(data) == (width, height)
    here, apart = seen("a.heic", data, 3, 16), look("a.heic", data, 3, 16, ALONE)
    assert (here.width, here.height, here.reason) == (width, height, "")
    np.testing.assert_array_equal(here.pixels, apart.pixels)


def test_rotation_that_only_exif_names_is_not_followed():
    """The container's boxes decide (ISO/IEC 23008-12, 6.5.10); EXIF's tag is a copy."""
    tag = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01"  # number, type, count, value
    upright = heic(corner())
    assert upright.count(tag) == 1
    data = upright.replace(tag, tag[:-1] + b"\x06")
    pixels = decode(("a.heic", data), 3, None, None)
    assert np.abs(pixels.astype(int) - np.asarray(corner())).max() <= 3


def test_grey_and_transparent_ones_are_read_like_the_others():
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert decode(("a.heic", heic(clear)), 3, None, None).min() >= 250  # over white
    grey = Image.fromarray(np.full((16, 16), 90, np.uint8))
    assert np.abs(decode(("a.heic", heic(grey)), 3, None, None).astype(int) - 90).max() <= 3


def test_a_damaged_one_is_named_and_quarantined():
    data = heic(corner())
    with pytest.raises(DataError, match=r"a\.heic: not a readable image"):
        decode(("a.heic", data[: len(data) // 2]), 3, None, None)
    assert look("a.heic", data[: len(data) // 2], 3, 16, ALONE).reason
    assert look("a.heic", b"x", 3, 16, ALONE).reason == "not an image"


def test_it_is_read_whatever_its_name_says(tmp_path):
    (tmp_path / "a.jpg").write_bytes(heic(corner()))
    data = (tmp_path / "a.jpg").read_bytes()
    assert seen("a.jpg", data, 3, 16).reason == ""


def test_the_package_starts_without_the_decoder():
    code = "import sys, labelgap.cli; assert 'pi_heif' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
