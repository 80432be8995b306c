"""The commands, from the folder to the export, by the names that people type."""

import csv

import numpy as np
import pytest
from small_project import CLASSES, image_of, make_images
from typer.testing import CliRunner

from labelgap.cli import with_commands
from labelgap.core.errors import ConfigError, FolderError, LabelgapError
from labelgap.project.keep.settings import HOME, SETTINGS
from labelgap.project.keep.store import Project
from labelgap.project.quality.status import status as status_of

QUICK = ["--network", "small", "--set", "training.steps=30"]
QUICK += ["--set", "network.width=8", "--set", "network.blocks=[1]"]


def run(*words):
    result = CliRunner().invoke(with_commands(), [str(w) for w in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_from_a_folder_to_an_export(tmp_path, monkeypatch):
    folder = tmp_path / "images"
    truth = make_images(folder)
    (folder / "bad.png").write_bytes(b"")
    said = run("init", folder, "--classes", ",".join(CLASSES), "--method", "margin", *QUICK)
    assert "60 images, 3 classes (red, green, blue)" in said
    assert "bad.png: zero bytes" in said
    (folder / "deep").mkdir()
    monkeypatch.chdir(folder / "deep")  # a folder below finds the project
    assert "20 images to label (20 new, 4 of them" in run("ask", 20)
    with Project.open(mode="read") as p:
        asked = [p.items.get(i.id).path for i in p.ledger.outstanding()]
    with open(tmp_path / "mine.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "annotator"])
        writer.writerows([path, truth[path], "anna"] for path in asked)
    assert "20 labels stored" in run("import", tmp_path / "mine.csv")
    assert "0 labels stored, 20 were there already" in run("import", tmp_path / "mine.csv")
    (tmp_path / "none.csv").write_text("path,label\n")
    assert "no row in" in run("import", tmp_path / "none.csv")
    said = run("train")
    assert "trained from scratch on 16 labels in" in said
    assert "% of 4, " in said
    assert "4 images to label (4 new" in run("ask", 4, "--method", "entropy")
    with Project.open(mode="read") as p:
        assert p.settings.method == "entropy"  # from now on
        assert any("entropy of the prediction" in i.explanation for i in p.ledger.outstanding())
    said = run("status")
    assert "60 images, 20 labelled (4 of them held out), 4 waiting" in said
    assert "1 file quarantined (zero bytes)" in said
    assert "n = 4" in said
    assert "bad.png: zero bytes" in run("status", "--quarantine")
    assert "60 predictions" in run("predict", "--out", tmp_path / "p.parquet")
    assert "20 labels" in run("export", "--format", "csv", "--out", tmp_path / "l.csv")
    last = asked[-1]
    assert f"{last} has now: no label" in run("undo", last)
    assert "19 labels" in run("export", "--format", "jsonl", "--out", tmp_path / "l.jsonl")
    assert f"has now: {truth[asked[0]]}" not in run("undo")
    assert "backup" in run("backup", "--out", tmp_path / "b.zip")
    assert "error" not in run("doctor")
    make_images(folder / "more", 4, seed=5)
    assert "4 new images; 64 in all" in run("add")


def test_init_again_goes_on_and_ignores_nothing(tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 6)
    words = ["init", folder, "--classes", ",".join(CLASSES)]
    run(*words, "--seed", 3)
    assert "6 images" in run(*words)
    assert "6 images" in run(*words, "--seed", 3)
    with pytest.raises(FolderError, match="has seed 3, and now 4 is given"):
        run(*words, "--seed", 4)
    with pytest.raises(FolderError, match="method 'gap', and now 'margin'"):
        run(*words, "--method", "margin")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--image-size", 64], "image_size 16, and now 64 is given.*packed at that size"),
        (["--folder-labels"], "folder_labels False, and now True is given"),
        (["--holdout", 0.2], "holdout 0.5, and now 0.2 is given"),
        (["--method", "daal"], "method 'margin', and now 'daal' is given.*ask N --method"),
        (["--flip"], "flip False, and now True is given"),
        (["--seed", 0], "seed 3, and now 0 is given"),
        (["--set", "training.steps=7"], "config .*30.*and now .*7"),
    ],
)
def test_init_again_refuses_what_contradicts_the_project(tmp_path, option, said):
    make_images(tmp_path / "cat", 3)
    make_images(tmp_path / "dog", 3, seed=1)
    first = ["--image-size", 16, "--no-folder-labels", "--holdout", 0.5, "--method", "margin"]
    first += ["--no-flip", "--seed", 3, "--set", "training.steps=30"]
    words = ["init", tmp_path, "--classes", "cat,dog"]
    run(*words, *first)
    assert "6 images" in run(*words)  # saying nothing contradicts nothing
    assert "6 images" in run(*words, *first)
    with pytest.raises(FolderError, match=said):
        run(*words, *option)


def test_init_again_goes_on_with_the_images_of_the_manifest(tmp_path):
    truth = make_images(tmp_path, 4)
    path, label = next(iter(truth.items()))
    (tmp_path / "list.csv").write_text(f"path,label\n{path},{label}\n")
    words = ["init", tmp_path, "--classes", ",".join(CLASSES)]
    run(*words, "--manifest", tmp_path / "list.csv")
    assert "1 image, 3 classes" in run(*words)
    with Project.open(tmp_path, "read") as p:
        assert p.items.count() == 1


def test_weights_that_cannot_be_had_are_told_before_anything_is_made(tmp_path, monkeypatch):
    def away(settings):
        raise ConfigError(f"The weights of {settings.name} cannot be had.", "Connect.")

    monkeypatch.setattr("labelgap.networks.timm.load_backbone", away)
    make_images(tmp_path, 3)
    with pytest.raises(ConfigError, match="tf_efficientnet_lite0"):
        run("init", tmp_path, "--classes", "a,b", "--weights", "hub")
    assert not (tmp_path / ".labelgap").exists()


def class_folders(folder, names):
    """One image of each class for each name."""
    for k, label in enumerate(CLASSES):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for name in names:
            image = image_of(k, np.random.default_rng(100 * k + name))
            image.save(folder / label / f"{name}.png")


def test_a_folder_that_is_labelled_throughout_has_its_accuracy_measured(tmp_path):
    folder = tmp_path / "images"
    class_folders(folder, range(20))
    said = run("init", folder, "--method", "margin", *QUICK)
    assert "60 labels stored" in said
    assert f"next: labelgap train --project {folder}" in said.replace("\n", "")
    with Project.open(folder, "read") as p:
        held = len(p.ledger.held_out)
    assert 3 <= held <= 21  # binomial(60, 0.2), but for one in ten thousand
    assert f"{held} drawn at random are held out" in said
    said = run("train", "--project", folder)
    assert f"on {60 - held} labels in" in said
    assert f"% of {held}, " in said
    assert f"n = {held}" in run("status", "--project", folder)


def test_labelled_images_that_come_later_are_held_out_in_the_same_share(tmp_path):
    """Also those that a killed `init` had not come to: they are the most of them."""
    folder = tmp_path / "images"
    class_folders(folder, range(2))
    run("init", folder)
    class_folders(folder, range(40))
    said = run("add", "--project", folder)
    with Project.open(folder, "read") as p:
        held, labelled = len(p.ledger.held_out), len(p.ledger.labels)
    assert labelled == 120
    assert 8 <= held <= 43  # binomial(120, 0.2), but for one in ten thousand
    assert "drawn at random are held out" in said
    assert "held out" not in run("add", "--project", folder)


def labels_of(folder, truth, names):
    file = folder.parent / f"{len(names)}.csv"
    file.write_text("path,label\n" + "".join(f"{name},{truth[name]}\n" for name in names))
    return file


def test_labels_that_were_learned_before_they_were_held_out_measure_nothing(
    folder, truth, monkeypatch
):
    monkeypatch.chdir(folder)
    file = labels_of(folder, truth, sorted(truth)[:50])
    run("import", file)
    run("train")
    with Project.open(folder, "read") as p:
        before = len(p.ledger.held_out)
    assert before == 0
    assert "labels are held out from now on" in run("import", file, "--holdout")
    with Project.open(folder, "read") as p:
        held = len(p.ledger.held_out)
        assert held
        assert status_of(p).curve[-1].accuracy.total == 0
    said = run("status")
    assert f"accuracy not known: {held} labels held out after the last training" in said
    assert "next: labelgap train" in said
    run("train")
    said = run("status")
    assert f"% of {held}, " in said
    assert "(held-out labels, never trained on)" in said
    assert "learned them" not in said
    assert "from 0 held-out labels (none of them is new to both networks)" in said


def test_a_sample_that_is_held_out_takes_no_other_label_with_it(folder, truth, monkeypatch):
    """What was imported before may be anything but a sample of the folder."""
    monkeypatch.chdir(folder)
    names = sorted(truth)
    run("import", labels_of(folder, truth, names[:45]))
    sample = labels_of(folder, truth, names[40:])
    run("import", sample, "--holdout")
    with Project.open(folder, "read") as p:
        held = p.ledger.held_out
    assert held
    assert held <= set(range(40, 60))
    assert "0 labels are held out" in run("import", sample, "--holdout")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status"], "no labelling project"),
        (["init", "nowhere", "--classes", "a"], "not a folder"),
        (["init", ".", "--classes", "a,,b"], "class name ''"),
        (["init", ".", "--classes", "a", "--weights", "none.pth"], "does not exist"),
        (["export", "--format", "xml", "--out", "x"], "csv"),
        (["doctor"], "no labelling project"),
    ],
)
def test_mistakes_are_told_with_their_cure(tmp_path, monkeypatch, words, said):
    make_images(tmp_path, 3)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LabelgapError) as raised:
        run(*words)
    assert said in str(raised.value)
    assert not (tmp_path / ".labelgap").exists()


def test_one_class_alone_is_told_at_once(tmp_path):
    make_images(tmp_path, 3)
    said = run("init", tmp_path, "--classes", "cat dog")
    assert "one class alone" in said
    assert "separate names by commas" in said


def test_each_undo_takes_back_one_answer_the_latest_first(tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 4)
    run("init", folder, "--classes", ",".join(CLASSES))
    with Project.open(folder) as p:
        for item, label in ((1, 0), (2, 1), (1, 0)):
            p.ledger.answer(item, label, person="anna")
    said = []
    for left in ({1: 0, 2: 1}, {1: 0}, {}):
        said.append(run("undo", "--project", folder))
        with Project.open(folder, "read") as p:
            assert p.ledger.labels == left
    assert [s.partition(" ")[0] for s in said] == ["im0001.png", "im0002.png", "im0001.png"]
    with pytest.raises(LabelgapError, match="no answer to take back"):
        run("undo", "--project", folder)


@pytest.mark.parametrize("splits", [("train", "test"), ("Train", "valid", "test")])
def test_splits_are_no_classes(tmp_path, splits):
    for k, split in enumerate(splits):
        make_images(tmp_path / split / "cat", 2, seed=k)
        make_images(tmp_path / split / "dog", 2, seed=10 + k)
    with pytest.raises(ConfigError, match=r"splits of a data set.*labelgap init .*--classes a,b,c"):
        run("init", tmp_path)
    assert not (tmp_path / HOME).exists()
    assert "2 classes (cat, dog)" in run("init", tmp_path / splits[0])
    assert "2 classes (test, train)" in run("init", tmp_path, "--classes", "test,train")


def said_next(folder, *option):
    return run("status", *(option or ("--project", folder))).partition("next: ")[2]


def test_the_next_command_is_one_that_works(tmp_path):
    folder = tmp_path / "my images"
    make_images(folder, 3)
    run("init", folder, "--classes", "thing")
    at = f"--project '{folder}'"
    assert said_next(folder) == f"labelgap ask 50 {at}"
    with Project.open(folder) as p:
        p.ledger.answer(0, 0)
    # One class cannot be trained, and of an image that is gone nobody is asked.
    assert said_next(folder) == f"labelgap ask 50 {at}"
    with Project.open(folder) as p:
        p.ledger.answer(1, 0)
        (folder / p.items.get(2).path).unlink()
        p.add()
    assert said_next(folder) == f"labelgap export {at}"
    run("export", "--project", folder, "--out", tmp_path / "l.csv")


def test_labels_of_no_class_alone_are_not_trained_on(tmp_path):
    make_images(tmp_path, 3)
    run("init", tmp_path, "--classes", "cat,dog")
    with Project.open(tmp_path) as p:
        p.ledger.answer(0, -1)
    assert said_next(tmp_path).startswith("labelgap ask 50")
    with Project.open(tmp_path) as p:
        p.ledger.answer(1, 0)
    assert said_next(tmp_path).startswith("labelgap train")


def test_a_project_that_has_no_ledger_yet_is_told_to_begin_again(tmp_path):
    make_images(tmp_path, 3)
    words = ["init", tmp_path, "--classes", "cat,dog"]
    run(*words)
    for file in (tmp_path / HOME).iterdir():
        if file.is_file() and file.name != SETTINGS:
            file.unlink()
    with pytest.raises(FolderError, match=r"no ledger yet.*Run `labelgap init` again"):
        run("status", "--project", tmp_path)
    with pytest.raises(FolderError, match="no ledger yet"):
        run("ask", 1, "--project", tmp_path)
    said = CliRunner().invoke(with_commands(), ["doctor", "--project", str(tmp_path)])
    assert said.exit_code == 1
    assert "Run `labelgap init` again" in " ".join(said.output.split())
    assert "3 images" in run(*words)
    assert "3 images" in run("status", "--project", tmp_path)


def test_a_ledger_that_is_lost_is_not_begun_anew_in_silence(folder):
    for file in (folder / HOME).glob("ledger.sqlite*"):
        file.unlink()
    with pytest.raises(FolderError, match=r"is missing, and with it the labels.*labelgap restore"):
        run("ask", 1, "--project", folder)
    assert not (folder / HOME / "ledger.sqlite").exists()


def test_settings_that_are_lost_are_told_by_doctor(folder, monkeypatch):
    (folder / HOME / SETTINGS).unlink()
    monkeypatch.chdir(folder)
    said = CliRunner().invoke(with_commands(), ["doctor"])
    assert said.exit_code == 1
    text = " ".join(said.output.split())
    assert f"{SETTINGS} cannot be read" in text
    assert "the ledger is whole" in text
    with pytest.raises(FolderError, match=r"cannot be read.*Restore it"):
        run("status")
