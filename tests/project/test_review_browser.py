"""The review view in a real headless Chromium: doubts, bulk and undo, duplicates, the map."""

import os
import shutil
from pathlib import Path

import pytest
from review_project import planted_project
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from small_project import running_server
from waiting import until

from labelgap.project.keep.store import Project

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with its driver is installed"
)
SHOTS = os.environ.get("LABELGAP_SCREENSHOTS")
LOOKS = [(width, height, mode) for width, height in ((1280, 860), (390, 800))
         for mode in ("light", "dark")]  # fmt: skip


LOADED = """
  const seen = [...document.images].filter((i) => i.src && i.checkVisibility() && i.offsetWidth &&
    i.getBoundingClientRect().top < innerHeight && i.getBoundingClientRect().left < innerWidth);
  return seen.every((i) => i.complete && i.naturalWidth);
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,860"):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def shots(browser, name):
    """Pictures for people to look at, of each width and both modes; none without the variable."""
    if not SHOTS:
        return
    Path(SHOTS).mkdir(parents=True, exist_ok=True)
    for width, height, mode in LOOKS:
        emulate(browser, width, height, mode)
        until(lambda: browser.execute_script(LOADED))
        browser.save_screenshot(str(Path(SHOTS, f"{name}-{width}-{mode}.png")))
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def emulate(browser, width, height, mode):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": mode}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    # Two frames later it is drawn.
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
    )


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
        shots(browser, "errors")
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
        shots(browser, "browse")
        some = tiles(browser)[2:7]
        ids = [int(tile.get_attribute("data-id")) for tile in some]
        some[0].click()
        ActionChains(browser).key_down(Keys.SHIFT).click(some[4]).key_up(Keys.SHIFT).perform()
        other = tiles(browser)[9]
        ids.append(int(other.get_attribute("data-id")))
        ActionChains(browser).key_down(Keys.CONTROL).click(other).key_up(Keys.CONTROL).perform()
        assert text(browser, "chosen") == "6 chosen"
        shots(browser, "chosen")
        press(browser, "3")
        saved(browser)
        until(lambda: not shown(browser, "actions"))
        assert {labels_of(folder)[i] for i in ids} == {2}
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


def test_near_duplicates_are_left_out_but_for_one(browser, tmp_path):
    folder = tmp_path / "images"
    planted_project(folder)
    with running_server(folder) as (_, base, token):
        review(browser, base, token, "duplicates")
        until(lambda: browser.find_elements(By.CSS_SELECTOR, ".alike .rest"))
        shots(browser, "duplicates")
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


def test_draw_around_images_on_the_map_and_label_them(browser, tmp_path):
    folder = tmp_path / "images"
    planted_project(folder)
    with running_server(folder) as (_, base, token):
        review(browser, base, token, "map")
        until(lambda: text(browser, "legend"))
        canvas = browser.find_element(By.ID, "canvas")
        w, h = canvas.size["width"], canvas.size["height"]
        ActionChains(browser).move_to_element(canvas).perform()
        shots(browser, "map")
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
        shots(browser, "asked")
        no_trouble(browser)
    with Project.open(folder, "read") as project:
        said = [item.explanation for item in project.ledger.outstanding()]
    # The page of questions asks for others by itself meanwhile.
    assert said.count("chosen by berta on the map") > 10


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
        shots(browser, "locked")
