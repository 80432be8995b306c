"""The exported model gives the project's own predictions, by the loader it comes with."""

import importlib.util

import numpy as np
import pytest
from conftest import CLASSES, answer_all

from labelgap.errors import FolderError, LabelgapError
from labelgap.project.model import LOADER, export_model
from labelgap.project.work import Work


@pytest.fixture
def work(project, truth):
    made = Work(project)
    made.ask(20)
    answer_all(project, truth)
    made.train()
    return made


def test_the_loader_predicts_what_the_project_predicts(work, tmp_path):
    out = tmp_path / "model"
    export_model(work, out, "model")
    spec = importlib.util.spec_from_file_location("load", out / "load.py")
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    items = work.project.items.all()[:10]
    names, probabilities = loader.predict([work.project.root / i.path for i in items])
    expected = work.predict()[1][:10]
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert names == [CLASSES[k] for k in expected.argmax(axis=1)]
    assert len([line for line in LOADER.splitlines() if line.strip()]) <= 20
    with pytest.raises(FolderError, match="not an empty folder"):
        export_model(work, out, "model")


def test_nothing_trained_nothing_exported(project, tmp_path):
    with pytest.raises(LabelgapError, match="no trained network"):
        export_model(Work(project), tmp_path / "m", "model")


@pytest.mark.slow
def test_onnx_predicts_the_same(work, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    export_model(work, tmp_path / "m.onnx", "onnx")
    session = runtime.InferenceSession(str(tmp_path / "m.onnx"))
    images = np.asarray(work.project.pixels.open(60))[:7]
    (probabilities,) = session.run(None, {"images": images})
    np.testing.assert_allclose(probabilities, work.predict()[1][:7], atol=1e-5)
