"""Which engine computes the shards, by its name."""

from labelgap.core.errors import ConfigError, UnknownName
from labelgap.score.local import Engine, Local

ENGINES = ("local", "ray")


def engine_by(name: str, workers: int, threads: int, address: str | None = None) -> Engine:
    """An engine of so many workers, each of so many threads.

    Raises
    ------
    UnknownName: another name.   ConfigError: an address for processes of this machine; for "ray",
        what `RayData` raises.
    """
    if name not in ENGINES:
        raise UnknownName("engine", name, ENGINES, "--engine")
    if name == "ray":
        from labelgap.score.ray_data import RayData

        return RayData(workers, threads, address)
    if address is not None:
        raise ConfigError("--address is for --engine ray.", "Leave it out, or add --engine ray.")
    return Local(workers, threads)
