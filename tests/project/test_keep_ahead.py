"""The next images are asked for by themselves; the percentages of the page; what a batch costs."""

import threading

import numpy as np
import pytest
from small_project import answer_all
from waiting import until

from labelgap.learn.calibration import PRIOR_WIDTH
from labelgap.learn.learner import Learner
from labelgap.project.asking.work import Work
from labelgap.project.asking.work_notes import calibrated_rounds
from labelgap.project.quality.quality import TRAINED
from labelgap.project.quality.status import status
from labelgap.project.server.asking import BATCH, FEW
from labelgap.project.server.desk import Desk
from labelgap.project.server.outlook import cost, drawn
from labelgap.session.calibrating import NOTE


@pytest.fixture
def desk(project):
    desk = Desk(project, "the-project", ahead=True)
    yield desk
    desk.asking.stop()


def idle(desk):
    until(lambda: not desk.asking.state()["running"])
    return desk.asking.state()


def test_it_asks_when_a_person_has_few_left_and_not_before(desk, project):
    Work(project).ask(FEW + 1)
    assert len(desk.batch("anna", 40)) == FEW + 1
    assert idle(desk) == {"running": False}
    assert len(desk.batch("anna", 5)) == 5  # few because few were wanted
    assert idle(desk) == {"running": False}
    for item in desk.batch("anna", 40)[:2]:
        project.ledger.answer(item["id"], 0, person="anna")
    assert len(desk.batch("anna", 40)) == FEW - 1
    assert idle(desk)["added"] == BATCH[0]
    assert len(project.ledger.outstanding_ids()) == FEW - 1 + BATCH[0]


def test_somebody_who_finds_all_taken_gets_new_ones(desk, project):
    Work(project).ask(20)
    assert len(desk.batch("anna", 40)) == 20
    assert desk.batch("ben", 40) == []
    assert idle(desk)["added"] == 20
    assert len(desk.batch("ben", 40)) == 20


def test_it_ends_with_the_images(desk, project, truth):
    while desk.asking.untouched():
        desk.batch("anna", 40)
        idle(desk)
        answer_all(project, truth)
    asked = len(project.ledger.asked_ids())
    assert asked == 60
    desk.batch("anna", 40)
    assert idle(desk)["added"] > 0  # the last question that was asked; no further one began
    assert "error" not in desk.asking.state()


def test_after_a_failure_it_waits_to_be_asked(desk, project, truth, monkeypatch):
    Work(project).ask(20)
    answer_all(project, truth)

    def broken(*arguments, **keywords):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "fit", broken)
        patch.setattr(threading, "excepthook", lambda given: None)
        desk.batch("anna", 40)
        assert "terminal" in idle(desk)["error"]
    desk.batch("anna", 40)
    assert "terminal" in idle(desk)["error"]
    assert desk.asking.begin(5)
    assert idle(desk)["added"] == 5
    desk.batch("anna", 40)
    assert idle(desk)["added"] == BATCH[0]


def test_the_percentages_are_calibrated_once_a_round(project, truth):
    Work(project).ask(24)
    answer_all(project, truth)
    work = Work(project)
    asked = work.ask(6)
    work.ask_more(4)  # no training in between: the temperature is known
    notes = project.ledger.notes(NOTE)
    assert len(project.ledger.notes(TRAINED)) == len(notes) == 1
    temperature = notes[0].data["temperature"]
    assert (
        calibrated_rounds(project.ledger)[asked.items[0].round or 0] == notes[0].data["items"] > 0
    )
    chosen = [item for item in asked.items if item.probability is not None]
    ids = np.array([item.id for item in chosen])
    out = work.session.learner.predict(work.session.training.network, ids, {"logits"})
    p = (out["logits"].double() / temperature).softmax(dim=1).max(dim=1).values.numpy()
    np.testing.assert_allclose([item.probability for item in chosen], p, atol=1e-5)
    assert abs(np.log(temperature)) < 5 * PRIOR_WIDTH


def test_what_the_next_images_cost(desk, project, truth):
    assert cost(project, desk.asking, "anna") == {"images": 20, "learning": None, "answer": None}
    Work(project).ask(30)
    answer_all(project, truth, person="anna")
    Work(project).train()
    found = cost(project, desk.asking, "anna")
    assert found["images"] == 30
    assert found["learning"] > 0
    assert 0 <= found["answer"] < 60
    assert cost(project, desk.asking, "ben")["answer"] is None
    points = drawn(status(project).curve)
    assert [p["labels"] for p in points] == [len(project.ledger.labelled_ids("train"))]
    assert points[0]["low"] <= points[0]["value"] <= points[0]["high"]
