"""The label page in a real headless Chromium: keys, undo, reload, offline, grid, many classes."""

import csv
import gzip
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from page_driver import (
    SHOTS,
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
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from small_project import CLASSES, QUICK, make_images, running_server
from waiting import until

from labelgap.core.types import QueryItem
from labelgap.project.asking.work import Work
from labelgap.project.exchange.begin import begin

pytestmark = no_browser


def shot(browser, name):
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(SHOTS, f"{name}.png")))


def current(browser):
    return browser.find_element(By.ID, "image").get_attribute("alt")


def test_label_by_keyboard(browser, tmp_path):
    folder = tmp_path / "images"
    ids = asked_folder(folder, 30)
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        shot(browser, "single")
        assert "token" not in browser.current_url
        assert browser.execute_script("return document.cookie") == ""  # HttpOnly
        alt = current(browser)
        press(browser, "1")
        until(lambda: current(browser) != alt)
        press(browser, Keys.BACKSPACE)
        until(lambda: current(browser) == alt)
        until(all_saved(browser))
        answer(browser, ["2", "b", "u", Keys.SPACE, "-"])
        answer(browser, [str(1 + i % 3) for i in range(25)])
        until(lambda: browser.find_element(By.ID, "empty").is_displayed())
        until(all_saved(browser))
        until(lambda: text(browser, "counts") == "30 of 30 answered")
        shot(browser, "done")
        until(lambda: "✓" in text(browser, "history"))
        problems = [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
        assert problems == []
    labels, skipped, answers = stored(folder)
    assert labels[ids[0]] == 1
    assert [skipped[i] for i in ids[1:4]] == ["bad image", "unsure", "skip"]
    assert labels[ids[4]] == -1
    assert [labels[i] for i in ids[5:]] == [i % 3 for i in range(25)]
    assert len(answers) == 28  # 27 labels, and the one that was undone


def shown_pixels(browser):
    script = """
      const image = document.getElementById("image"), canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      return [...context.getImageData(0, 0, canvas.width, canvas.height).data];
    """
    return np.array(browser.execute_script(script)).reshape(12, 12, 4)[..., :3]


@pytest.mark.slow
def test_the_next_project_on_this_port_shows_its_own_images(browser, tmp_path):
    """Ids begin at 0 in every project, and the browser keeps images."""
    port = "0"
    for seed, name in enumerate(("one", "two")):
        folder = tmp_path / name
        make_images(folder, 6, seed=seed)
        with begin(folder, classes=CLASSES).project as project:
            project.ledger.asked(0, [QueryItem(0), QueryItem(1)])
        with running_server(folder, "--no-ahead", "--port", port) as (_, base, token):
            port = base.rpartition(":")[2]
            open_page(browser, base, token)
            with Image.open(folder / "im0000.png") as image:
                np.testing.assert_array_equal(shown_pixels(browser), np.asarray(image))


def test_ask_for_more_on_the_page_when_a_batch_is_done(browser, tmp_path):
    folder = tmp_path / "images"
    ids = asked_folder(folder, 20)
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        answer(browser, [str(1 + i % 3) for i in range(20)])
        until(lambda: browser.find_element(By.ID, "more").is_displayed())
        number = browser.find_element(By.ID, "more-n")
        number.clear()
        number.send_keys("10")
        assert text(browser, "counts") == "20 of 20 answered"  # a number typed there is no answer
        number.send_keys(Keys.ENTER)
        until(lambda: browser.find_element(By.ID, "single").is_displayed())
        until(lambda: text(browser, "counts") == "20 of 30 answered")
        until(seen(browser))
        until(lambda: text(browser, "ahead-state") == "10 more images are here")
        shot(browser, "asked")
        answer(browser, "1" * 10)
        until(lambda: browser.find_element(By.ID, "empty").is_displayed())
        until(all_saved(browser))
        shot(browser, "asked-done")
        assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []
    labels, _, answers = stored(folder)
    assert [labels[i] for i in ids] == [i % 3 for i in range(20)]
    assert len(labels) == len(answers) == 30


@pytest.mark.slow
def test_a_page_has_no_log_of_the_page_before(browser, tmp_path):
    """What its server's end did to that one: seen once as a failure of the next test."""

    def severe():
        return [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]

    for name in ("one", "two"):
        asked_folder(tmp_path / name, 20)
    with running_server(tmp_path / "one", "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
    failed = "fetch('/image/0?v=gone').then(() => done(false), () => done(true))"
    assert browser.execute_async_script(f"const done = arguments[0]; {failed}")
    with running_server(tmp_path / "two", "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        assert severe() == []
        browser.execute_async_script("fetch('/image/99999').finally(arguments[0])")
        until(lambda: any("/image/99999" in message for message in severe()))


def test_answers_wait_for_the_server_and_arrive_once(browser, tmp_path):
    folder = tmp_path / "images"
    ids = asked_folder(folder, 20)
    with running_server(folder, "--no-ahead") as (process, base, token):
        open_page(browser, base, token)
        press(browser, "1")
        until(all_saved(browser))
        got = "new Set(performance.getEntriesByType('resource').map((r) => r.name)"
        got += ".filter((name) => name.includes('view=full'))).size"  # not the history's
        until(lambda: browser.execute_script(f"return {got}") == 7)  # two shown, and five ahead
        process.send_signal(signal.SIGKILL)
        process.wait()
        answer(browser, "22222")  # the images fetched ahead
        until(lambda: text(browser, "saved") == "5 not saved yet")
        until(lambda: "kept here" in text(browser, "banner"))
        assert "✓" not in text(browser, "history").split("\n")[0]
        shot(browser, "offline")
    with running_server(folder, "--no-ahead") as (_, again, _):
        assert again == base  # the page finds the server where it was
        until(all_saved(browser))
        assert not browser.find_element(By.ID, "banner").is_displayed()
        browser.refresh()
        until(lambda: text(browser, "counts") == "6 of 20 answered")
        # An answer from before the reload can be undone.
        press(browser, Keys.BACKSPACE)
        until(lambda: text(browser, "counts") == "5 of 20 answered")
    labels, _, answers = stored(folder)
    assert [labels[i] for i in ids[:5]] == [0, 1, 1, 1, 1]
    assert ids[5] not in labels
    assert len(answers) == 6
    assert len({e.request for e in answers}) == 6


def test_confirm_a_grid_of_one_prediction(browser, tmp_path):
    folder = tmp_path / "images"
    truth = make_images(folder)
    with begin(folder, classes=CLASSES, method="margin", config=QUICK, holdout=0).project as p:
        for i in range(12):
            p.ledger.answer(i, CLASSES.index(truth[p.items.get(i).path]), person="x")
        Work(p).ask(30)
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        assert "Why this image" in text(browser, "why")
        shot(browser, "why")
        press(browser, "g")
        tiles = until(lambda: browser.find_elements(By.CSS_SELECTOR, "#tiles .tile"))
        chosen = browser.find_element(By.ID, "grid-class").get_attribute("value")
        loaded = "return [...document.querySelectorAll('#tiles img')].every((i) => i.naturalWidth)"
        until(lambda: browser.execute_script(loaded))
        for tile in tiles:
            if tile.get_attribute("aria-pressed") == "false":
                tile.send_keys(Keys.SPACE)
        tiles[0].send_keys(Keys.SPACE)
        assert tiles[0].get_attribute("aria-pressed") == "false"
        shot(browser, "grid")
        browser.find_element(By.ID, "confirm").click()
        until(all_saved(browser))
        number = len(tiles) - 1
        until(lambda: text(browser, "counts") == f"{number} of 30 answered")
    labels, _, _ = stored(folder)
    assert sum(i >= 12 for i in labels) == number
    assert {y for i, y in labels.items() if i >= 12} == {int(chosen)}


@pytest.mark.slow
def test_two_hundred_classes_by_typing_on_a_phone(browser, tmp_path):
    folder = tmp_path / "images"
    names = [f"species {i:03d}" for i in range(200)]
    ids = asked_folder(folder, 5, names)
    with running_server(folder, "--no-ahead") as (_, base, token):
        browser.set_window_size(500, 900)
        try:
            open_page(browser, base, token)
            answer(browser, "137")
            # Digits choose from the list while nothing is typed, and are text after letters.
            until(all_saved(browser))
            until(seen(browser))
            press(browser, "es 1")
            until(
                lambda: (
                    len(browser.find_elements(By.CSS_SELECTOR, "#classes button:not([hidden])"))
                    < 200
                )
            )
            shot(browser, "phone")
            wide = "return document.documentElement.scrollWidth - innerWidth"
            assert browser.execute_script(wide) <= 0
            press(browser, Keys.ENTER)
            until(all_saved(browser))
        finally:
            browser.set_window_size(1200, 860)
    labels, _, _ = stored(folder)
    # The list stays as it is: 1 is species 000, 3 is 002, 7 is 006, whatever was chosen last.
    assert [names[labels[i]][-3:] for i in ids[:4]] == ["000", "002", "006", "100"]


def test_from_another_machine_over_plain_http(browser, tmp_path):
    """Not a secure context: the browser keeps some of its functions from the page."""
    folder = tmp_path / "images"
    ids = asked_folder(folder, 4)
    with running_server(folder, "--no-ahead", "--host", "0.0.0.0") as (_, base, token):
        if "127.0.0.1" in base or base.split("//")[1].split(":")[0] == socket.gethostname():
            pytest.skip("this machine has no address but its own")
        open_page(browser, base, token)
        assert browser.execute_script("return isSecureContext") is False
        answer(browser, "12")
        until(all_saved(browser))
        until(lambda: text(browser, "counts") == "2 of 4 answered")
    labels, _, answers = stored(folder)
    assert labels == {ids[0]: 0, ids[1]: 1}
    assert len({e.request for e in answers}) == 2


def test_one_class(browser, tmp_path):
    folder = tmp_path / "images"
    ids = asked_folder(folder, 4, ["flower"])
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        answer(browser, "15n")  # 5 is no class: nothing happens
        until(all_saved(browser))
        shot(browser, "one-class")
    labels, _, _ = stored(folder)
    assert labels == {ids[0]: 0, ids[1]: -1}


def test_the_login_name_gives_way_to_a_chosen_one(browser, tmp_path):
    folder = tmp_path / "images"
    asked_folder(folder, 4)
    with running_server(folder, "--no-ahead") as (_, base, token):
        for link, shown in (
            ("user=berta", "berta"),
            ("person=carla", "carla"),  # --annotator carla
            ("user=berta", "carla"),
        ):
            browser.get("about:blank")
            browser.get(f"{base}/#token={token}&{link}")
            until(lambda shown=shown: text(browser, "person") == shown)


def test_everything_is_reached_by_tab_with_visible_focus(browser, tmp_path):
    folder = tmp_path / "images"
    asked_folder(folder, 4)
    with running_server(folder, "--no-ahead") as (_, base, token):
        open_page(browser, base, token)
        seen = set()
        for _ in range(25):
            press(browser, Keys.TAB)
            active = browser.switch_to.active_element
            if active.tag_name == "body":
                break
            style = "return getComputedStyle(arguments[0]).outlineStyle"
            assert browser.execute_script(style, active) == "solid", active.text
            seen.add(active.text.split("\n")[0])
        assert {"Skip", "Undo", *CLASSES} <= seen, seen
        images = browser.find_elements(By.TAG_NAME, "img")
        assert all(i.get_attribute("alt") for i in images if i.is_displayed())


FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
GARMENTS = ("tshirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
            "bag", "boot")  # fmt: skip


def fashion(folder, n):
    """n images of Fashion-MNIST as files; returns path -> class."""
    folder.mkdir()
    with gzip.open(FASHION / "train-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(16 + n * 784)[16:], np.uint8).reshape(n, 28, 28)
    with gzip.open(FASHION / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(8 + n)[8:], np.uint8)
    truth = {}
    for i in range(n):
        name = f"im{i:05d}.png"
        Image.fromarray(images[i]).save(folder / name)
        truth[name] = GARMENTS[labels[i]]
    return truth


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_from_two_thousand_images_to_an_export(browser, tmp_path, capsys):
    """init, ask 50, label 50 by keyboard, train, and once more; export; with times."""
    folder = tmp_path / "garments"
    truth = fashion(folder, 2000)
    times = {}

    def step(name, *words):
        started = time.monotonic()
        command = [sys.executable, "-m", "labelgap", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        times[name] = time.monotonic() - started
        return done.stdout

    own = ("--project", str(folder))
    step("init", "init", str(folder), "--classes", ",".join(GARMENTS))
    step("ask 50", "ask", "50", *own)
    for round in range(2):
        started = time.monotonic()
        with running_server(folder, "--no-ahead") as (_, base, token):
            open_page(browser, base, token)
            shot(browser, f"fashion-{round}")
            for _ in range(50):
                until(seen(browser))
                name = text(browser, "name").split(" ")[0]
                press(browser, str((GARMENTS.index(truth[name]) + 1) % 10))
            until(lambda: browser.find_element(By.ID, "empty").is_displayed())
            until(all_saved(browser))
            shot(browser, f"fashion-{round}-done")
        times[f"label 50 (round {round})"] = time.monotonic() - started
        said = step(f"train (round {round})", "train", *own)
        with capsys.disabled():
            print(said)
        if round == 0:
            step("ask 50 more", "ask", "50", *own)
    step("status", "status", *own)
    step("export", "export", "--format", "csv", "--out", str(tmp_path / "labels.csv"), *own)
    with capsys.disabled():
        for name, seconds in times.items():
            print(f"{name:>22} {seconds:6.1f} s")
    rows = list(csv.DictReader((tmp_path / "labels.csv").open()))
    assert len(rows) == 100
    assert all(truth[row["path"]] == row["label"] for row in rows)
