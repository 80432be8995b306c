"""Forecast and replay of a project on its frozen pretrained network, by the command."""

import json

import numpy as np
import pytest
from small_project import CLASSES, make_images
from typer.testing import CliRunner

from labelgap.cli import with_commands
from labelgap.core.errors import LabelgapError
from labelgap.project.asking.judging import frozen_data, replay
from labelgap.project.asking.work import Work
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.store import Project

SMALL = {"network": {"input_size": 32}, "training": {"steps": 20}}


def test_forecast_and_replay_on_frozen_features(tmp_path):
    folder = tmp_path / "photos"
    truth = make_images(folder, 170)
    rng = np.random.default_rng(0)
    with begin(
        folder, classes=CLASSES, method="margin", holdout=0.3, image_size=16, config=SMALL
    ).project as p:
        work = Work(p, device="cpu")
        # A third of the labels are wrong: there is something left to learn and to err on.
        wrong = rng.random(170) < 0.3
        labels = {
            i.id: (CLASSES.index(truth[i.path]) + int(wrong[i.id])) % 3 for i in p.items.all()
        }
        p.ledger.hold_out(work.reserve.tolist())
        few = [i for i in labels if i not in set(work.reserve.tolist())][:60]
        p.ledger.answers({i: labels[i] for i in [*few, *work.reserve.tolist()]})
        work = Work(p, device="cpu")
        work.train()
        data = frozen_data(work)
        assert data.x.shape == (60, data.held_x.shape[1])
        ids, y = work.session.labelled()
        np.testing.assert_array_equal(data.y, y)
        assert ids.tolist() == sorted(few)
        with pytest.raises(LabelgapError, match="are too few to replay"):
            replay(work)
        p.ledger.answers({i: y for i, y in labels.items() if i not in p.ledger.labels})
        work.train()
    command = ["evaluate", str(folder), "--forecast", "50", "--replay", "--json"]
    result = CliRunner().invoke(with_commands(), command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["replay"]["method"] == "margin"
    assert said["replay"]["labels"] == len(labels) - len(work.reserve)
    assert said["forecast"]["more"] == 50
    assert said["forecast"]["refused"] or said["forecast"]["low"] <= said["forecast"]["high"]
    with Project.open(folder, "read") as p:
        assert said["trained"] == len(p.ledger.labelled_ids("train"))
