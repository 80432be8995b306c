"""What a table says of held-out labels holds in the project that takes it."""

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_project import CLASSES, make_images
from typer.testing import CliRunner

from labelgap.cli import with_commands
from labelgap.core.errors import DataError
from labelgap.project.exchange.begin import begin
from labelgap.project.exchange.exchange import import_file
from labelgap.project.exchange.export import export

HELD = {2, 3, 7}


@pytest.fixture
def exported(project):
    project.ledger.hold_out(HELD)
    for i in range(12):
        project.ledger.answer(i, i % 3, person="anna")
    return project


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet", "coco"])
def test_what_is_exported_comes_back_held_out(exported, tmp_path, format):
    file = tmp_path / f"labels.{'json' if format == 'coco' else format}"
    export(exported, file, format)
    make_images(tmp_path / "other")
    with begin(tmp_path / "other", classes=CLASSES).project as other:
        report = import_file(other, file)
        assert (report.stored, report.held_out) == (12, len(HELD))
        assert set(other.ledger.labelled_ids("held-out").tolist()) == HELD
        assert set(other.ledger.labelled_ids("train").tolist()) == set(range(12)) - HELD
        before = other.ledger.seq
        assert import_file(other, file).held_out == 0
        assert other.ledger.seq == before


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cells=st.lists(
        st.sampled_from([("true", 1), ("TRUE", 1), (" Yes ", 1), ("1", 1)])
        | st.sampled_from([("false", 0), ("No", 0), ("0", 0), ("", 0), (" ", 0)]),
        min_size=1,
        max_size=12,
    )
)
def test_every_way_to_say_it(project, tmp_path, cells):
    file = tmp_path / "labels.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "Held-Out"])
        writer.writerows([f"im{i:04d}.png", CLASSES[i % 3], c] for i, (c, _) in enumerate(cells))
    before = set(project.ledger.held_out)
    report = import_file(project, file)
    said = {i for i, (_, held) in enumerate(cells) if held}
    assert set(project.ledger.held_out) == before | said
    assert report.held_out == len(said - before)


@pytest.mark.parametrize("cells", [[True, False, None], [1, 0, 0], [1.0, 0.0, None]])
def test_truth_values_and_numbers_of_parquet(project, tmp_path, cells):
    file = tmp_path / "labels.parquet"
    paths = [f"im000{i}.png" for i in range(3)]
    table = {"path": paths, "label": list(CLASSES), "held_out": cells}
    pq.write_table(pa.table(table), file)
    import_file(project, file)
    assert set(project.ledger.held_out) == {0}


def test_other_words_are_refused_with_their_rows_and_nothing_is_stored(project, tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text(
        "path,label,held_out\nim0000.png,red,true\nim0001.png,green,maybe\nim0002.png,blue,2\n"
    )
    before = project.ledger.seq
    with pytest.raises(DataError, match="neither true nor false") as error:
        import_file(project, file)
    assert "line 3 ('maybe')" in str(error.value)
    assert "line 4 ('2')" in str(error.value)
    assert project.ledger.seq == before


def test_one_row_of_several_is_enough_and_nothing_is_put_back(project, tmp_path):
    """Two people's labels of one image: it is trained on by neither."""
    file = tmp_path / "labels.csv"
    file.write_text(
        "path,label,annotator,held_out\nim0000.png,red,anna,false\nim0000.png,red,ben,true\n"
        "im0001.png,green,anna,true\n"
    )
    assert import_file(project, file).held_out == 2
    file.write_text("path,label,annotator,held_out\nim0001.png,green,ben,false\n")
    assert import_file(project, file).held_out == 0
    assert set(project.ledger.labelled_ids("held-out").tolist()) == {0, 1}


def test_what_is_left_out_is_not_held_out(project, tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text(
        "path,label,held_out\nim0000.png,red,true\nim0000.png,blue,true\nim0001.png,,true\n"
        "im0002.png,red,\n"
    )
    report = import_file(project, file)
    assert (report.stored, report.held_out) == (1, 0)
    assert not project.ledger.held_out


def test_it_is_held_out_before_it_is_stored(project, tmp_path, monkeypatch):
    """So that a crash in between leaves no label that would be trained on."""
    file = tmp_path / "labels.csv"
    file.write_text("path,label,held_out\nim0000.png,red,true\n")

    def killed(*arguments, **keywords):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(project.ledger), "answers", killed)
        with pytest.raises(KeyboardInterrupt):
            import_file(project, file)
    assert set(project.ledger.held_out) == {0}
    assert not project.ledger.labels


def test_the_command_says_how_many(project, tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("path,label,held_out\nim0000.png,red,true\nim0001.png,green,false\n")
    root = project.root
    project.close()
    found = CliRunner().invoke(with_commands(), ["import", str(file), "--project", str(root)])
    assert found.exit_code == 0, found.output
    assert "1 image held out, as the file says" in " ".join(found.output.split())


def listed(folder, rows):
    """A folder of images with a manifest: path, label, held_out."""
    make_images(folder)
    with (folder / "list.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label", "held_out"), *rows])
    return folder / "list.csv"


def test_a_manifest_says_which_labels_measure(tmp_path):
    rows = [(f"im{i:04d}.png", CLASSES[i % 3], str(i in HELD).lower()) for i in range(12)]
    file = listed(tmp_path / "images", rows)
    with begin(tmp_path / "images", manifest=file).project as project:
        paths = {
            project.items.get(i).path for i in project.ledger.labelled_ids("held-out").tolist()
        }
        assert paths == {rows[i][0] for i in HELD}
        # Not a share besides: every image has a label, and the manifest has said which measure.
        assert len(project.ledger.labelled_ids("train")) == len(rows) - len(HELD)
        # The first event of all: none of these labels was ever there to be trained on.
        kinds = [event.kind for event in project.ledger.events()]
        assert kinds.index("held-out") < kinds.index("labelled")


def test_a_manifest_that_says_neither(tmp_path):
    file = listed(tmp_path / "images", [("im0000.png", "red", "perhaps")])
    with pytest.raises(DataError, match=r"line 2 \('perhaps'\)"):
        begin(tmp_path / "images", manifest=file)
    assert not (tmp_path / "images" / ".labelgap").exists()


def test_init_says_what_the_manifest_holds_out(tmp_path):
    rows = [(f"im{i:04d}.png", CLASSES[i % 3], i == 0) for i in range(12)]
    file = listed(tmp_path / "images", rows)
    folder = str(tmp_path / "images")
    result = CliRunner().invoke(with_commands(), ["init", folder, "--manifest", str(file)])
    assert result.exit_code == 0, result.output
    assert "1 image held out, as the file says" in result.output
    assert "drawn at random" not in result.output
