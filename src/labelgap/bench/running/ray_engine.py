"""The same cells as Ray tasks: on a cluster that is there, or on this machine's loopback only."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labelgap.bench.running.cell import Job, attempt
from labelgap.bench.running.engines import Event
from labelgap.core.files import write_text
from labelgap.core.rays import start_ray

PROGRESS = "progress.json"


class RayEngine:
    """Cells as tasks of `threads` CPUs each; the results folder must be one all nodes share.

    A task whose worker or node died is told as lost, and the scheduler starts it again.

    Parameters
    ----------
    address: of a cluster ("auto", "ray://…"); None starts one on this machine, reachable from
        nowhere else, which ends with the engine.
    cpus: of the local cluster; None: all.

    Raises
    ------
    ConfigError: Ray is not installed, or nothing answers at the address.
    """

    def __init__(self, threads: int, address: str | None = None, cpus: int | None = None) -> None:
        self._ray: Any = start_ray(address, cpus)
        self.threads = threads
        self.capacity: int = max(1, int(self._ray.cluster_resources().get("CPU", 1)) // threads)
        self._task = self._ray.remote(_attempt)
        self._jobs: dict[Any, Job] = {}
        self._seen: dict[Any, int] = {}

    def start(self, job: Job) -> None:
        # The scheduler retries, so that both engines retry alike.
        task = self._task.options(num_cpus=self.threads, max_retries=0)
        self._jobs[task.remote(job)] = job

    def events(self, timeout: float) -> Sequence[Event]:
        ready, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=timeout)
        found = [event for reference in self._jobs for event in self._progress(reference)]
        for reference in ready:
            job = self._jobs.pop(reference)
            self._seen.pop(reference, None)
            try:
                kind, facts = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                kind, facts = "lost", {"error": f"The worker died ({type(error).__name__})."}
            found.append(Event(job.cell, kind, facts))
        return found

    def _progress(self, reference: Any) -> list[Event]:
        """A round that ended since: tasks have no channel, but they share the folder."""
        job = self._jobs[reference]
        file = job.folder / PROGRESS
        if not file.exists():
            return []
        entry = json.loads(file.read_text())
        if entry["round"] <= self._seen.get(reference, -1):
            return []
        self._seen[reference] = entry["round"]
        return [Event(job.cell, "round", entry)]

    def close(self) -> None:
        self._ray.shutdown()


def _attempt(job: Job) -> tuple[str, dict[str, Any]]:
    def report(kind: str, facts: Mapping[str, Any]) -> None:
        if kind == "round":
            write_text(Path(job.folder) / PROGRESS, json.dumps(dict(facts)))

    return attempt(job, report)
