"""The review view in a real headless Chromium: doubts, bulk and undo, duplicates, the map."""

import pytest
from page_driver import drawn, look, no_browser
from review_project import planted_project
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from small_project import running_server
from waiting import until

from labelgap.project.keep.store import Project

pytestmark = no_browser
MANY = tuple(f"{a} {b}" for a in ("northern", "black-throated", "yellow-bellied", "semipalmated")
             for b in ("warbler", "sandpiper", "flycatcher", "kingfisher", "owl"))  # fmt: skip


def review(browser, base, token, part="browse"):
    """Log in by the link, then the review view, once the server has computed everything."""
    browser.get("about:blank")
    browser.get(f"{base}/#token={token}&person=berta")
    until(lambda: browser.execute_async_script(
        "const done = arguments[0]; fetch('/api/state').then((r) => done(r.ok))"
    ))  # fmt: skip
    # Of the page before, whose server has ended, and of asking before the login was through.
    browser.get_log("browser")
    browser.get(f"{base}/review#{part}")
    until(lambda: shown(browser, "head"))
    until(lambda: browser.execute_async_script(
        "const done = arguments[0]; fetch('/api/review/state').then((r) => r.json())"
        ".then((s) => done(s.done.includes('map') && !s.making.running))"
    ))  # fmt: skip
    # From here on nothing is drawn anew by itself while the test holds a part of the page.
    browser.refresh()
    until(lambda: shown(browser, "head"))


def shown(browser, id):
    return browser.find_element(By.ID, id).is_displayed()


def text(browser, id):
    return browser.find_element(By.ID, id).text


def press(browser, keys):
    browser.find_element(By.TAG_NAME, "body").send_keys(keys)


def saved(browser):
    until(lambda: text(browser, "saved").startswith("✓ all saved"))


def tiles(browser, box="tiles"):
    return browser.find_elements(By.CSS_SELECTOR, f"#{box} .tile")


def labels_of(folder):
    with Project.open(folder, "read") as project:
        return project.ledger.labels


def no_trouble(browser):
    assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []


def test_find_planted_label_errors_and_correct_them(browser, tmp_path):
    folder = tmp_path / "images"
    truth = planted_project(folder)
    with running_server(folder) as (_, base, token):
        review(browser, base, token, "errors")
        until(lambda: browser.find_elements(By.ID, "doubt"))
        look(browser, "review-errors", drawn)
        seen, kept = [], None
        for _ in range(10):
            id = int(browser.find_element(By.ID, "doubt").get_attribute("data-id"))
            seen.append(id)
            if id not in truth and kept is None:
                kept = id
            press(browser, "c" if id in truth else "k")
            until(lambda id=id: browser.find_element(By.ID, "doubt").get_attribute("data-id")
                  != str(id))  # fmt: skip
            if set(truth) <= set(seen) and kept is not None:
                break
        saved(browser)
        assert set(truth) <= set(seen)
        # What was kept does not come back, nor what was changed.
        browser.refresh()
        until(lambda: browser.find_elements(By.ID, "doubt"))
        queue = browser.execute_async_script(
            "const done = arguments[0]; fetch('/api/review/doubts?limit=500')"
            ".then((r) => r.json()).then((s) => done(s.items.map((i) => i.id)))"
        )
        assert not set(seen) & set(queue)
        no_trouble(browser)
    labels = labels_of(folder)
    assert {id: labels[id] for id in truth} == truth


def test_relabel_many_and_take_all_of_it_back(browser, tmp_path):
    folder = tmp_path / "images"
    planted_project(folder)
    before = labels_of(folder)
    with running_server(folder) as (_, base, token):
        review(browser, base, token)
        until(lambda: len(tiles(browser)) == 152)
        look(browser, "review-browse", drawn)
        some = tiles(browser)[2:7]
        ids = [int(tile.get_attribute("data-id")) for tile in some]
        some[0].click()
        ActionChains(browser).key_down(Keys.SHIFT).click(some[4]).key_up(Keys.SHIFT).perform()
        other = tiles(browser)[9]
        ids.append(int(other.get_attribute("data-id")))
        ActionChains(browser).key_down(Keys.CONTROL).click(other).key_up(Keys.CONTROL).perform()
        assert text(browser, "chosen") == "6 chosen"
        look(browser, "review-chosen", drawn)
        press(browser, "3")
        saved(browser)
        until(lambda: not shown(browser, "actions"))
        assert {labels_of(folder)[i] for i in ids} == {2}
        browser.refresh()  # what can be taken back outlives the page
        until(lambda: len(tiles(browser)) == 152)
        press(browser, Keys.BACKSPACE)
        saved(browser)
        until(lambda: labels_of(folder) == before)
        # A filter, a search, and nothing found.
        browser.find_element(By.ID, "f-text").send_keys("TWIN")
        until(lambda: len(tiles(browser)) == 2)
        browser.find_element(By.ID, "f-text").send_keys("x")
        until(lambda: text(browser, "found") == "No image passes these filters.")
        browser.find_element(By.ID, "f-clear").click()
        until(lambda: len(tiles(browser)) == 152)
        no_trouble(browser)


@pytest.mark.slow
def test_near_duplicates_are_left_out_but_for_one(browser, tmp_path):
    folder = tmp_path / "images"
    planted_project(folder)
    with running_server(folder) as (_, base, token):
        review(browser, base, token, "duplicates")
        until(lambda: browser.find_elements(By.CSS_SELECTOR, ".alike .rest"))
        look(browser, "review-duplicates", drawn)
        # In one step: what has just been computed is drawn anew.
        number = browser.execute_script(
            "const group = document.querySelector('.alike'); group.querySelector('.rest').click();"
            "return group.querySelectorAll('.tile').length"
        )
        saved(browser)
        no_trouble(browser)
    with Project.open(folder, "read") as project:
        events = [e for e in project.ledger.events() if e.kind == "skipped"]
    assert len(events) == number - 1
    assert {e.person for e in events} == {"berta"}


@pytest.mark.slow
def test_draw_around_images_on_the_map_and_label_them(browser, tmp_path):
    folder = tmp_path / "images"
    planted_project(folder)
    with running_server(folder) as (_, base, token):
        review(browser, base, token, "map")
        until(lambda: text(browser, "legend"))
        canvas = browser.find_element(By.ID, "canvas")
        w, h = canvas.size["width"], canvas.size["height"]
        ActionChains(browser).move_to_element(canvas).perform()
        look(browser, "review-map", drawn)
        corners = [(-w / 2 + 4, -h / 2 + 4), (w / 2 - 4, -h / 2 + 4), (w / 2 - 4, h / 2 - 4),
                   (-w / 2 + 4, h / 2 - 4)]  # fmt: skip
        chain = ActionChains(browser).move_to_element_with_offset(canvas, *map(int, corners[0]))
        chain.click_and_hold()
        for corner in corners[1:]:
            chain.move_to_element_with_offset(canvas, *map(int, corner))
        chain.release().perform()
        until(lambda: text(browser, "chosen") == "152 chosen")
        browser.find_element(By.ID, "ask").click()
        until(lambda: "will be asked" in text(browser, "saved"))
        look(browser, "review-asked", drawn)
        no_trouble(browser)
    with Project.open(folder, "read") as project:
        said = [item.explanation for item in project.ledger.outstanding()]
    # The page of questions asks for others by itself meanwhile.
    assert said.count("chosen by berta on the map") > 10


@pytest.mark.slow
def test_more_than_ten_classes_fit_in_every_view(browser, tmp_path):
    folder = tmp_path / "images"
    planted_project(folder, classes=MANY)
    with Project.open(folder) as project:
        project.ledger.answers({i: i % len(MANY) for i in project.ledger.labels}, person="anna")
    with running_server(folder) as (_, base, token):
        review(browser, base, token)
        until(lambda: len(tiles(browser)) == 152)
        look(browser, "review-many-browse", drawn)
        tiles(browser)[0].click()
        assert text(browser, "chosen") == "1 chosen"
        look(browser, "review-many-chosen", drawn)
        for part, there in (("errors", "#doubt"), ("duplicates", ".alike"), ("map", "#legend li")):
            browser.find_element(By.CSS_SELECTOR, f"#views [data-view={part}]").click()
            until(lambda there=there: browser.find_elements(By.CSS_SELECTOR, there))
            look(browser, f"review-many-{part}", drawn)
        no_trouble(browser)


def test_a_stranger_is_told_what_to_do(browser, tmp_path):
    folder = tmp_path / "images"
    planted_project(folder, 12, 0, 0)
    with running_server(folder) as (_, base, _):
        browser.delete_all_cookies()
        browser.get("about:blank")
        browser.get(f"{base}/review")
        until(lambda: shown(browser, "locked"))
        assert "labelgap label" in text(browser, "locked")
        assert not shown(browser, "head")
        assert [b for b in browser.find_elements(By.TAG_NAME, "button") if b.is_displayed()] == []
        look(browser, "review-locked", drawn)
