import shutil

import pytest
from page_driver import CHROMIUM, DRIVER
from selenium import webdriver
from small_project import CLASSES, QUICK, make_images

from labelgap.project.exchange.begin import begin
from labelgap.project.keep.store import Project


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of its own for every test."""
    monkeypatch.setenv("LABELGAP_CACHE", str(tmp_path / "the-cache"))


@pytest.fixture
def truth(tmp_path):
    return {f"im{i:04d}.png": CLASSES[i % 3] for i in range(60)}


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A folder of 60 images with a fresh project, to be copied."""
    path = tmp_path_factory.mktemp("template") / "images"
    make_images(path)
    begin(path, classes=CLASSES, method="margin", config=QUICK).project.close()
    return path


@pytest.fixture
def folder(tmp_path, template):
    """Sixty images, with a project."""
    return shutil.copytree(template, tmp_path / "images")


@pytest.fixture
def project(folder):
    with Project.open(folder) as made:
        yield made


BARE = (
    "--no-first-run", "--disable-extensions", "--disable-component-update", "--disable-sync",
    "--disable-background-networking", "--disable-default-apps", "--disable-features=Translate,"
    "OptimizationHints,MediaRouter,DialMediaRouteProvider",
)  # fmt: skip
"""Without what a browser does beside showing pages, an eighth of these tests' time."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1200,860",
        *BARE,
    ):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()
