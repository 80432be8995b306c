"""Labels to CVAT and back: "CVAT for images 1.1"."""

from xml.etree import ElementTree

import pytest
from small_project import CLASSES, make_images

from labelgap.core.errors import DataError
from labelgap.project.exchange.begin import begin
from labelgap.project.exchange.cvat import write_cvat
from labelgap.project.exchange.exchange import NONE_LABEL, import_file
from labelgap.project.exchange.export import export, label_rows


@pytest.fixture
def labelled(project):
    for i in range(12):
        project.ledger.answer(i, i % 3, person="anna")
    project.ledger.answer(12, -1, person="anna")
    return project


def test_the_file_is_what_cvat_reads(labelled, tmp_path):
    """The elements and attributes of CVAT's documented format."""
    assert export(labelled, tmp_path / "l.xml", "cvat") == 13
    root = ElementTree.parse(tmp_path / "l.xml").getroot()
    assert root.tag == "annotations"
    assert root.findtext("version") == "1.1"
    names = [label.findtext("name") for label in root.iterfind("meta/task/labels/label")]
    assert names == [*CLASSES, NONE_LABEL]
    images = root.findall("image")
    assert [image.get("id") for image in images] == [str(i) for i in range(13)]
    for image in images:
        item = next(i for i in labelled.items.all() if i.path == image.get("name"))
        assert (image.get("width"), image.get("height")) == (str(item.width), str(item.height))
        (tag,) = image.findall("tag")
        label = labelled.ledger.labels[item.id]
        assert tag.get("label") == (CLASSES[label] if label >= 0 else NONE_LABEL)


def test_labels_come_back_into_another_project(labelled, tmp_path):
    export(labelled, tmp_path / "l.xml", "cvat")
    make_images(tmp_path / "other")
    with begin(tmp_path / "other", classes=CLASSES).project as other:
        assert import_file(other, tmp_path / "l.xml", "anna").stored == 13
        mine = {row["path"]: row["label"] for row in label_rows(labelled)}
        assert {row["path"]: row["label"] for row in label_rows(other)} == mine
        assert import_file(other, tmp_path / "l.xml", "anna").stored == 0


def test_names_are_escaped_and_what_xml_cannot_hold_is_refused(labelled, tmp_path):
    (row, *_) = label_rows(labelled)
    write_cvat(labelled, [{**row, "path": 'a<b>&"c.png'}], tmp_path / "l.xml")
    image = ElementTree.parse(tmp_path / "l.xml").getroot().find("image")
    assert image is not None
    assert image.get("name") == 'a<b>&"c.png'
    with pytest.raises(DataError, match="XML cannot hold") as said:
        write_cvat(labelled, [{**row, "path": "a\x01.png"}], tmp_path / "m.xml")
    assert "csv" in said.value.cure
    assert not (tmp_path / "m.xml").exists()
