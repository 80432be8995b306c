"""Bad inputs and what happens to each: images, manifests, requests."""

import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from small_project import CLASSES, image_of, make_images

from labelgap.core.errors import ConfigError, DataError, FolderError, LabelgapError, UnknownName
from labelgap.project.exchange.begin import begin
from labelgap.project.exchange.exchange import import_file
from labelgap.project.keep.store import Project


def encoded(image, format="PNG", **options):
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


def picture():
    return image_of(0, np.random.default_rng(5), side=40)


def bomb():
    """A PNG of a kilobyte that says it has 400 million pixels."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


# contents of bad.png (or the name given) -> the reason it is quarantined with
IMAGES = {
    "zero bytes": (b"", "zero bytes"),
    "text": (b"hello, world", "not an image"),
    "html": (b"<!doctype html><script>alert(1)</script>", "not an image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "not an image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "pickle": (b"\x80\x04cos\nsystem\n(S'true'\ntR.", "not an image"),
    "truncated png": (encoded(picture())[:-400], "truncated"),
    "truncated jpeg": (encoded(picture(), "JPEG")[:-200], "truncated"),
    "header only": (encoded(picture())[:40], "not an image"),
    "flipped byte": (flipped(encoded(picture())), "damaged"),
    "decompression bomb": (bomb(), "too large"),
    "random": (np.random.default_rng(0).bytes(3000), "not an image"),
}


@pytest.fixture
def good(tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 6)
    return folder


@pytest.mark.parametrize("name", IMAGES)
def test_bad_image_is_quarantined_with_its_reason(good, name):
    data, reason = IMAGES[name]
    (good / "bad.png").write_bytes(data)
    begun = begin(good, classes=CLASSES)
    with begun.project as project:
        assert project.items.count() == 6
        assert [(p, r) for p, r, _ in begun.report.quarantined] == [("bad.png", reason)]
        assert [f.path for f in project.items.files("quarantined")] == ["bad.png"]
        assert "bad.png" not in project.items.paths()


def special(kind, good, tmp_path):
    """Something strange called bad.png in the folder; returns the expected reason."""
    path = good / "bad.png"
    if kind == "link out":
        (tmp_path / "secret.png").write_bytes(encoded(picture()))
        path.symlink_to(tmp_path / "secret.png")
        return "outside the folder"
    if kind == "dangling link":
        path.symlink_to(good / "nothing.png")
        return "missing"
    if kind == "link to itself":
        path.symlink_to(path)
        return "unreadable"
    if kind == "named pipe":
        os.mkfifo(path)
        return "not an image"
    path.mkdir()
    return None


@pytest.mark.parametrize(
    "kind", ["link out", "dangling link", "link to itself", "named pipe", "folder"]
)
def test_what_is_no_file_is_never_read(good, tmp_path, kind):
    reason = special(kind, good, tmp_path)
    begun = begin(good, classes=CLASSES)
    with begun.project as project:
        assert project.items.count() == 6
        assert [r for _, r, _ in begun.report.quarantined] == ([reason] if reason else [])


def test_names_that_are_no_text_are_quarantined(good):
    path = os.fsencode(good) + b"/\xff\xfe.png"
    with open(path, "wb") as file:
        file.write(encoded(picture()))
    begun = begin(good, classes=CLASSES)
    with begun.project:
        assert begun.report.quarantined == [("\\xff\\xfe.png", "name is not valid text", "")]


def test_strange_names_are_fine(good):
    names = ["=cmd|'x'!A1.png", "a,b\"c'.png", "<b>.png", "日本 🐈.png", "-rf.png", "new\nline.png"]
    for i, name in enumerate(names):
        image_of(i % 3, np.random.default_rng(100 + i)).save(good / name, "PNG")
    with begin(good, classes=CLASSES).project as project:
        assert set(names) <= set(project.items.paths())


def orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def test_exif_rotation_is_applied_as_people_see_it(tmp_path):
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:10] = 255  # bright on top; orientation 3 turns it upside down
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(pixels).save(folder / "a.png", exif=orientation(3))
    Image.fromarray(pixels).save(folder / "b.png")
    with begin(folder, classes=CLASSES).project as project:
        turned, plain = project.pixels.open(2)
        assert turned[:10].max() == 0
        assert turned[10:].min() == 255
        assert plain[:10].min() == 255


def kinds():
    rgb = picture()
    wide = (np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40).astype(np.uint16)
    alpha = rgb.convert("RGBA")
    alpha.putalpha(0)
    frames = [Image.new("RGB", (40, 40), c) for c in ("red", "blue")]
    gif = io.BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    return {
        "16 bit": (encoded(Image.fromarray(wide)), "png", np.rint(wide / 257)),
        "cmyk": (encoded(rgb.convert("CMYK"), "JPEG", quality=100), "jpg", None),
        "palette": (encoded(rgb.convert("P")), "png", np.asarray(rgb.convert("P").convert("RGB"))),
        "transparent": (encoded(alpha), "png", np.full((40, 40, 3), 255)),
        "animated": (gif.getvalue(), "gif", np.asarray(frames[0])),
        "one bit": (encoded(rgb.convert("1")), "png", np.asarray(rgb.convert("1")) * 255),
        "grey": (encoded(rgb.convert("L")), "png", np.asarray(rgb.convert("L"))),
        "wrong suffix": (encoded(rgb), "jpg", np.asarray(rgb)),
    }


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_of_image_is_packed_as_it_looks(tmp_path, kind):
    data, suffix, expected = kinds()[kind]
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / f"a.{suffix}").write_bytes(data)
    with begin(folder, classes=CLASSES, image_size=40).project as project:
        row = np.asarray(project.pixels.open(1)[0]).astype(int)
    if expected is None:
        expected = np.asarray(picture())
        assert np.abs(row - expected).mean() < 25  # CMYK and JPEG lose some of the noise
        return
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, axis=2)
    np.testing.assert_array_equal(row, expected)


# name of the file, its contents -> the error and a word of its message
MANIFESTS = {
    "empty": ("m.csv", "", DataError, "empty"),
    "no path": ("m.csv", "scan,label\na.png,red\n", DataError, "no column names images"),
    "no such file": ("m.csv", "path,label\na.png,red\n", DataError, "none of 1 row names a file"),
    "no rows": ("m.csv", "path,label\n", DataError, "has no rows"),
    "an empty path": (
        "m.csv",
        "path,label\nim0000.png,red\n,red\n",
        DataError,
        "no path in line 3",
    ),
    "too few columns": ("m.csv", "path,label\nim0000.png\n", DataError, "line 2"),
    "too many columns": ("m.csv", "path,label\na,b,c\n", DataError, "line 2"),
    "unclosed quote": ("m.csv", 'path,label\n"im0000.png,red\n', DataError, "m.csv"),
    "column twice": ("m.csv", "path,path\na,b\n", DataError, "twice"),
    "zero bytes": ("m.csv", "path,label\n\0,red\n", DataError, "zero bytes"),
    "unknown class": ("m.csv", "path,label\nim0000.png,rde\n", UnknownName, "red"),
    "two labels": ("m.csv", "path,label\nim0000.png,red\nim0000.png,blue\n", DataError, "'blue'"),
    "not json": ("m.jsonl", "{'path': 1}\n", DataError, "line 1"),
    "json list": ("m.jsonl", "[1, 2]\n", DataError, "object"),
    "json label": ("m.jsonl", '{"path": "im0000.png", "label": {"a": 1}}\n', DataError, "line 1"),
    "deep json": ("m.jsonl", "[" * 100_000 + "\n", DataError, "line 1"),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_bad_manifest_is_refused_and_makes_no_project(good, name):
    file, text, error, word = MANIFESTS[name]
    (good / file).write_text(text)
    with pytest.raises(error) as raised:
        begin(good, classes=CLASSES, manifest=good / file)
    assert word in str(raised.value)
    assert not (good / ".labelgap").exists()


def test_a_manifest_that_is_no_text_is_refused(good):
    (good / "m.csv").write_bytes(b"path,label\n\xff\xfe\x00,red\n")
    with pytest.raises(DataError, match=r"zero bytes.*UTF-8"):
        begin(good, classes=CLASSES, manifest=good / "m.csv")


def test_paths_of_a_manifest_cannot_leave_the_folder(good, tmp_path):
    (tmp_path / "secret.png").write_bytes(encoded(picture()))
    rows = ["../secret.png", "a/../../secret.png", str(tmp_path / "secret.png"), "gone.png"]
    (good / "m.csv").write_text(
        "path,label\nim0000.png,red\n" + "".join(f"{r},red\n" for r in rows)
    )
    begun = begin(good, classes=CLASSES, manifest=good / "m.csv")
    with begun.project as project:
        assert list(project.items.paths()) == ["im0000.png"]
        reasons = sorted(r for _, r, _ in begun.report.quarantined)
        assert reasons == ["missing", "outside the folder", "outside the folder"] + [
            "outside the folder"
        ] * (len(begun.report.quarantined) - 3)
        assert project.ledger.labels == {0: 0}


CLASS_LISTS = {
    "none": ([], ConfigError),
    "empty name": (["a", " "], ConfigError),
    "repeated": (["a", "b", "a"], ConfigError),
    "same but for case": (["Cat", "cat"], ConfigError),
    "control characters": (["a\nb"], ConfigError),
    "too long": (["x" * 300], ConfigError),
}


@pytest.mark.parametrize("name", CLASS_LISTS)
def test_bad_classes_are_refused(good, name):
    classes, error = CLASS_LISTS[name]
    with pytest.raises(error):
        begin(good, classes=classes)
    assert not (good / ".labelgap").exists()


def test_bad_folders_and_settings_are_refused(tmp_path, good):
    with pytest.raises(FolderError, match="not a folder"):
        begin(tmp_path / "nowhere", classes=CLASSES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        begin(tmp_path / "empty", classes=CLASSES)
    with pytest.raises(UnknownName, match="daal"):
        begin(good, classes=CLASSES, method="dall")
    with pytest.raises(ConfigError, match="classes are not known"):
        begin(good)
    with pytest.raises(FolderError, match="no labelling project"):
        Project.open(good)
    begin(good, classes=CLASSES).project.close()
    with pytest.raises(FolderError, match="has a project already"):
        begin(good, classes=("cat", "dog"))
    (good / ".labelgap" / "project.json").write_text("{")
    with pytest.raises(FolderError, match="cannot be read"):
        Project.open(good)
    (good / ".labelgap" / "project.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(FolderError, match="Update labelgap"):
        Project.open(good)


IMPORTS = {
    "no column": ("a,label\n1,2\n", "no column names images (found: 'a', 'label'"),
    "no label": ("path,b\nim0000.png,2\n", "no column of labels (found: 'path', 'b'"),
    "nothing matches": ("path,label\nx.png,red\n", "none of 1 row"),
    "ids that are no names": ("id,label\n0,red\n1,red\n", "(column 'id', the first: '0'"),
    "negative id": ("id,label\n-1,red\n", "none of 1 row"),
    "unknown class": ("path,label\nim0000.png,red\nim0001.png,rde\n", "line 3 ('rde')"),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_bad_imports_are_refused_whole(project, tmp_path, name):
    text, word = IMPORTS[name]
    (tmp_path / "labels.csv").write_text(text)
    before = project.ledger.seq
    with pytest.raises(LabelgapError) as raised:
        import_file(project, tmp_path / "labels.csv")
    assert word in str(raised.value)
    assert project.ledger.seq == before
