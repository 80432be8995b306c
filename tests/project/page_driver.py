"""The label page in a headless Chromium: how tests press its keys, look at it and check it."""

import os
import shutil
from pathlib import Path

import axe_core_python
import pytest
from selenium.webdriver.common.by import By
from small_project import CLASSES, QUICK, make_images
from waiting import until

from labelgap.project.asking.work import Work
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.store import Project

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
no_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with its driver is installed"
)

SHOTS = os.environ.get("LABELGAP_SCREENSHOTS")
"""Where to put screenshots for people to look at; none are made without it."""
SIZES = ((1280, 800), (1920, 1080), (390, 844))
EVERY_LOOK = [(scheme, size) for scheme in ("light", "dark") for size in SIZES]
LOOKS = EVERY_LOOK if SHOTS else [("light", SIZES[0]), ("dark", SIZES[2])]
"""In which a view is checked: all of them take minutes, so that without screenshots each scheme,
the usual window and the narrowest stand for the rest."""
AXE = Path(axe_core_python.__file__).with_name("axe.min.js").read_text()
AXE_RUN = """
  const done = arguments[0], drawn = new CSSStyleSheet(), before = document.adoptedStyleSheets;
  drawn.replaceSync("* { content-visibility: visible !important }");
  document.adoptedStyleSheets = [...before, drawn];
  for (const one of document.getAnimations()) {
    if (one.effect.getComputedTiming().endTime < Infinity) one.finish();
  }
  axe.run(document, { resultTypes: ["violations"] }).catch(String).then((found) => {
    document.adoptedStyleSheets = before;
    done(found);
  });
"""


def text(browser, id):
    return browser.find_element(By.ID, id).text


def press(browser, keys):
    browser.switch_to.active_element.send_keys(keys)


def all_saved(browser):
    return lambda: text(browser, "saved") == "✓ all saved"


def seen(browser):
    """Answers are taken once the image is there, or nothing is left."""
    script = """
      const image = document.getElementById("image");
      return document.getElementById("single").hidden || (image.complete && image.naturalWidth > 0)
    """
    return lambda: browser.execute_script(script)


def open_page(browser, base, token, person="anna"):
    """The page in the module's browser, with a log of its own: the page of a test before may have
    been fetching images when its server was killed, and such requests are no fault of this one."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(f"{base}/#token={token}&person={person}")
    shown = "#single:not([hidden]), #empty:not([hidden])"
    until(lambda: browser.find_elements(By.CSS_SELECTOR, shown))
    until(seen(browser))


def answer(browser, keys):
    """Each key once the image it is about is seen."""
    for key in keys:
        until(seen(browser))
        press(browser, key)


def in_light(browser, scheme):
    """As somebody sees it who asked for "light" or "dark"."""
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def of_size(browser, width, height):
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def two_frames(browser):
    """What depends on the last change has been laid out and painted."""
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
    )


def as_before(browser):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    two_frames(browser)  # else a test draws on a canvas that is still the phone's


def findings(browser):
    """What axe-core finds that is serious or worse, in one line each.

    Tiles that no one sees yet are drawn too: Chromium may answer for the others with the colours
    of the scheme before. What is on its way from one colour to another has arrived."""
    browser.execute_script(AXE)
    found = browser.execute_async_script(AXE_RUN)
    assert isinstance(found, dict), found
    return [
        f"{one['id']} at {node['target']}: {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


LOADED = """
  const seen = [...document.images].filter((i) => i.src && i.checkVisibility() && i.offsetWidth &&
    i.getBoundingClientRect().top < innerHeight && i.getBoundingClientRect().left < innerWidth);
  return seen.every((i) => i.complete && i.naturalWidth);
"""


def drawn(browser):
    """Every picture on the screen is there, two frames after the last change."""

    def ready():
        two_frames(browser)
        return browser.execute_script(LOADED)

    return ready


def look(browser, name, ready=seen):
    """Nothing serious in any of LOOKS; nothing wider than the page.

    ready: from the browser, the condition that all is there."""
    try:
        for scheme, (width, height) in LOOKS:
            in_light(browser, scheme)
            of_size(browser, width, height)
            until(ready(browser))
            found = findings(browser)
            assert not found, (name, scheme, width, found)
            wide = "return document.documentElement.scrollWidth - innerWidth"
            assert browser.execute_script(wide) <= 0, (name, scheme, width)
            if SHOTS:
                Path(SHOTS).mkdir(parents=True, exist_ok=True)
                browser.save_screenshot(str(Path(SHOTS, f"{name}-{width}-{scheme}.png")))
    finally:
        as_before(browser)


def asked_folder(folder, n, classes=CLASSES, config=QUICK, images=60):
    make_images(folder, images)
    with begin(folder, classes=classes, method="margin", config=config).project as project:
        asked = Work(project).ask(n)
    return [item.id for item in asked.items]


def stored(folder):
    with Project.open(folder, "read") as project:
        answers = [e for e in project.ledger.events() if e.kind in ("labelled", "corrected")]
        return project.ledger.labels, project.ledger.skipped, answers
