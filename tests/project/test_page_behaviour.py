"""What the page does: nobody waits, keys stay, the grid cannot mislead, old answers come back."""

import signal
import time

import pytest
from page_driver import (
    all_saved,
    answer,
    asked_folder,
    no_browser,
    open_page,
    press,
    seen,
    stored,
    text,
)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from small_project import CLASSES, QUICK, make_images, running_server
from test_page_views import with_network
from waiting import until

from labelgap.core.types import QueryItem
from labelgap.project.asking.work_notes import WHY
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.keys import set_key
from labelgap.project.keep.store import Project

pytestmark = no_browser


def find(browser, css):
    return browser.find_elements(By.CSS_SELECTOR, css)


def test_the_next_images_come_before_the_last_is_answered(browser, tmp_path):
    """One person, thirty images: from the first six to the last one nobody asks for more."""
    folder = tmp_path / "images"
    asked_folder(folder, 6, images=30)
    with running_server(folder) as (_, base, token):
        open_page(browser, base, token)
        for k in range(30):
            until(lambda: find(browser, "#single:not([hidden])"))
            until(seen(browser))
            press(browser, "123"[k % 3])
        until(all_saved(browser))
        until(lambda: text(browser, "counts") == "30 of 30 answered")
        until(lambda: text(browser, "empty-title") == "Every image has an answer")
        assert not browser.find_element(By.ID, "more").is_displayed()
    assert len(stored(folder)[0]) == 30


def test_ctrl_c_ends_the_server_within_a_second_while_it_learns(browser, tmp_path):
    folder = tmp_path / "images"
    slow = {**QUICK, "training": {"steps": 200_000, "batch_size": 16}}
    with_network(folder, 5)
    with Project.open(folder) as project:
        project.change(config=slow)
    with running_server(folder) as (process, base, token):
        open_page(browser, base, token)
        until(lambda: "learning from the labels" in text(browser, "ahead-state"))
        answer(browser, "1")
        until(all_saved(browser))
        before = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait()
        took = time.monotonic() - before
    assert took < 2.0  # one by design; this machine may be busy
    assert len(stored(folder)[0]) == 25


def predicted(folder, probabilities, calibrated):
    """Images that a network says are red, with these probabilities, and four others."""
    make_images(folder, len(probabilities) + 4)
    n = len(probabilities)
    with begin(folder, classes=CLASSES, holdout=0).project as p:
        items = [QueryItem(i, None, {}, 0, "", probability=x) for i, x in enumerate(probabilities)]
        facts = {"temperature": 1.5, "items": 30 if calibrated else 0}
        p.ledger.note(WHY, {"neighbours": {}, "calibration": facts}, round=0)
        p.ledger.asked(0, [*items, *(QueryItem(n + i) for i in range(4))])


def marks(browser):
    tiles = until(lambda: find(browser, "#tiles .tile"))
    loaded = "return [...document.querySelectorAll('#tiles img')].every((i) => i.naturalWidth)"
    until(lambda: browser.execute_script(loaded))
    return [(t.text, t.get_attribute("aria-pressed")) for t in tiles]


def test_the_grid_marks_what_is_surely_right_and_sorts(browser, tmp_path):
    folder = tmp_path / "images"
    predicted(folder, [0.5, 0.97, 0.949, 1.0], calibrated=True)
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        press(browser, "g")
        assert marks(browser) == [
            ("99 %", "true"), ("97 %", "true"), ("95 %", "false"), ("50 %", "false"),
        ]  # fmt: skip
        # A class's key is for what a person marked, so here it does nothing.
        press(browser, "2")
        assert "Mark the images first" in text(browser, "grid-count")
        find(browser, "#tiles .tile")[3].click()
        press(browser, "2")
        until(all_saved(browser))
        until(lambda: text(browser, "counts") == "1 of 8 answered")
        press(browser, Keys.ENTER)
        until(lambda: text(browser, "counts") == "3 of 8 answered")
        # One undo for the two that were confirmed at once, also after a reload.
        browser.refresh()
        until(lambda: find(browser, "#history li"))
        until(seen(browser))
        press(browser, Keys.BACKSPACE)
        until(lambda: text(browser, "counts") == "1 of 8 answered")
    labels, _, answers = stored(folder)
    assert labels == {0: 1}
    assert len(answers) == 3


def test_nothing_is_marked_where_no_label_checked_the_percentages(browser, tmp_path):
    folder = tmp_path / "images"
    predicted(folder, [0.99, 1.0], calibrated=False)
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        press(browser, "g")
        assert [mark for _, mark in marks(browser)] == ["false", "false"]
        assert not browser.find_element(By.ID, "confirm").is_enabled()
        press(browser, Keys.ENTER)
    assert stored(folder)[0] == {}


def test_without_predictions_there_is_no_grid(browser, tmp_path):
    folder = tmp_path / "images"
    asked_folder(folder, 5)
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        assert not browser.find_element(By.ID, "mode").is_enabled()
        press(browser, "g")
        assert browser.find_element(By.ID, "single").is_displayed()


def places(browser):
    return [b.text for b in find(browser, "#classes button")]


def test_buttons_and_digits_never_move_and_own_keys_choose(browser, tmp_path):
    folder = tmp_path / "images"
    names = [f"kind {letter}" for letter in "abcdefghijklm"]
    ids = asked_folder(folder, 6, names)
    with Project.open(folder) as project:
        set_key(project.ledger, "kind m", "x")
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        before = places(browser)
        answer(browser, ["5", "0", "x"])
        until(all_saved(browser))
        until(seen(browser))
        assert places(browser) == before
        # After the key of the search field the own key is a letter again.
        press(browser, "/")
        press(browser, "x")
        assert text(browser, "no-class") == "No such class."
        press(browser, Keys.BACKSPACE)
        press(browser, "c")
        assert [b.text for b in find(browser, "#classes button") if b.is_displayed()] == [
            "kind c\n3"
        ]
        press(browser, Keys.ENTER)
        until(lambda: text(browser, "counts") == "4 of 6 answered")
    labels, _, _ = stored(folder)
    assert [labels[i] for i in ids[:4]] == [4, 9, 12, 2]


def test_an_old_answer_is_changed_by_its_picture(browser, tmp_path):
    folder = tmp_path / "images"
    ids = asked_folder(folder, 5)
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        answer(browser, "12")
        until(all_saved(browser))
        until(seen(browser))
        here = text(browser, "name")
        find(browser, "#history button")[1].click()
        until(lambda: "you answered red" in text(browser, "why"))
        press(browser, Keys.ESCAPE)
        until(lambda: text(browser, "name") == here)
        find(browser, "#history button")[1].click()
        until(lambda: "you answered red" in text(browser, "why"))
        answer(browser, "3")
        until(lambda: text(browser, "name") == here)
        until(all_saved(browser))
        until(lambda: text(browser, "counts") == "2 of 5 answered")
    labels, _, _ = stored(folder)
    assert labels == {ids[0]: 2, ids[1]: 1}


def transform(browser):
    return browser.execute_script("return document.getElementById('image').style.transform")


@pytest.mark.slow
def test_zoom_by_key_and_wheel_and_nothing_moves(browser, tmp_path):
    folder = tmp_path / "images"
    with_network(folder, 8, side=(1600, 1000))
    box = "return JSON.stringify(['stage', 'classes', 'past'].map((id) => " \
          "document.getElementById(id).getBoundingClientRect()))"  # fmt: skip
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        press(browser, "z")
        assert "scale" in transform(browser)
        # One point of the file is one of the screen, and more of its points are fetched.
        until(lambda: "view=large" in browser.find_element(By.ID, "image").get_attribute("src"))
        scale = "return document.getElementById('image').getBoundingClientRect().width"
        fitted = "return Math.min(stage.clientWidth / 1600, stage.clientHeight / 1000)"
        ratio = browser.execute_script(scale) / browser.execute_script("return stage.clientWidth")
        assert ratio * browser.execute_script(fitted) == pytest.approx(1.0, rel=1e-3)
        press(browser, "z")
        assert transform(browser) == ""
        stage = ScrollOrigin.from_element(browser.find_element(By.ID, "stage"))
        ActionChains(browser).scroll_from_origin(stage, 0, -300).perform()
        until(lambda: "scale" in transform(browser))
        until(seen(browser))
        where = browser.execute_script(box)
        for _ in range(4):
            answer(browser, "1")
            until(seen(browser))
            assert transform(browser) == ""
            assert browser.execute_script(box) == where
