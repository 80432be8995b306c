"""No label is lost: kills, a full disk, two servers, a clock that goes back."""

import http.client
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

import numpy as np
import pytest
from disks import small_file_system
from small_project import CLASSES, make_images, running_server
from waiting import PATIENCE, until

from labelgap.core.errors import LedgerError
from labelgap.core.types import QueryItem
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.store import Project


def post(base, token, answers, person="anna"):
    request = urllib.request.Request(
        f"{base}/api/answers",
        data=json.dumps({"person": person, "answers": answers}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)["results"]


class Client(threading.Thread):
    """Answers one image after the other and sends each until it is acknowledged; keeps what was."""

    def __init__(self, base, token, items, person):
        super().__init__(daemon=True)
        self.base, self.token, self.items, self.person = base, token, items, person
        self.sent, self.acknowledged, self.over = [], [], False

    def run(self):
        rng = random.Random(self.person)
        number = 0
        while not self.over:
            number += 1
            answer = {
                "kind": "label",
                "id": rng.choice(self.items),
                "label": rng.randrange(3),
                "request": f"{self.person}-{number:06d}",
            }
            self.sent.append(answer)
            while not self.over:
                try:
                    result = post(self.base, self.token, [answer], self.person)[0]
                except (OSError, http.client.HTTPException, ValueError):
                    time.sleep(0.005)
                    continue
                assert "stored" in result, result
                self.acknowledged.append(answer)
                break


def kill_often(folder, kills):
    """Kill the server at random instants while two clients send; check what is stored."""
    rng, clients = random.Random(1), []

    def acknowledged():
        return sum(len(client.acknowledged) for client in clients)

    for _ in range(kills):
        with running_server(folder) as (process, base, token):
            if not clients:
                clients = [Client(base, token, list(range(20)), p) for p in ("anna", "bert")]
                for client in clients:
                    client.start()
            # Some answers later, and a moment: while another one is on its way.
            wanted = acknowledged() + rng.randint(1, 20)
            until(lambda wanted=wanted: acknowledged() >= wanted)
            time.sleep(rng.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
            process.wait()
    for client in clients:
        client.over = True
        client.join(PATIENCE)
        assert not client.is_alive()
    with Project.open(folder, "read") as project:
        events = [e for e in project.ledger.events() if e.request]
    stored = {e.request: (e.id, e.label, e.person) for e in events}
    assert len(stored) == len(events)  # exactly once
    for client in clients:
        assert client.acknowledged
        for a in client.acknowledged:
            assert stored.pop(a["request"]) == (a["id"], a["label"], client.person)
    # What is stored and was not acknowledged is the one answer that was on its way.
    sent = {a["request"] for c in clients for a in c.sent}
    assert len(stored) <= len(clients)
    assert set(stored) <= sent


def test_acknowledged_answers_survive_kills(folder):
    kill_often(folder, 3)


@pytest.mark.slow
def test_acknowledged_answers_survive_a_hundred_kills(folder):
    kill_often(folder, 100)


def test_a_second_server_is_refused_and_names_the_first(folder):
    with running_server(folder) as (process, _, _):
        command = [sys.executable, "-m", "labelgap", "label", "--project", str(folder)]
        second = subprocess.run(
            [*command, "--no-browser"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert second.returncode == 2
        assert f"pid {process.pid}" in second.stderr
        with pytest.raises(LedgerError, match=f"pid {process.pid}"):
            Project.open(folder)
        # Reading and backing up go on beside it.
        with Project.open(folder, "read") as project:
            assert project.items.count() == 60


def test_the_server_ends_at_once_and_frees_the_project(folder):
    with running_server(folder) as (process, base, token):
        assert "stored" in post(base, token, [
            {"kind": "label", "id": 1, "label": 2, "request": "request-1"}
        ])[0]  # fmt: skip
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    with Project.open(folder) as project:
        assert project.ledger.labels == {1: 2}


def test_a_clock_that_goes_back_changes_nothing(project):
    times = [datetime(2030, 1, day, tzinfo=UTC) for day in (9, 3, 1)]
    for label, when in enumerate(times):
        project.ledger._now = lambda when=when: when
        project.ledger.answer(7, label, person="anna")
    assert project.ledger.labels == {7: 2}  # the last one said, whatever the clock said
    project.ledger.undo(7, person="anna")
    assert project.ledger.labels == {7: 1}


def test_a_disk_that_fills_up_while_people_label(tmp_path):
    with small_file_system(tmp_path / "disk", "1m") as disk:
        make_images(disk / "images", 12)
        begin(disk / "images", classes=CLASSES).project.close()
        with running_server(disk / "images") as (_, base, token):
            (disk / "filler").write_bytes(b"x" * (shutil.disk_usage(disk).free - 60_000))
            stored, refused = 0, None
            for k in range(5000):
                answer = {"kind": "label", "id": k % 12, "label": k % 3, "request": f"req-{k:05d}"}
                try:
                    assert "stored" in post(base, token, [answer])[0]
                    stored += 1
                except urllib.error.HTTPError as error:
                    refused = error
                    break
            assert refused is not None
            assert refused.code == 507
            assert stored > 0
            (disk / "filler").unlink()
            assert "stored" in post(base, token, [answer])[0]  # the same request, now stored
        with Project.open(disk / "images", "read") as project:
            events = [e for e in project.ledger.events() if e.request]
            assert len(events) == stored + 1


def test_killed_while_adding_images(folder):
    """The next `add` finishes; every item's pixels are its own."""
    rng = np.random.default_rng(3)
    make_images(folder / "more", 240, seed=9)
    command = [sys.executable, "-m", "labelgap", "add", "--project", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pixels, full = folder / ".labelgap" / "pixels.u8", 300 * 12 * 12 * 3
    until(lambda: process.poll() is not None or pixels.stat().st_size >= full // 2)
    time.sleep(float(rng.uniform(0, 0.01)))
    process.kill()
    process.wait()
    with Project.open(folder) as project:
        project.add()
        assert project.items.count() == 300
        rows = project.pixels.open(300)
        from labelgap.data.images import decode

        for item in project.items.all():
            data = (folder / item.path).read_bytes()
            np.testing.assert_array_equal(rows[item.id], decode((item.path, data), 3, None, 12))


def test_items_asked_are_still_waiting_after_a_kill(project, folder):
    project.ledger.asked(0, [QueryItem(3), QueryItem(5)])
    project.close()
    with running_server(folder) as (process, base, token):
        key = {"Authorization": f"Bearer {token}"}
        for _ in range(2):
            url = urllib.request.Request(f"{base}/api/batch?person=a&n=5", headers=key)
            with urllib.request.urlopen(url, timeout=PATIENCE) as response:
                assert [i["id"] for i in json.load(response)] == [3, 5]
        process.kill()
    with Project.open(folder) as again:
        assert again.ledger.outstanding_ids().tolist() == [3, 5]
