"""Whatever a file does to the decoder, it is quarantined, and the rest of the folder goes on."""

import bad_decoders
import pytest
from PIL import Image
from small_project import make_images

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
