"""How fast something goes, and how long it still takes."""

import time
from collections.abc import Callable


class Pace:
    """The pace of stages that follow each other; each one is judged by itself.

    clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage: str | None = None
        self._start, self._first = 0.0, 0

    def at(self, stage: str, step: int, steps: int) -> tuple[float, float] | None:
        """Steps a second and seconds left of this stage; None until two of its steps are known.

        A stage that continues (step is not 1 at first) is judged by what was done here.
        """
        now = self._clock()
        if stage != self._stage or step < self._first:
            self._stage, self._start, self._first = stage, now, step
        done, seconds = step - self._first, now - self._start
        if done <= 0 or seconds <= 0:
            return None
        rate = done / seconds
        return rate, max(0, steps - step) / rate
