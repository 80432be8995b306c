"""Every view and state of the page: nothing serious for axe, in all sizes, light and dark."""

import numpy as np
import pytest
from page_driver import (
    all_saved,
    answer,
    asked_folder,
    look,
    no_browser,
    open_page,
    press,
    stored,
    text,
)
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from small_project import CLASSES, QUICK, make_images, running_server
from waiting import until

from labelgap.core.types import QueryItem
from labelgap.project.asking.work import Work
from labelgap.project.exchange.begin import begin

pytestmark = no_browser
ANIMALS = ("ant", "bear", "cat", "dog", "eagle", "fox", "goat", "hen", "ibis", "jaguar")
MANY = tuple(f"{a} {b}" for a in ("common", "great", "northern", "lesser", "black-throated",
             "yellow-bellied", "semipalmated", "red") for b in ("warbler", "sandpiper", "owl",
             "flycatcher", "gull", "tern", "heron", "kingfisher", "woodpecker", "cormorant",
             "chickadee", "nuthatch", "treecreeper"))[:102]  # fmt: skip


def with_network(folder, asked, labelled=24, side=None):
    """A project whose network knows some labels, with images that wait."""
    truth = make_images(folder)
    if side:
        rng = np.random.default_rng(1)
        for name in truth:
            small = rng.integers(0, 255, (6, 9, 3)).astype(np.uint8)
            large = Image.fromarray(small).resize(side, Image.Resampling.BICUBIC)
            large.save(folder / name, compress_level=0)
    with begin(folder, classes=CLASSES, method="margin", config=QUICK).project as p:
        for i in range(labelled):
            p.ledger.answer(i, CLASSES.index(truth[p.items.get(i).path]), person="anna")
        Work(p).ask(asked)


def test_one_image_with_its_reason_its_neighbours_and_history(browser, tmp_path):
    folder = tmp_path / "images"
    with_network(folder, 20, side=(900, 600))
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        until(lambda: browser.find_elements(By.CSS_SELECTOR, "#history img"))
        while "the network" not in text(browser, "why"):
            answer(browser, "1")
        look(browser, "one")
        press(browser, "?")
        until(lambda: browser.find_element(By.ID, "keys").is_displayed())
        look(browser, "keys")
        press(browser, Keys.ESCAPE)
        until(lambda: not browser.find_element(By.ID, "keys").is_displayed())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "classes"), [("ten", ANIMALS), ("many", MANY)])
def test_classes_fit_on_every_screen(browser, tmp_path, name, classes):
    folder = tmp_path / "images"
    asked_folder(folder, 5, classes)
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        look(browser, name)


def test_the_grid(browser, tmp_path):
    folder = tmp_path / "images"
    with_network(folder, 30)
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        press(browser, "g")
        until(lambda: browser.find_elements(By.CSS_SELECTOR, "#tiles .tile"))
        look(browser, "grid")


def test_the_end_says_how_good_it_is_and_what_the_next_costs(browser, tmp_path):
    folder = tmp_path / "images"
    with_network(folder, 20)
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        answer(browser, "123" * 6 + "12")
        until(all_saved(browser))
        until(lambda: browser.find_element(By.ID, "empty").is_displayed())
        assert text(browser, "empty-title") == "This batch is done"
        until(lambda: "s an answer so far" in text(browser, "cost"))
        assert "Accuracy on images it never learned" in text(browser, "outcome")
        assert browser.find_element(By.LINK_TEXT, "Review the answers").is_displayed()
        look(browser, "end")
        browser.find_element(By.ID, "more-go").click()
        until(lambda: browser.find_element(By.ID, "single").is_displayed())
        answer(browser, "123" * 5 + "1")
        until(lambda: text(browser, "empty-title") == "Every image has an answer")
        drawn = until(lambda: browser.find_elements(By.CSS_SELECTOR, "#curve svg"))
        assert drawn[0].get_attribute("aria-label").startswith("Accuracy by labels: ")
        assert len(browser.find_elements(By.CSS_SELECTOR, "#curve circle")) == 2
        look(browser, "finished")


@pytest.mark.slow
def test_waiting_says_what_goes_on_in_plain_words(browser, tmp_path):
    folder = tmp_path / "images"
    slow = {**QUICK, "training": {"steps": 200_000, "batch_size": 16}}
    asked_folder(folder, 6, config=slow)
    with running_server(folder) as (_, base, token):
        open_page(browser, base, token)
        until(lambda: "more images are here" in text(browser, "ahead-state"))  # nothing to train
        answer(browser, "123" * 8 + "12")
        until(all_saved(browser))
        until(lambda: browser.find_element(By.ID, "empty").is_displayed())
        until(lambda: text(browser, "empty-title") == "The next images are being chosen")
        until(lambda: "learning from the labels" in text(browser, "empty-text"))
        until(
            lambda: "%," in text(browser, "empty-text") and "about" in text(browser, "empty-text")
        )
        look(browser, "waiting")


def test_without_the_link_the_page_says_what_to_do(browser, tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 4)
    with begin(folder, classes=CLASSES).project as project:
        project.ledger.asked(0, [QueryItem(0)])
    with running_server(folder) as (_, base, _):
        browser.delete_all_cookies()
        browser.get("about:blank")
        browser.get(base)
        until(lambda: browser.find_element(By.ID, "locked").is_displayed())
        assert "labelgap label" in text(browser, "locked")
        controls = browser.find_elements(By.CSS_SELECTOR, "button, input, select, a")
        assert [c.text for c in controls if c.is_displayed() and c.text] == ["Try again"]
        look(browser, "no-link")
    assert stored(folder)[0] == {}
