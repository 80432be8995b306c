"""A whole run by one call: what `labelgap run` does, for notebooks."""

from pathlib import Path
from typing import Any

from labelgap.core import device as devices
from labelgap.core.types import Progress
from labelgap.data import load
from labelgap.data.types import Task
from labelgap.frozen.freeze import load_task_for
from labelgap.loop import run as runs
from labelgap.session.claim import prepare
from labelgap.session.presets import resolve


def run(
    method: str = "daal",
    data: Task | str = "digits",
    *,
    seed: int = 0,
    preset: str = "smoke",
    folder: Path | str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Run the loop with an oracle, or continue the one in the folder; the content of result.json.

    Parameters
    ----------
    method: a registered name, your own included (docs/own-method.md).
    data: a built-in data set, the path of a folder, or a `Task`, whose training labels answer.
    preset: "smoke" takes a minute, "cpu" minutes, "paper" days.
    folder: runs/<data>-<method>-s<seed>-<hash> unless given. Run twice, it goes on.
    settings: as in a configuration file: training={"steps": 100}, loop={"rounds": 3}, …
        (`labelgap config` lists all keys).

    Raises
    ------
    UnknownName, ConfigError: a name or a setting that does not exist. FolderError: the folder
        belongs to another configuration.
    """
    name = data.name if isinstance(data, Task) else data
    values = {**settings, "method": method, "seed": seed}
    values["data"] = {"name": name, **settings.get("data", {})}
    config = resolve(values, preset=preset, where="run")
    machine = devices.machine(device, config.precision)
    task = data if isinstance(data, Task) else load(data, image_size=config.data.image_size)
    task = load_task_for(config, task, machine, progress)
    where = Path(folder) if folder is not None else runs.default_folder(config)
    prepare(where, config, machine)
    return runs.run(config, task, where, machine, progress=progress)
