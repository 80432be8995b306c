"""A person's first minutes: an empty folder, photographs, labels, one of them wrong, put right.

Everything by the page's own keys and links, with the network that a new project has.
"""

import time

import pytest
from page_driver import all_saved, no_browser, open_page, press, seen, stored, text
from selenium.webdriver.common.by import By
from small_project import CLASSES, make_images
from test_one_command import PALETTE, label
from waiting import until

from labelgap.project.keep.store import Project

pytestmark = [no_browser, pytest.mark.slow]
IMAGES, MISTAKE = 36, 17


def test_from_an_empty_folder_to_a_corrected_label(browser, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    truth = make_images(folder, IMAGES)
    began = time.monotonic()
    with label(folder, "--classes", PALETTE) as (_, base, token):
        open_page(browser, base, token)
        wrong = None
        for number in range(IMAGES):
            until(lambda: browser.find_element(By.ID, "single").is_displayed())
            until(seen(browser))
            name = text(browser, "name").partition(" · ")[0]
            right = CLASSES.index(truth[name])
            if number == MISTAKE:  # a slip of the finger
                wrong, right = name, (right + 1) % 3
            press(browser, str(right + 1))
        until(all_saved(browser))
        until(lambda: text(browser, "empty-title") == "Every image has an answer")
        browser.find_element(By.LINK_TEXT, "Review the answers").click()
        until(lambda: browser.find_element(By.ID, "head").is_displayed())
        browser.find_element(By.CSS_SELECTOR, "#views [data-view=errors]").click()
        until(lambda: browser.find_elements(By.ID, "doubt"))
        doubted = browser.find_element(By.CSS_SELECTOR, "#doubt figcaption").text
        assert doubted == wrong
        browser.find_element(By.TAG_NAME, "body").send_keys("c")
        until(lambda: text(browser, "saved").startswith("✓ all saved"))
    print(f"{time.monotonic() - began:.0f} s from the command to the corrected label")
    labels, skipped, answers = stored(folder)
    assert not skipped
    assert len(labels) == IMAGES
    assert len(answers) == IMAGES + 1
    assert answers[-1].kind == "corrected"
    with Project.open(folder, "read") as project:
        paths = {item.id: item.path for item in project.items.all()}
    assert {paths[i]: CLASSES[k] for i, k in labels.items()} == truth
