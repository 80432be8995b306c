"""A project whose ledger knows items that do not exist: doctor says so, and takes them out."""

import pytest
from small_project import CLASSES, make_images
from typer.testing import CliRunner

from labelgap.cli import with_commands
from labelgap.core.errors import LedgerError
from labelgap.project.asking.work import Work
from labelgap.project.keep.store import Project


def doctor(root, *flags):
    said = CliRunner().invoke(with_commands(), ["doctor", "--project", str(root), *flags])
    return said.exit_code, " ".join(said.output.split())


@pytest.fixture
def strange(tmp_path):
    """Nine of twenty images labelled; a label, a skip and a held-out mark of no item."""
    root = tmp_path / "images"
    truth = make_images(root, 20)
    said = CliRunner().invoke(
        with_commands(), ["init", str(root), "--classes", ",".join(CLASSES), "--image-size", "16"]
    )
    assert said.exit_code == 0, said.output
    with Project.open(root) as project:
        for item in project.items.all()[:9]:
            project.ledger.answer(item.id, CLASSES.index(truth[item.path]))
        labels = project.ledger.labels
        project.ledger.answer(500, 1)
        project.ledger.skip(501, "unsure")
        project.ledger.hold_out([502])
    return root, labels


def test_doctor_names_items_that_do_not_exist_and_sets_them_aside(strange):
    root, labels = strange
    code, said = doctor(root)
    assert code == 1
    assert "of 3 items that do not exist: 500, 501, 502" in said
    assert "labelgap doctor --set-aside" in said
    with Project.open(root) as project:
        before = [event.as_dict() for event in project.ledger.events()]
    code, said = doctor(root, "--set-aside")
    assert code == 0, said
    assert "3 items that do not exist set aside: 500, 501, 502" in said
    assert "0 items" in doctor(root, "--set-aside")[1]
    with Project.open(root) as project:
        assert project.ledger.labels == labels
        assert not project.ledger.skipped
        events = [event.as_dict() for event in project.ledger.events()]
        assert events[: len(before)] == before
        assert {e["kind"] for e in events[len(before) :]} == {"set-aside"}


def test_training_refuses_them_with_the_command_that_helps(strange):
    root, labels = strange
    with Project.open(root) as project:
        with pytest.warns(UserWarning, match="--set-aside"):
            work = Work(project, device="cpu")
        with pytest.raises(LedgerError, match=r"500, 501, 502.*doctor --set-aside"):
            work.train()
    assert doctor(root, "--set-aside")[0] == 0
    with Project.open(root) as project:
        work = Work(project, device="cpu")
        assert dict(zip(*map(list, work.session.labelled()), strict=True)) == labels
