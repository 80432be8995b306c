"""Tables as people have them, through `labelgap import` and `labelgap init --manifest`.

`READ`, `REFUSED`, `MANIFESTS` and `NAMES` are tables of (what, input, outcome); an input is the
name of the file and its contents.
"""

import io
import json
import os
import unicodedata
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from small_project import image_of

from labelgap.core.errors import ConfigError, DataError, LabelgapError
from labelgap.ledger.ledger import Ledger
from labelgap.project.exchange.begin import begin
from labelgap.project.exchange.exchange import COLUMNS, NONE_LABEL, import_file
from labelgap.project.images.items import Items
from labelgap.project.images.naming import Finder
from labelgap.project.images.reading import read_table
from labelgap.project.images.tables import write_table
from labelgap.project.keep.settings import check_classes
from labelgap.project.keep.store import Project

FILES = ("a.png", "b.png", "c.png", "d.png", "sub/e.png", "f.JPG", "zürich.png", "7.png")
NFD = unicodedata.normalize("NFD", "zürich.png")
AB = {"a.png": "cat", "b.png": "dog"}
A = {"a.png": "cat"}


def parquet(**columns):
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def cvat(*images):
    inside = "".join(f'<image id="{i}" name="{n}">{t}</image>' for i, (n, t) in enumerate(images))
    return f'<?xml version="1.0" encoding="utf-8"?><annotations>{inside}</annotations>'


def task(image, *choices, **more):
    results = [{"value": {"choices": [choice]}} for choice in choices]
    note = {"result": results, "was_cancelled": False} | more
    return {"id": 9, "data": {"image": image}, "annotations": [note]}


COCO = {
    "images": [{"id": 5, "file_name": "b.png"}, {"id": 0, "file_name": "a.png"}],
    "annotations": [{"image_id": 0, "category_id": 1}, {"image_id": 5, "category_id": 2}],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
}

READ = [
    ("commas", "l.csv", "path,label\na.png,cat\nb.png,dog\n", AB),
    ("semicolons, as European Excel", "l.csv", "path;label\na.png;cat\nb.png;dog\n", AB),
    ("semicolons with commas in a cell", "l.csv", "path;label;note\na.png;cat;x,y\n", A),
    ("tabs", "l.tsv", "path\tlabel\na.png\tcat\nb.png\tdog\n", AB),
    ("tabs in a file called csv", "l.csv", "path\tlabel\na.png\tcat\n", A),
    ("bars", "l.csv", "path|label\na.png|cat\n", A),
    ("a line sep=;", "l.csv", "sep=;\npath;label\na.png;cat\n", A),
    ("a line sep=,", "l.csv", "sep=,\r\npath,label\r\na.png,cat\r\nb.png,dog\r\n", AB),
    ("a line sep= with a tab", "l.csv", "sep=\t\npath\tlabel\na.png\tcat\n", A),
    ("ends of lines of Windows", "l.csv", "path,label\r\na.png,cat\r\nb.png,dog\r\n", AB),
    ("ends of lines of old Macs", "l.csv", "path,label\ra.png,cat\rb.png,dog\r", AB),
    ("UTF-8 with a mark", "l.csv", "\ufeffpath,label\na.png,cat\n", A),
    ("UTF-16", "l.csv", "path,label\na.png,cat\n".encode("utf-16"), A),
    ("UTF-16 of Excel's “Unicode text”", "l.txt",
     b"\xff\xfe" + "path\tlabel\r\na.png\tcat\r\n".encode("utf-16-le"), A),
    ("Latin-1", "l.csv", "path,label\nzürich.png,cat\n".encode("latin-1"), {"zürich.png": "cat"}),
    ("no header", "l.csv", "a.png,cat\nb.png,dog\n", AB),
    ("no header, the label first", "l.csv", "cat;a.png\ndog;b.png\n", AB),
    ("columns of pandas' index", "l.csv", ",path,label\n0,a.png,cat\n1,b.png,dog\n", AB),
    ("lines that end with a comma", "l.csv", "path,label,\na.png,cat,\nb.png,dog,\n", AB),
    ("such lines below a header without", "l.csv", "path,label\na.png,cat,\n", A),
    ("spaces around cells", "l.csv", "path , label \n a.png , cat \nb.png,dog\n", AB),
    ("columns in other letters", "l.csv", "File Name,LABEL\na.png,cat\n", A),
    ("file_name and label", "metadata.csv", "file_name,label\na.png,cat\n", A),
    ("filename and class", "l.csv", "filename,class\na.png,cat\n", A),
    ("image_path and category", "l.csv", "image_path,category\na.png,cat\n", A),
    ("Kaggle: id with stems", "l.csv", "id,label\na,cat\nb,dog\n", AB),
    ("Kaggle: Id with a number that is a stem", "l.csv", "Id,Category\n7,cat\n", {"7.png": "cat"}),
    ("Kaggle: image_id with names", "l.csv", "image_id,label\na.png,cat\n", A),
    ("an id beside a path is not looked at", "l.csv", "id,path,label\n7,a.png,cat\n", A),
    ("an export of before, with our number", "l.csv", "path,id,label\na.png,3,cat\n", A),
    ("Label Studio: CSV", "l.csv",
     "annotation_id,annotator,choice,created_at,id,image\n"
     "1,1,cat,2024,7,/data/upload/1/ab12cd34-a.png\n", A),
    ("Label Studio: JSON-MIN", "l.json",
     json.dumps([{"image": "/data/upload/1/ab12cd34-a.png", "id": 7, "choice": "cat"}]), A),
    ("Label Studio: JSON", "l.json", json.dumps([task("/data/upload/1/ab12cd34-a.png", "cat")]), A),
    ("Label Studio: a skipped task", "l.json",
     json.dumps([task("a.png", "cat"), task("b.png", "dog", was_cancelled=True)]), A),
    ("Label Studio: local files", "l.json",
     json.dumps([task("/data/local-files/?d=sub%2Fe.png", "cat")]), {"sub/e.png": "cat"}),
    ("CVAT: XML", "l.xml",
     cvat(("a.png", '<tag label="cat"/>'), ("b.png", '<tag label="dog"/>'), ("c.png", "")), AB),
    ("COCO", "l.json", json.dumps(COCO), AB),
    ("JSON lines", "l.jsonl",
     '{"path": "a.png", "label": "cat"}\n\n{"path": "b.png", "label": null}\n', A),
    ("JSON lines in a file called json", "l.json", '{"path": "a.png", "label": "cat"}\n', A),
    ("a list of JSON", "l.json", '[{"path": "a.png", "label": "cat"}]', A),
    ("Parquet", "l.parquet", parquet(path=["a.png", "b.png"], label=["cat", None]), A),
    ("paths of Windows", "l.csv", "path,label\nsub\\e.png,cat\n", {"sub/e.png": "cat"}),
    ("absolute paths of Windows", "l.csv",
     "path,label\nC:\\data\\sub\\e.png,cat\nC:\\data\\b.png,dog\n",
     {"sub/e.png": "cat", "b.png": "dog"}),
    ("absolute paths of another machine", "l.csv",
     "path,label\n/home/ann/set/sub/e.png,cat\n/home/ann/set/b.png,dog\n",
     {"sub/e.png": "cat", "b.png": "dog"}),
    ("addresses", "l.csv", "path,label\nhttps://example.org/x/a.png?v=1,cat\nb.png,dog\n", AB),
    ("names in Unicode's other form", "l.csv", f"path,label\n{NFD},cat\n", {"zürich.png": "cat"}),
    ("suffixes in other letters", "l.csv", "path,label\nf.jpg,cat\n", {"f.JPG": "cat"}),
    ("names without their folder", "l.csv", "path,label\ne.png,cat\n", {"sub/e.png": "cat"}),
    ("names with this folder", "l.csv", "path,label\nimages/a.png,cat\n", A),
    ("a dot before", "l.csv", "path,label\n./a.png,cat\nsub/../b.png,dog\n", AB),
    ("the same row twice", "l.csv", "path,label\na.png,cat\na.png,cat\nb.png,dog\n", AB),
    ("rows without a label", "l.csv",
     "path,label\na.png,cat\nb.png,nan\nc.png,NA\nd.png,unlabeled\n7.png,\n", A),
    ("quoted cells", "l.csv", 'path,label\n"a.png","cat"\n', A),
    ("an image that is not there", "l.csv", "path,label\na.png,cat\nnope.png,dog\n", A),
    ("a path that leads out", "l.csv", "path,label\n../x/b.png,dog\na.png,cat\n", A),
    ("columns path and image: path", "l.csv", "image,path,label\nb.png,a.png,cat\n", A),
    ("columns class and label: label", "l.csv", "path,class,label\na.png,dog,cat\n", A),
]  # fmt: skip

REFUSED = [
    ("nothing", "l.csv", "", "is empty"),
    ("no known columns", "l.csv", "x,y\n1,2\n", "no column names images (found: 'x', 'y'"),
    ("no column of images", "l.csv", "scan,label\n1,cat\n",
     "no column names images (found: 'scan'"),
    ("no column of labels", "l.csv", "path,cat,dog\na.png,1,0\n", "Name the one to use 'label'"),
    ("two columns of images", "l.csv", "image,filename,label\na.png,b.png,cat\n",
     "2 columns name images (image, filename). Name the one to use 'path'"),
    ("two columns of labels", "l.csv", "path,class,category\na.png,cat,dog\n",
     "2 columns have labels (class, category). Name the one to use 'label'"),
    ("numbers that are no names", "l.csv", "id,label\n0,cat\n1,dog\n",
     "none of 2 rows with a label names an image of this project (column 'id', the first: '0'"),
    ("spaces for separators", "l.csv", "a.png 0\nb.png 1\n", "no column"),
    ("no header, three columns", "l.csv", "a.png,cat,x\n", "first line names no columns"),
    ("two separators, no header", "l.csv", "1;2,3\n4;5,6\n", "separated by commas or semicolons"),
    ("rows of other lengths", "l.csv", "path,label\na.png\nb.png,dog\nc,d,e\n",
     "2 lines with another number of columns than the header's 2: line 2 (1), line 4 (3)"),
    ("an open quote", "l.csv", 'path,label\n"a.png,cat\n', "l.csv, line 2"),
    ("a column twice", "l.csv", "path,Path,label\na,b,c\n", "occurs twice"),
    ("bytes", "l.csv", b"path,label\n\0\1\2,cat\n", "zero bytes"),
    ("other bytes", "l.csv", b"\x89PNG\r\n\x1a\x08", "control character"),
    ("a spreadsheet", "l.xlsx", b"PK\3\4", "Save it as CSV"),
    ("damaged UTF-16", "l.csv", b"\xff\xfea", "damaged UTF-16"),
    ("damaged Parquet", "l.parquet", b"PAR1", "not a readable Parquet file"),
    ("damaged XML", "l.xml", "<annotations>", "no XML"),
    ("other XML", "l.xml", "<annotation><object/></annotation>", "expected CVAT's"),
    ("XML that defines entities", "l.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>',
     "document type"),
    ("two classes of one image, CVAT", "l.xml",
     cvat(("a.png", '<tag label="cat"/><tag label="dog"/>')), "image 1 (['cat', 'dog'])"),
    ("two classes of one image, Label Studio", "l.json",
     json.dumps([task("a.png", "cat", "dog")]), "object 1 (['cat', 'dog'])"),
    ("a list for a label", "l.jsonl", '{"path": "a.png", "label": ["cat"]}\n', "line 1 (['cat'])"),
    ("a list among names", "l.jsonl",
     '{"path": "a.png", "label": ["cat"]}\n{"path": "b.png", "label": "cat"}\n', "line 1 ("),
    ("a list in a cell", "l.csv", 'path,label\na.png,"[""cat"", ""dog""]"\n', "several values"),
    ("lines that are no JSON", "l.jsonl", "{'a': 1}\n[1]\n{}\n", "line 1 (no JSON: "),
    ("all such lines at once", "l.jsonl", "{\n" * 30, "line 20 ("),
    ("how many", "l.jsonl", "{\n" * 30, "… (30 in all)"),
    ("unknown classes, all rows", "l.csv", "path,label\na.png,cta\nb.png,dgo\n",
     "line 2 ('cta'), line 3 ('dgo')"),
    ("numbers where the classes are names", "l.csv", "path,label\na.png,0\n", "line 2 ('0')"),
    ("a number for a path", "l.jsonl", '{"path": true, "label": "cat"}\n', "path is no text"),
    ("paths of two folders of another machine", "l.csv",
     "path,label\n/x/train/a.png,cat\n/x/test/b.png,dog\n", "/x/test and /x/train"),
]  # fmt: skip


def ids(cases):
    return [case[0] for case in cases]


def pictures(folder, files=FILES):
    for i, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image_of(0, np.random.default_rng(i)).save(folder / name, "PNG")


def written(file, contents):
    file.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return file


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables") / "images"
    pictures(folder)
    return folder


@pytest.fixture
def pets(images, tmp_path):
    """The images of the module in a project of their own."""
    root = tmp_path / "images"
    root.mkdir()
    for path in images.rglob("*.*"):
        target = root / path.relative_to(images)
        target.parent.mkdir(exist_ok=True)
        target.hardlink_to(path)
    with begin(root, classes=("cat", "dog")).project as project:
        yield project


def said(project):
    labels = project.ledger.labels
    return {project.items.get(i).path: project.classes[k] for i, k in labels.items()}


@pytest.mark.parametrize(("what", "name", "contents", "outcome"), READ, ids=ids(READ))
def test_a_table_is_imported(pets, tmp_path, what, name, contents, outcome):
    import_file(pets, written(tmp_path / name, contents))
    assert said(pets) == outcome


@pytest.mark.parametrize(("what", "name", "contents", "outcome"), REFUSED, ids=ids(REFUSED))
def test_a_table_is_refused_and_nothing_is_stored(pets, tmp_path, what, name, contents, outcome):
    before = pets.ledger.seq
    with pytest.raises(LabelgapError) as raised:
        import_file(pets, written(tmp_path / name, contents))
    assert outcome in str(raised.value)
    assert raised.value.cure
    assert pets.ledger.seq == before


MANIFESTS = [case for case in READ if "Label Studio: a skipped" not in case[0]]


@pytest.mark.parametrize(("what", "name", "contents", "outcome"), MANIFESTS, ids=ids(MANIFESTS))
def test_a_manifest_is_read_as_an_import_is(images, tmp_path, what, name, contents, outcome):
    root = tmp_path / "images"
    pictures(root)
    table = written(root / name, contents)
    with begin(root, classes=("cat", "dog"), manifest=table).project as project:
        assert said(project) == outcome


def test_what_was_guessed_is_told(pets, tmp_path):
    table = written(tmp_path / "l.csv", "path,label\nzürich.png,cat\n".encode("latin-1"))
    assert import_file(pets, table).notes == [
        "l.csv is not UTF-8: read as Windows-1252, e.g. 'zürich.png'"
    ]
    table = written(tmp_path / "l.csv", "path,label\nC:\\data\\a.png,cat\n")
    assert import_file(pets, table).notes == [
        "paths that begin with C:/data are taken for this folder's"
    ]


def test_kaggle_ids_are_stems_and_never_rows(tmp_path):
    """02-trainLabels.csv: `id` was taken for internal numbers, and every label was off by one."""
    pictures(tmp_path / "images", [f"{k}.png" for k in range(1, 13)])
    lines = "".join(f"{k},{'cat' if k < 7 else 'dog'}\n" for k in range(1, 12))
    table = written(tmp_path / "trainLabels.csv", "id,label\n" + lines)
    with begin(tmp_path / "images", classes=("cat", "dog")).project as project:
        import_file(project, table)
        assert said(project) == {f"{k}.png": "cat" if k < 7 else "dog" for k in range(1, 12)}


def test_contents_decide_where_a_table_has_them(pets, tmp_path):
    ids, digests = pets.items.paths(), {i.path: i.sha256 for i in pets.items.all()}
    rows = [
        ("gone.png", digests["a.png"], "cat"),  # it was moved
        ("b.png", "0" * 64, "dog"),  # it has other contents now
        ("c.png", "", "dog"),
        ("a.png", digests["d.png"].upper(), "dog"),
    ]
    lines = "".join(f"{path},{digest},{label}\n" for path, digest, label in rows)
    report = import_file(pets, written(tmp_path / "l.csv", f"path,sha256,label\n{lines}"))
    assert report.unmatched == ["b.png (has other contents)"]
    assert pets.ledger.labels == {ids["a.png"]: 0, ids["c.png"]: 1, ids["d.png"]: 1}
    table = written(tmp_path / "l.csv", f"sha256,label\n{digests['b.png']},dog\n")
    assert import_file(pets, table).stored == 1


def test_a_name_of_several_images_is_left_out(tmp_path):
    pictures(tmp_path / "images", ("x/1.png", "y/1.png", "2.png"))
    table = written(tmp_path / "l.csv", "id,label\n1,cat\n2,dog\n")
    with begin(tmp_path / "images", classes=("cat", "dog")).project as project:
        report = import_file(project, table)
        assert (report.unclear, said(project)) == (["1"], {"2.png": "dog"})
        table = written(tmp_path / "l.csv", "id,label\n1,cat\n")
        with pytest.raises(DataError, match=r"none of 1 row .*1 name several"):
            import_file(project, table)


ROOT = Path("/data/train")
NAMES = [
    ("itself", ("a.png", "A.png"), "a.png", {"a.png"}),
    ("other letters, two files", ("a.png", "A.png"), "a.PNG", {"a.png", "A.png"}),
    ("a leading space is a name", (" a.png", "a.png"), " a.png", {" a.png"}),
    ("a leading space is none", ("a.png",), " a.png", {"a.png"}),
    ("a backslash is a name", ("x\\a.png", "x/a.png"), "x\\a.png", {"x\\a.png"}),
    ("a folder that is this one", ("1.png",), "train/1.png", {"1.png"}),
    ("a folder that is another", ("1.png",), "test/1.png", set()),
    ("the end of a path", ("x/y/1.png",), "y/1.png", {"x/y/1.png"}),
    ("not the end of a name", ("11.png",), "1.png", set()),
    ("a stem, not the start of one", ("11.png",), "1", set()),
    ("no stem where a suffix is given", ("1.jpg",), "1.png", set()),
    ("a stem with a dot", ("a.b.png",), "a.b", {"a.b.png"}),
    ("leading zeros are a name", ("01.png",), "1", set()),
    ("out of the folder", ("a.png",), "../train2/a.png", set()),
    ("an upload", ("a.png",), "ab12cd34-a.png", {"a.png"}),
    ("nothing", ("a.png",), "", set()),
    ("the folder itself", ("a.png",), ".", set()),
]


@pytest.mark.parametrize(("what", "paths", "name", "outcome"), NAMES, ids=ids(NAMES))
def test_what_a_name_means(what, paths, name, outcome):
    assert Finder(ROOT, {p: p for p in paths}).find(name) == outcome


def test_an_absolute_path_that_is_there_is_another_file(tmp_path):
    pictures(tmp_path / "other", ("a.png",))
    pictures(tmp_path / "images", ("a.png", "b.png"))
    table = written(
        tmp_path / "l.csv", f"path,label\n{tmp_path / 'other' / 'a.png'},cat\nb.png,dog\n"
    )
    with begin(tmp_path / "images", classes=("cat", "dog")).project as project:
        assert len(import_file(project, table).unmatched) == 1
        assert said(project) == {"b.png": "dog"}


def test_a_table_keeps_text_as_it_is_and_counts_lines(tmp_path):
    table = read_table(written(tmp_path / "t.csv", '\ufeffPath, Label \n"a\nb.png", x\n\nc.png,\n'))
    assert table.texts("path") == ["a\nb.png", "c.png"]
    assert table.texts("label") == [" x", ""]
    assert table.places == ["line 3", "line 5"]


def test_bad_rows_of_a_manifest_are_named_at_once(tmp_path):
    pictures(tmp_path)
    table = written(
        tmp_path / "m.csv", "path,label\n" + "a.png,cat\na.png,dog\n" * 3 + "b.png,dog\n"
    )
    with pytest.raises(DataError, match=r"3 rows with a second label .*line 3 .*line 5 .*line 7"):
        begin(tmp_path, manifest=table)
    table = written(tmp_path / "m.csv", "path,label\na.png,cow\nb.png,cat\nc.png,emu\n")
    with pytest.raises(LabelgapError, match=r"a\.png \('cow'\), c\.png \('emu'\)"):
        begin(tmp_path, classes=("cat",), manifest=table)


TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12
)
ODD = st.sampled_from(
    [" a", "a ", "\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\r", "\n", "\r\n", '"', "'", "'=1",
     "=1", "''=1", "-1", "+", "\t", "@", ",", ";", "|", "sep=;", "\ufeff", "nan", "null", "1",
     "01", "{}", "[1]", "a\\b", "C:\\a", "zu\u0308", "zü", "#1", "%20", "é" * 40]
)  # fmt: skip
PIECE = st.one_of(TEXT, ODD, st.builds(str.__add__, ODD, TEXT))


def usable(name):
    return name not in (".", "..") and len(os.fsencode(name)) < 200


@given(
    names=st.lists(PIECE.filter(usable), min_size=1, max_size=6, unique=True),
    classes=st.lists(PIECE, min_size=1, max_size=4),
    person=PIECE,
    format=st.sampled_from(["csv", "jsonl", "parquet"]),
    paths_alone=st.booleans(),
)
@example(names=["=0", "'=0"], classes=["0"], person="0", format="csv", paths_alone=True)
@example(names=["\\0", "A:\\0"], classes=["0"], person="0", format="csv", paths_alone=False)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_is_exported_is_imported_whatever_is_in_a_name(
    tmp_path_factory, names, classes, person, format, paths_alone
):
    try:
        classes = check_classes(classes)
    except ConfigError:
        assume(False)
    folder = tmp_path_factory.mktemp("names")
    rows = [
        {
            "path": name,
            "label": NONE_LABEL if i % 5 == 4 else classes[i % len(classes)],
            "annotator": person,
            "time": "",
            "round": 0,
            "sha256": "" if paths_alone else f"{i:064x}",
        }
        for i, name in enumerate(names)
    ]
    write_table(folder / f"l.{format}", rows, COLUMNS, format)
    project = Stub(folder, names, classes)
    report = import_file(project, folder / f"l.{format}")
    assert (report.unmatched, report.unclear, report.ambiguous) == ([], [], [])
    expected = {i: -1 if i % 5 == 4 else i % len(classes) for i in range(len(names))}
    assert project.ledger.labels == expected
    assert project.ledger.people == {person.strip() or "import"}


class Kept(Ledger):
    """What is stored, without a disk."""

    labels: ClassVar = {}
    held_out: ClassVar = frozenset()

    def __init__(self):
        self.labels, self.people = {}, set()

    def history(self, **_):
        return []

    def opinions(self, id):
        return {}

    def answers(self, new, person):
        self.labels |= new
        self.people.add(person)


class Named(Items):
    """Items of any names, so that no image has to be made for each."""

    def __init__(self, names):
        self.names = names

    def paths(self):
        return {name: i for i, name in enumerate(self.names)}

    def known_hashes(self):
        return {f"{i:064x}": i for i in range(len(self.names))}

    def files(self, status=None):
        return []


class Stub(Project):
    classes = ()

    def __init__(self, root, names, classes):
        self.root, self.classes = root, classes
        self.items, self.ledger = Named(names), Kept()
