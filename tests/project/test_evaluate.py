"""`labelgap evaluate` on a project: what it prints, and test batches as events of the ledger."""

import json

import numpy as np
import pytest
from small_project import CLASSES, QUICK, answer_all, make_images
from typer.testing import CliRunner

from labelgap.cli import with_commands
from labelgap.core.errors import BudgetError, ConfigError, LabelgapError
from labelgap.core.types import QueryItem
from labelgap.ledger.ledger import TESTED, Ledger
from labelgap.project.asking import testing
from labelgap.project.asking.judging import judge
from labelgap.project.asking.testing import ask_to_test, reserve_left
from labelgap.project.asking.work import Work
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.store import Project
from labelgap.project.quality.batches import apart, batches
from labelgap.project.quality.nonresponse import nonresponse
from labelgap.project.quality.quality import held_out_labels


def run(*words, code=0):
    result = CliRunner().invoke(with_commands(), [str(w) for w in words])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def trained(tmp_path):
    """120 images, half of them reserve, 40 labelled, a network; its folder and the truth."""
    folder = tmp_path / "many"
    truth = make_images(folder, 120)
    with begin(
        folder, classes=CLASSES, method="margin", holdout=0.5, config=QUICK
    ).project as project:
        Work(project, device="cpu").ask(40)
        answer_all(project, truth)
        Work(project, device="cpu").train()
    return folder, truth


def test_the_command_says_accuracy_recall_and_plan(trained):
    folder, _ = trained
    said = run("evaluate", folder, "--labels", 10)
    assert "a network trained on 20 labels" in said
    assert "accuracy" in said
    assert "n = 20" in said
    assert all(name in said for name in CLASSES)
    assert "points with 10 more" in said
    facts = json.loads(run("evaluate", folder, "--labels", 10, "--json"))
    assert facts["accuracy"]["total"] == 20
    assert sum(facts["recall"][name]["total"] for name in CLASSES) == 20
    assert facts["plan"]["more"] == 10
    assert facts["trained"] == 20
    with Project.open(folder, "read") as p:
        before = p.ledger.seq
    run("evaluate", folder)
    with Project.open(folder, "read") as p:
        assert p.ledger.seq == before  # judging writes nothing


def test_options_that_do_not_fit_are_refused(trained):
    folder, _ = trained
    for words in (["--active"], ["--within", 3], ["--project", folder]):
        result = CliRunner().invoke(with_commands(), ["evaluate", str(folder), *map(str, words)])
        assert isinstance(result.exception, ConfigError)
    result = CliRunner().invoke(with_commands(), ["evaluate", str(folder), "--forecast", "10"])
    assert isinstance(result.exception, LabelgapError)
    assert "trains its whole network" in str(result.exception)


def test_uniform_test_images_are_the_next_of_the_reserve(trained):
    folder, truth = trained
    with Project.open(folder) as p:
        work = Work(p, device="cpu")
        left = reserve_left(work)
        asked = ask_to_test(work, 7)
        assert [item.id for item in asked.items] == left[:7].tolist()
        assert p.ledger.held_out.issuperset(left[:7].tolist())
        again = ask_to_test(work, 7)
        assert not again.new
        assert [i.id for i in again.items] == [i.id for i in asked.items]
        answer_all(p, truth)
        assert set(left[:7].tolist()) <= held_out_labels(p.ledger).keys()
        assert not apart(p.ledger)
        with pytest.raises(BudgetError, match="1000 test images were asked for"):
            ask_to_test(work, 1000)


def test_an_active_batch_is_kept_with_its_chances_and_apart(trained, monkeypatch):
    folder, truth = trained
    # The small network makes few errors: what it is refused for is tested below.
    monkeypatch.setattr(testing, "ranking", lambda confidence, right: 0.9)
    with Project.open(folder) as p:
        work = Work(p, device="cpu")
        uniform = held_out_labels(p.ledger)
        left = reserve_left(work)
        asked = ask_to_test(work, 8, active=True)
        (batch,) = batches(p.ledger)
        assert [i.id for i in asked.items] == list(batch.ids)
        assert batch.pool == tuple(left.tolist())
        assert [i.parts["chance"] for i in asked.items] == batch.chances.tolist()
        assert p.ledger.held_out.issuperset(batch.ids)
        assert not ask_to_test(work, 8, active=True).new
        assert len(batches(p.ledger)) == 1
        assert judge(work).batches[0].tested is None  # nothing is answered
        answer_all(p, truth)
        assert held_out_labels(p.ledger) == uniform  # they were chosen: no uniform sample
        assert not set(batch.ids) & set(work.session.labelled()[0].tolist())
        found = judge(work).batches[0]
        assert found.answered == found.asked == 8
        # Its turn passes: now it is part of the uniform sample.
        ask_to_test(work, len(reserve_left(work)))
        answer_all(p, truth)
        assert set(batch.ids) - apart(p.ledger) == set(batch.ids) & held_out_labels(p.ledger).keys()
        assert len(apart(p.ledger)) < len(batch.ids)
        assert nonresponse(p.ledger).total == 0
    assert "active test batch 1" in run("evaluate", folder)


def test_active_is_refused_where_nothing_is_known_or_does_not_rank(trained, monkeypatch):
    folder, _ = trained
    with Project.open(folder) as p:
        work = Work(p, device="cpu")
        for area, why in ((None, "5 right and 5 wrong"), (0.52, "area 0.52")):
            monkeypatch.setattr(testing, "ranking", lambda confidence, right, area=area: area)
            with pytest.raises(LabelgapError, match=why):
                ask_to_test(work, 5, active=True)
        assert not batches(p.ledger)


def test_a_batch_is_all_of_it_or_nothing(tmp_path, monkeypatch):
    """Killed at any of its events, none of them is stored."""
    items = [QueryItem(i, parts={"chance": 0.5}) for i in range(3)]
    facts = {"pool": [0, 1, 2], "chances": [0.5] * 3}
    with Ledger.open(tmp_path / "l.sqlite") as ledger:
        ledger.set_classes(2)
        append = Ledger._append
        for fatal in range(7):
            calls = iter(range(100))

            def dying(self, *args, _calls=calls, _fatal=fatal, **values):
                if next(_calls) == _fatal:
                    raise KeyboardInterrupt
                return append(self, *args, **values)

            before = ledger.seq
            monkeypatch.setattr(Ledger, "_append", dying)
            with pytest.raises(KeyboardInterrupt):
                ledger.asked(0, items, to_test=facts)
            monkeypatch.setattr(Ledger, "_append", append)
            assert ledger.seq == before
            assert not ledger.held_out
            assert not ledger.notes(TESTED)
        ledger.asked(0, items, to_test=facts)
        assert ledger.held_out == {0, 1, 2}
        (note,) = ledger.notes(TESTED)
        assert note.data == {**facts, "ids": [0, 1, 2]}
        np.testing.assert_array_equal(batches(ledger)[0].chances, [0.5] * 3)


def test_the_status_of_a_trained_project_is_told_as_data(trained):
    folder, _ = trained
    run("train", "--project", folder)  # a second network, so that there is a curve and an agreement
    told = json.loads(run("status", "--json", "--project", folder), parse_constant=pytest.fail)
    with Project.open(folder, "read") as p:
        truth = held_out_labels(p.ledger)
    assert told["accuracy"]["total"] == len(truth) == 20
    assert told["accuracy"]["value"] == told["accuracy"]["right"] / 20
    assert told["accuracy"]["low"] <= told["accuracy"]["value"] <= told["accuracy"]["high"]
    assert told["curve"][-1]["accuracy"] == told["accuracy"]
    assert sum(share["right"] for share in told["recall"]) == told["accuracy"]["right"]
    assert set(told["curve"][-1]["predicted"]) >= {str(id) for id in truth}
