"""`labelgap label PHOTOS`: from a bare folder to the page, and on from there, in real processes."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest
from small_project import CLASSES, answer_all, make_images, wait_for_link

from labelgap.core.errors import FolderError
from labelgap.project.exchange.begin import begin_or_go_on
from labelgap.project.keep.settings import HOME, ITEMS
from labelgap.project.keep.store import Project

PALETTE = ",".join(CLASSES)


@contextmanager
def label(*words):
    """The command while it serves: (what it said before the link, its address, its token)."""
    command = [sys.executable, "-u", "-m", "labelgap", "label", "--no-browser", *map(str, words)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    )
    said = []

    class Listened:
        """The process's output, kept while `wait_for_link` reads it."""

        poll = process.poll

        class stdout:
            @staticmethod
            def readline():
                said.append(process.stdout.readline())
                return said[-1]

    try:
        base, _, token = wait_for_link(Listened).partition("/#token=")
        yield " ".join("".join(said).split()), base, token.partition("&")[0]
    finally:
        process.kill()  # at any instant: what was asked is in the ledger
        process.wait()
        process.stdout.close()


def state_of_page(base, token):
    """What the page's server answers to somebody with the token."""
    headers = {"content-type": "application/json", "origin": base}
    body = json.dumps({"token": token}).encode()
    with urlopen(Request(f"{base}/api/session", body, headers)) as answer:
        cookie = answer.headers["set-cookie"].partition(";")[0]
    with urlopen(Request(f"{base}/api/state", headers={"cookie": cookie})) as answer:
        return json.load(answer)


def waiting(folder):
    with Project.open(folder, "read") as project:
        return [item.id for item in project.waiting()]


def test_a_bare_folder_becomes_a_page_and_goes_on_where_it_was(tmp_path):
    folder = tmp_path / "my photos"
    truth = make_images(folder, 40)
    words = (folder, "--classes", PALETTE, "--network", "small", "--ask", 10)
    with label(*words) as (said, base, token):
        steps = [said.index(f"{k} of 3") for k in (1, 2, 3)]
        assert steps == sorted(steps)
        assert "40 images, 3 classes (red, green, blue)" in said
        assert "network: a small ResNet, trained from scratch" in said
        assert "choosing 10 images to label" in said
        state = state_of_page(base, token)
        assert (state["asked"], state["done"]) == (10, 0)
    first = waiting(folder)
    assert len(first) == 10
    # Killed, and called again without a word about classes: the same questions, nothing new.
    make_images(folder / "more", 3, seed=5)
    with label(folder) as (said, _, _):
        assert "10 images wait to be labelled" in said
        assert "43 images, 3 classes" in said  # what came meanwhile is taken in
    assert waiting(folder) == first
    with Project.open(folder) as project:
        answer_all(project, truth)
        project.change(config={"training": {"steps": 5}, "network": {"width": 8, "blocks": [1]}})
    with label(folder, "--ask", 4) as (said, _, _):
        assert "choosing 4 images to label" in said
    assert len(waiting(folder)) == 4
    assert not set(waiting(folder)) & set(first)


def test_ctrl_c_says_what_to_do_with_the_answers(tmp_path):
    make_images(tmp_path, 5)
    with begin_or_go_on(tmp_path, classes=CLASSES, network="small").project as project:
        for item in range(5):
            project.ledger.answer(item, item % 3, person="anna")
    words = ["label", str(tmp_path), "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "labelgap", *words], stdout=subprocess.PIPE, text=True
    )
    wait_for_link(process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    next_ = f"next: labelgap train --project {tmp_path}"
    assert "".join(said.split()).endswith("".join(next_.split()))  # a line may be broken
    assert process.returncode == 130


def test_where_nothing_is_left_to_ask_the_page_opens_all_the_same(tmp_path):
    make_images(tmp_path, 2)
    with begin_or_go_on(tmp_path, classes=CLASSES, network="small").project as project:
        for item in (0, 1):
            project.ledger.answer(item, item, person="anna")
    with label(tmp_path) as (said, base, token):
        assert "nothing left to ask" in said
        state = state_of_page(base, token)
        assert (state["asked"], state["labelled"]) == (0, 2)


def test_going_on_contradicts_nothing_and_begins_nothing_anew(tmp_path):
    make_images(tmp_path, 6)
    begin_or_go_on(tmp_path, classes=CLASSES, network="small").project.close()
    with begin_or_go_on(tmp_path, classes=CLASSES).project as project:
        assert project.items.count() == 6
    with pytest.raises(FolderError, match="has a project already, with the classes red"):
        begin_or_go_on(tmp_path, classes=("cat", "dog"))
    for file in (tmp_path / HOME).glob("ledger.sqlite*"):
        file.unlink()
    assert (tmp_path / HOME / ITEMS).exists()
    with pytest.raises(FolderError, match="is missing, and with it the labels"):
        begin_or_go_on(tmp_path)
