"""Whatever a file does to the decoder, it is quarantined, and the rest of the folder goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import bad_decoders
import pytest
from mutated import seeds
from PIL import Image
from small_project import make_images
from waiting import PATIENCE, until

from labelgap.data import apart, decoders
from labelgap.data.decoders import Decoders
from labelgap.project.exchange.begin import begin
from labelgap.project.exchange.shown import original
from labelgap.project.images import look
from labelgap.project.keep.doctor import repack
from labelgap.project.keep.store import Project

FAULTS = {
    "b-crash.png": (b"CRASH", "damaged", "SIGSEGV"),
    "c-hang.png": (b"HANG", "damaged", "longer than 2 s"),
    "d-memory.png": (b"MEMORY", "too large", "MemoryError"),
    "e-odd.png": (b"ODD", "damaged", "RuntimeWarning: a type that nobody expects"),
}


@pytest.fixture(autouse=True)
def pool(monkeypatch):
    made = Decoders(2, seconds=2.0)
    monkeypatch.setattr(decoders, "_shared", made)
    monkeypatch.setattr(look, "seen", bad_decoders.seen)
    for name in ("decode", "picture"):
        monkeypatch.setattr(apart, name, getattr(bad_decoders, name))
    yield made
    made.stop()


@pytest.fixture
def folder(tmp_path):
    """Six good images, and between them one of each fault."""
    folder = tmp_path / "images"
    make_images(folder, 6)
    good = (folder / "im0000.png").read_bytes()
    for name, (word, _, _) in FAULTS.items():
        (folder / name).write_bytes(good + word)
    return folder


def quarantined(project):
    return {f.path: (f.reason, f.detail) for f in project.items.files("quarantined")}


def test_each_fault_is_quarantined_and_the_rest_goes_on(folder):
    begun = begin(folder, classes=("a", "b"))
    with begun.project as project:
        assert project.items.count() == begun.report.added == 6
        found = quarantined(project)
    assert found.keys() == FAULTS.keys()
    for name, (_, reason, detail) in FAULTS.items():
        assert found[name][0] == reason
        assert detail in found[name][1]


def test_add_looks_again_and_takes_what_is_mended(folder):
    begin(folder, classes=("a", "b")).project.close()
    Image.new("RGB", (12, 12), (1, 2, 3)).save(folder / "c-hang.png")
    make_images(folder / "more", 2, seed=5)
    (folder / "more" / "x.png").write_bytes((folder / "im0001.png").read_bytes() + b"CRASH")
    with Project.open(folder) as project:
        report = project.add()
        assert report.added == 3
        assert quarantined(project).keys() == FAULTS.keys() - {"c-hang.png"} | {"more/x.png"}


def test_the_page_shows_what_is_packed_where_the_file_hangs(project_of, monkeypatch):
    with project_of as project:
        item = project.items.get(0)
        assert original(project, item, 50) is not None
        monkeypatch.setattr(type(item), "has_content", lambda self, data: True)
        (project.root / item.path).write_bytes(b"HANG")
        assert original(project, item, 50) is None


def test_repacking_names_what_cannot_be_decoded_and_packs_the_rest(project_of, monkeypatch):
    with project_of as project:
        item = project.items.get(2)
        monkeypatch.setattr(type(item), "has_content", lambda self, data: True)
        (project.root / item.path).write_bytes(b"CRASH")
        before = project.pixels.open(6).copy()
        project.pixels.file.unlink()
        assert repack(project) == (6, [item.path])
        after = project.pixels.open(6)
        assert not after[2].any()
        assert (after[[0, 1, 3, 4, 5]] == before[[0, 1, 3, 4, 5]]).all()


@pytest.fixture
def project_of(tmp_path):
    make_images(tmp_path / "good", 6)
    return begin(tmp_path / "good", classes=("a", "b")).project


def test_a_damaged_image_of_each_format_is_quarantined_beside_a_good_one(tmp_path):
    """The file that stopped a whole folder was an AVIF: its decoder raises RuntimeError."""
    folder = tmp_path / "images"
    make_images(folder, 1)
    for name, files in seeds().items():
        data = files[0]
        bad = data.replace(b"iloc", b"xloc") if name == "AVIF" else data[: len(data) // 2]
        (folder / f"bad.{name.lower()}").write_bytes(bad)
    with begin(folder, classes=("a", "b")).project as project:
        assert project.items.count() == 1
        found = quarantined(project)
    assert {path.partition(".")[2].upper() for path in found} == set(seeds())
    assert all(reason in ("damaged", "truncated", "not an image") for reason, _ in found.values())
    assert all(detail for _, detail in found.values())


def test_ctrl_c_while_a_decoder_hangs_ends_everything_at_once(tmp_path):
    mark, program = tmp_path / "mark", tmp_path / "program.py"
    make_images(tmp_path / "images", 4)
    program.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import bad_decoders\n"
        "from labelgap.project.images import look\n"
        "look.seen = bad_decoders.seen_once_begun\n"
        "from labelgap.project.exchange.begin import begin\n"
        "from pathlib import Path\n"
        "begin(Path(sys.argv[2]), classes=('a', 'b'))\n"
    )
    (tmp_path / "images" / "hang.png").write_bytes(b"BEGUN" + str(mark).encode())
    tests = str(Path(bad_decoders.__file__).parent)
    process = subprocess.Popen(
        [sys.executable, str(program), tests, str(tmp_path / "images")],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    until(mark.exists)
    child = int(mark.read_text())
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE) != 0
    until(lambda: not Path(f"/proc/{child}").exists())
