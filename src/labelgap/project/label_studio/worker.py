"""The background worker of the Label Studio backend."""

import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from labelgap.core.errors import InUse, LabelgapError
from labelgap.project.keep.store import Project
from labelgap.project.label_studio.client import Client
from labelgap.project.label_studio.link import linked
from labelgap.project.label_studio.predictor import model_version
from labelgap.project.label_studio.pull import Pulled, pull

RETRY = 20.0
"""Seconds until a pull that failed, or a job that another writer kept waiting, is tried again."""
Say = Callable[[str], None]


class Worker:
    """One thread that pulls and trains when told to; told twice while it works, it does it once.

    A pull that fails is told and tried again, and so is any job that the project's other writer
    keeps waiting. A training that fails is told and dropped.
    """

    def __init__(
        self, root: Path, client: Client, door: threading.Lock, say: Say, retry: float | int = RETRY
    ) -> None:
        self.root: Path = root
        self.client: Client = client
        self.door: threading.Lock = door
        self.say: Say = say
        self.retry: float | int = retry
        self._wanted: set[str] = set()
        self._wake = threading.Condition()
        self._ends = self._busy = False
        self._thread = threading.Thread(target=self._run, name="label-studio", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for the job at hand."""
        with self._wake:
            self._ends = True
            self._wake.notify_all()
        self._thread.join()

    def want(self, *jobs: str) -> None:
        """jobs: "pull", "train"."""
        with self._wake:
            self._wanted.update(jobs)
            self._wake.notify_all()

    def idle(self, timeout: float | int) -> bool:
        """Wait until nothing is left to do; False if that takes longer."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._wanted and not self._busy, timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._wanted or self._ends)
                if self._ends:
                    return
                jobs, self._wanted = self._wanted, set()
                self._busy = True
            try:
                self._work_off(jobs)
            finally:
                with self._wake:
                    self._busy = False
                    self._wake.notify_all()

    def _work_off(self, jobs: set[str]) -> None:
        left = sorted(jobs)  # pull before train
        while left:
            again = self._try(left[0])
            if again:
                with self._wake:
                    self._wake.wait_for(lambda: self._ends, self.retry)
                    self._wanted.update(left)
                return
            left.pop(0)

    def _try(self, job: str) -> bool:
        """Do a job; True if it should be tried again. No error ends the thread, or else every
        later hint would be accepted and forgotten."""
        try:
            self._do(job)
        except Exception as error:  # noqa: BLE001  (an odd payload, a graphics card's memory)
            # Answers must come in at last. A training that was refused (no labels) or broke is
            # asked for again by a person, but one that another program delays is not lost.
            again = job == "pull" or isinstance(error, InUse)
            then = f"Tried again in {self.retry:.0f} s." if again else "Not tried again."
            known = isinstance(error, LabelgapError)
            what = str(error) if known else f"{job} failed: {traceback.format_exc()}"
            self.say(f"{what} {then}")
            return again
        return False

    def _do(self, job: str) -> None:
        with self.door, Project.open(self.root) as project:
            if job == "pull":
                link = linked(project, self.client)
                self.say(sentence(pull(project, self.client, link)))
            else:
                from labelgap.project.asking.work import Work

                seconds = sum(Work(project).train().values())
                self.say(f"trained in {seconds:.1f} s: {model_version(project)}")


def sentence(pulled: Pulled) -> str:
    """What a pull found, in one line."""
    said = f"{pulled.labels} new labels, {pulled.skips} skips, {pulled.known} known"
    for number, what in (
        (len(pulled.quarantined), "quarantined"),
        (pulled.drafts, "drafts not submitted"),
        (len(pulled.foreign), "tasks of other images"),
        (pulled.conflicts, "items in conflict"),
    ):
        said += f", {number} {what}" if number else ""
    return said
