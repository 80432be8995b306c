"""Ask, label, train, ask: held-out questions are a uniform sample, and nothing is asked twice."""

import csv

import numpy as np
import pytest
from small_project import CLASSES, QUICK, answer_all, image_of, make_images
from tolerance import assert_rounded, two_ways

from labelgap.core.errors import BudgetError, LabelgapError
from labelgap.project.asking.explain import HELD_OUT, why
from labelgap.project.asking.task import _block_bounds, _statistics
from labelgap.project.asking.work import Work
from labelgap.project.exchange.begin import begin
from labelgap.project.exchange.predictions import write_predictions
from labelgap.project.keep.store import Project
from labelgap.project.quality import quality
from labelgap.project.quality.quality import TRAINED
from labelgap.project.quality.status import status
from labelgap.report.explain import number


def test_the_whole_loop(project, truth, tmp_path):
    work = Work(project)
    first = work.ask(20)
    assert (first.new, first.held_out, first.cold, first.trained) == (20, 4, True, False)
    assert work.ask(20).items == first.items  # repeated before an answer: the same
    assert work.ask(5).items == first.items[:5]
    assert list((project.home / "snapshots").glob("*.sqlite"))
    answer_all(project, truth)
    second = work.ask(10)
    assert second.trained
    assert not second.cold
    assert not {i.id for i in second.items} & {i.id for i in first.items}
    held = project.ledger.held_out
    assert len(held) == round(0.2 * 30)
    for item in second.items:
        if item.id in held:
            assert item.explanation == HELD_OUT
            # A prediction shown would colour the answer.
            assert (item.pseudo_label, item.probability) == (None, None)
        else:
            sure = f"{CLASSES[item.pseudo_label]} ({number(100 * item.probability)}\u00a0%)"
            assert f"the network says {sure}" in item.explanation
            assert 1 / 3 <= item.probability <= 1
            assert "nearest labelled" in item.explanation
    answer_all(project, truth)
    assert work.is_stale()
    work.train()
    assert not work.is_stale()
    trained = project.last_note(TRAINED)
    assert trained.data["labels"] == 24
    assert not set(work.session.training.labelled_ids.tolist()) & held
    state = status(project)
    assert state.accuracy.total == 6
    assert state.per_class == [10, 10, 10] or sum(state.per_class) == 30
    assert [p.labels for p in state.curve] == [16, 24]
    out = tmp_path / "p.csv"
    assert write_predictions(work, out, probabilities=True) == 60
    rows = list(csv.DictReader(out.open()))
    right = sum(row["predicted"] == truth[row["path"]] for row in rows)
    assert right > 40  # the brightest channel is easily learned
    for row in rows:
        # Three numbers of six decimals.
        assert abs(sum(float(row[f"p({c})"]) for c in CLASSES) - 1) <= 3 * 0.5e-6 + 1e-9


def test_the_network_is_loaded_again_not_trained_again(project, folder, truth):
    work = Work(project)
    work.ask(20)
    answer_all(project, truth)
    work.train()
    expected = work.predict()[1]
    project.close()
    with Project.open(folder) as again:
        work = Work(again)
        np.testing.assert_array_equal(work.predict()[1], expected)
        before = len(again.ledger.notes(TRAINED))
        assert not work.ask(10).trained
        assert len(again.ledger.notes(TRAINED)) == before


def test_everything_is_asked_once_and_then_nothing_is_left(project, truth):
    work = Work(project)
    seen = []
    for n in (25, 25, 25):
        asked = work.ask(n)
        seen += [i.id for i in asked.items]
        answer_all(project, truth)
    assert sorted(seen) == list(range(60))
    with pytest.raises(BudgetError, match="nothing left"):
        work.ask(1)


def test_the_reserve_is_a_uniform_sample(tmp_path):
    """Held out is whoever has the lowest draws, whatever was asked before; none of it is a
    candidate. Over seeds every item is held out equally often."""
    folder = tmp_path / "images"
    make_images(folder)
    counts = np.zeros(60)
    with begin(folder, classes=CLASSES, network="small").project as project:
        for seed in range(40):
            project.change(seed=seed)
            work = Work(project)
            held = work.next_held_out(25, 60)
            assert len(held) == min(5, len(work.reserve))
            assert not np.isin(work.reserve, work.session.task.pool).any()
            assert len(work.session.task.pool) + len(work.reserve) == 60
            counts[held] += 1
    # Binomial(40, 5/60) each: mean 3.3; 60 of them stay below 12 with probability 1 - 1e-4.
    assert counts.max() < 12
    assert 40 * 4 < counts.sum() <= 40 * 5


def test_skipped_and_vanished_items_are_not_asked_again(project, folder, truth):
    work = Work(project)
    first = work.ask(10)
    for item in first.items:
        project.ledger.skip(item.id, "unsure", person="anna")
    gone = next(
        p for p in project.items.paths() if project.item_of(p) not in project.ledger.skipped
    )
    gone_id = project.item_of(gone)
    (folder / gone).unlink()
    project.add()
    work = Work(project)
    rest = work.ask(60)
    assert len(rest.items) == 49
    assert gone_id not in {i.id for i in rest.items}


def test_new_images_do_not_disturb_what_is_known(project, folder, truth):
    work = Work(project)
    work.ask(20)
    answer_all(project, truth)
    work.train()
    reserve = set(work.reserve.tolist())
    expected = work.predict()[1]
    for i in range(5):
        image_of(i % 3, np.random.default_rng(500 + i)).save(folder / f"z{i}.png")
    assert project.add().added == 5
    work = Work(project)
    assert reserve <= set(work.reserve.tolist())
    found = work.predict()[1][:60]
    assert_rounded(found, expected, **two_ways(expected, work.session.training.network))


def test_one_class_can_be_labelled_and_not_trained(tmp_path):
    make_images(tmp_path / "images", 30)
    with begin(tmp_path / "images", classes=["flower"], config=QUICK).project as project:
        work = Work(project)
        for _ in range(2):
            for item in work.ask(6).items:
                project.ledger.answer(item.id, 0 if item.id % 2 else -1)
        with pytest.raises(LabelgapError, match="one class"):
            work.train()


def test_training_without_labels_is_refused(project):
    with pytest.raises(BudgetError, match="nothing to train on"):
        Work(project).train()


def test_cold_start_is_diverse(tmp_path):
    """With as many questions as kinds of image, TypiClust on thumbnails asks one of each."""
    make_images(tmp_path / "images")
    made = begin(tmp_path / "images", classes=CLASSES, holdout=0, network="small")
    with made.project as project:
        asked = Work(project).ask(3)
        assert {i.id % 3 for i in asked.items} == {0, 1, 2}
        assert all("typical of a group" in i.explanation for i in asked.items)


def test_methods_with_unlabelled_data_work_in_a_project(tmp_path, truth):
    """daal: alignment sees unlabelled images, never held-out ones."""
    make_images(tmp_path / "images")
    made = begin(tmp_path / "images", classes=CLASSES, config=QUICK, method="daal")
    with made.project as project:
        work = Work(project)
        work.ask(15)
        answer_all(project, truth)
        asked = work.ask(10)
        assert asked.trained
        assert any("likelihood gap" in i.explanation for i in asked.items)


def test_a_reason_in_words():
    text = why(
        {"likelihood_gap": 2.0}, np.array([0.25, 0.75]), ("cat", "dog"), ["dog", "cat", "dog"]
    )
    assert "unlike what is labelled" in text
    assert "the network says dog (75.0\u00a0%)" in text
    assert text.endswith("nearest labelled: 2 × dog, cat")


def test_a_corrected_held_out_label_corrects_the_past(project, truth):
    work = Work(project)
    work.ask(20)
    answer_all(project, truth)
    work.train()
    before = quality.curve(project.ledger)[-1].accuracy
    item = int(project.ledger.labelled_ids("held-out")[0])
    point = quality.curve(project.ledger)[-1]
    was_right = point.predicted[item] == project.ledger.labels[item]
    other = (point.predicted[item] + (1 if was_right else 0)) % 3
    project.ledger.answer(item, other, person="anna")
    after = quality.curve(project.ledger)[-1].accuracy
    assert after.right == before.right + (-1 if was_right else 1)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1, 2", '{"rows": 3}', "[7, 5, 900]", '["a"]'])
def test_a_damaged_cache_is_computed_anew(project, text):
    cache = project.home / "cache"
    rows, mean, std = _statistics(project, project.pixels.open(60))
    bounds = _block_bounds(project, 60)
    for name in ("statistics.json", "blocks.json"):
        (cache / name).write_text(text)
    assert _statistics(project, project.pixels.open(60)) == (rows, mean, std)
    assert _block_bounds(project, 60) == bounds
    assert _statistics(project, project.pixels.open(60)) == (rows, mean, std)  # from the file
