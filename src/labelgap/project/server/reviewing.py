"""What the review view shows that takes a while: computed beside the server, in one thread.

First what the network sees; then predictions and doubted labels, near-duplicates, regions, the
map. Each is there as soon as it is made, and all are kept by content: a restart shows them at once.
"""

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from labelgap.core.errors import BudgetError, LabelgapError
from labelgap.core.pace import Pace
from labelgap.core.wording import STAGES, duration
from labelgap.project.keep.store import Project
from labelgap.project.quality.quality import TRAINED
from labelgap.project.server.asking import PATIENCE

if TYPE_CHECKING:  # torch takes seconds to load, and the page should not wait for it
    from labelgap.project.asking.judged import Judged
    from labelgap.project.asking.seen import Seen

DOING = {
    "doubts": "judging each label by the others",
    "near": "comparing the images with each other",
    "map": "drawing the map",
}
"""What is going on, for people, beside what training has."""


REST = 4.0
"""How many times as long as it took it rests before it begins again by itself: people change one
label after the other, and each changes the content."""


class _Stopped(Exception):
    pass


@dataclass(frozen=True, eq=False)
class Made:
    """What is there so far; None or empty where it is not. why_not: why labels are not judged."""

    seen: "Seen | None" = None
    judged: "Judged | None" = None
    why_not: str = ""
    groups: list[list[int]] = field(default_factory=list)
    region: dict[int, int] = field(default_factory=dict)
    places: dict[int, tuple[float, float]] = field(default_factory=dict)
    done: frozenset[str] = frozenset()


class Reviewing:
    """Makes what the review view shows, at most one at a time."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.made = Made()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._state: dict[str, Any] = {"running": False}
        self._pace = Pace()
        self._of: tuple[Any, ...] = ()
        self._next = 0.0  # when it may begin again

    def state(self) -> dict[str, Any]:
        """running, with for people what it is doing, the share that is done and the time left of
        that; afterwards `error` where it failed."""
        return self._state

    def begin(self, *, again: bool = False) -> bool:
        """Start where labels, classes or images have changed since; False where there is nothing
        to do or it is going on already.

        again: also where the last attempt failed, and without a rest.
        """
        with self._mutex:
            now = self._content()
            waits = now == self._of or time.monotonic() < self._next
            if self._stopping or self._state["running"] or (waits and not again):
                return False
            self._of, self._pace = now, Pace()
            self._state = {"running": True, "doing": STAGES["features"], "share": 0.0, "left": ""}
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        return True

    def stale(self) -> bool:
        """Whether labels, classes or images have changed since it was begun."""
        return self._content() != self._of

    def stop(self) -> None:
        """End it at its next step, before the project is closed."""
        self._stopping = True
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _content(self) -> tuple[Any, ...]:
        project = self.project
        last = project.last_note(TRAINED)
        by_network = last.seq if last and not project.settings.weights else 0
        labels = frozenset(project.ledger.labels.items())
        return hash(labels), len(labels), project.classes, project.items.count(), by_network

    def _run(self) -> None:
        end: dict[str, Any] = {"error": "It failed: the terminal of `labelgap label` says why."}
        began = time.monotonic()
        try:
            self._make()
            end = {}
        except LabelgapError as error:
            end = {"error": str(error)}
        except _Stopped:
            end = {"error": "The server ended."}
        finally:
            now = time.monotonic()
            self._next = now + REST * (now - began)
            self._state = {"running": False, **end}

    def _make(self) -> None:
        from labelgap.project.asking.alike import duplicates, map_of, regions_of
        from labelgap.project.asking.judged import judge
        from labelgap.project.asking.seen import see

        project = self.project
        seen = see(project, progress=self._progress)
        same = self.made.seen is not None and self.made.seen.key == seen.key
        made = self.made if same else Made()
        made = replace(made, seen=seen)
        self._progress("doubts", 0, 1)
        try:
            made = replace(made, judged=judge(project, seen, self._progress), why_not="")
        except BudgetError as error:
            made = replace(made, judged=None, why_not=str(error))
        made = self.made = replace(made, done=made.done | {"doubts"})
        if "map" in made.done:
            return
        groups = duplicates(project, seen, progress=lambda *at: self._progress("near", *at))
        region = dict(zip(seen.ids.tolist(), regions_of(project, seen).tolist(), strict=True))
        done = made.done | {"near", "regions"}
        made = self.made = replace(made, groups=groups, region=region, done=done)
        ids, places = map_of(project, seen, lambda *at: self._progress("map", *at))
        where = {i: (x, y) for i, (x, y) in zip(ids.tolist(), places.tolist(), strict=True)}
        self.made = replace(made, places=where, done=made.done | {"map"})

    def _progress(self, stage: str, step: int, steps: int) -> None:
        if self._stopping:
            raise _Stopped
        pace = self._pace.at(stage, step, steps)
        self._state = {
            "running": True,
            "doing": DOING.get(stage, STAGES.get(stage, stage)),
            "share": step / steps if steps else 0.0,
            "left": duration(pace[1]) if pace else "",
        }
