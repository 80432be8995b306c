"""Who works on which outstanding item: in memory, over after a while."""

import time
from collections.abc import Callable, Collection, Iterable


class Leases:
    """Items held by persons. After a restart all are free again: a lease guards no label."""

    def __init__(self) -> None:
        self.monotonic: Callable[[], float] = time.monotonic
        self._held: dict[int, tuple[str, float]] = {}

    def holders(self, outstanding: Collection[int]) -> dict[int, str]:
        """Outstanding item -> holder of its lease; forgets leases that are over."""
        now = self.monotonic()
        self._held = {
            id: (person, until)
            for id, (person, until) in self._held.items()
            if until > now and id in outstanding
        }
        return {id: person for id, (person, _) in self._held.items()}

    def take(self, ids: Iterable[int], person: str, seconds: float | int) -> None:
        """Give the items to a person for so many seconds, or renew."""
        until = self.monotonic() + seconds
        for id in ids:
            self._held[id] = (person, until)
