"""More images while the page is open: the server's process holds the project, so it asks itself.

Training and choosing run in one thread beside the server; answers are stored meanwhile, and those
that come after the training began are learned by the next one.
"""

import threading
from typing import Any

from labelgap.core.errors import LabelgapError
from labelgap.core.pace import Pace
from labelgap.core.wording import STAGES, duration
from labelgap.project.keep.store import Project

PATIENCE = 10.0
"""Seconds that the end of the server waits for a step of the training; the checkpoint is kept."""


class _Stopped(Exception):
    pass


class Asking:
    """At most one question for more images at a time."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._mutex = threading.Lock()
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
            nothing = {"stage": "reading", "step": 0, "steps": 0, "doing": "", "left": ""}
            self._state = {"running": True, "n": n, **nothing}
            self._thread = threading.Thread(target=self._run, args=(n,), daemon=True)
            self._thread.start()
        return True

    def state(self) -> dict[str, Any]:
        """running, with n, stage, step and steps, and for people what it is doing and the time
        left of that; afterwards `error`, or `added` and `answered` (left out, since they were
        answered before they could be asked)."""
        return self._state

    def stop(self) -> None:
        """End it at its next step, before the project is closed."""
        self._stopping = True
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _run(self, n: int) -> None:
        end: dict[str, Any] = {"error": "It failed: the terminal of `labelgap label` says why."}
        try:
            # Torch takes seconds to load, and the page should not wait for it.
            from labelgap.project.asking.work import Work

            asked = Work(self.project, progress=self._progress).ask_more(n)
            end = {"added": asked.new, "answered": asked.answered}
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
            "left": duration(pace[1]) if pace else "",
        }
