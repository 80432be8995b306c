"""More images while the page is open: the server's process holds the project, so it asks itself.

Training and choosing run in one thread beside the server; answers are stored meanwhile, and those
that come after the training began are learned by the next one. The next images are asked for while
some are left to answer, so that nobody waits.
"""

import threading
import time
from typing import Any

from labelgap.core.errors import LabelgapError
from labelgap.core.pace import Pace
from labelgap.core.wording import OF_IMAGES, STAGES, duration, how_fast
from labelgap.project.keep.store import Project

PATIENCE = 0.3
"""Seconds that the end of the server waits for a step of the training: with Ctrl-C it has a second
for everything. A step that takes longer is cut off, and the next training goes on from the
checkpoint."""
FEW = 15
"""Images left to one person when the next are asked for: at some 2 s an answer half a minute, in
which a round on frozen features is done."""
BATCH = (20, 200)
"""Images that are asked for by themselves at least and at most; else as many as the last time."""


class _Stopped(Exception):
    pass


class Asking:
    """At most one question for more images at a time."""

    def __init__(self, project: Project, ahead: bool = False) -> None:
        self.project, self.ahead = project, ahead
        self.seconds: float | None = None
        """That the last question took, training included; None before one was answered here."""
        self._mutex = threading.Lock()
        self._present: set[int] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._state: dict[str, Any] = {"running": False}
        self._pace = Pace()

    def begin(self, n: int) -> bool:
        """Start to ask for n more images; False where that is going on already."""
        with self._mutex:
            if self._state["running"]:
                return False
            self._pace = Pace()
            nothing = {"stage": "reading", "step": 0, "steps": 0, "percent": None}
            self._state = {
                "running": True,
                "n": n,
                **nothing,
                "doing": "reading",
                "left": "",
                "rate": "",
            }
            self._thread = threading.Thread(target=self._run, args=(n,), daemon=True)
            self._thread.start()
        return True

    def keep_ahead(self, left: int) -> None:
        """Ask for the next images where a person has few left, and there are images.

        After a failure it waits until somebody asks on the page: it would fail again.

        left: images that this person can answer now.
        """
        if not self.ahead or left >= FEW or self._stopping or "error" in self._state:
            return
        if self.untouched():
            self.begin(self.size())

    def size(self) -> int:
        """How many images are asked for by themselves."""
        ledger = self.project.ledger
        low, high = BATCH
        return min(max(len(ledger.queries(ledger.round)), low), high)

    def untouched(self) -> int:
        """Images that were never asked and have no answer."""
        ledger = self.project.ledger
        if self._present is None:  # the same while this process holds the project
            self._present = {item.id for item in self.project.items.all() if item.present}
        known = {*ledger.asked_ids().tolist(), *ledger.labels, *ledger.skipped}
        return len(self._present - known)

    def state(self) -> dict[str, Any]:
        """running, with n, stage, step and steps, and for people what it is doing, the per cent,
        the rate and the time left of that; afterwards `error`, or `added` and `answered` (left out,
        since they were answered before they could be asked)."""
        return self._state

    def stop(self) -> None:
        """End it at its next step, before the project is closed."""
        self._stopping = True
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _run(self, n: int) -> None:
        end: dict[str, Any] = {"error": "It failed: the terminal of `labelgap label` says why."}
        started = time.monotonic()
        try:
            # Torch takes seconds to load, and the page should not wait for it.
            from labelgap.project.asking.work import Work

            asked = Work(self.project, progress=self._progress).ask_more(n)
            end = {"added": asked.new, "answered": asked.answered}
            self.seconds = time.monotonic() - started
        except LabelgapError as error:
            end = {"error": str(error)}
        except _Stopped:
            end = {"error": "The server ended."}
        finally:
            self._state = {"running": False, **end}

    def _progress(self, stage: str, step: int, steps: int) -> None:
        if self._stopping:
            raise _Stopped
        pace = self._pace.at(stage, step, steps)
        self._state = {
            **self._state,
            "stage": stage,
            "step": step,
            "steps": steps,
            "doing": STAGES.get(stage, stage),
            "percent": round(100 * step / steps) if steps else None,
            "left": duration(pace[1]) if pace else "",
            "rate": how_fast(pace[0], "images" if stage in OF_IMAGES else "steps") if pace else "",
        }
