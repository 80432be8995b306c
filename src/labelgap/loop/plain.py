"""A whole run by one call: what `labelgap run` does, for notebooks."""

import warnings
from pathlib import Path
from typing import Any

from labelgap.core import device as devices
from labelgap.core.config import RunConfig
from labelgap.core.types import Progress
from labelgap.data import load, one_name
from labelgap.data.types import Task
from labelgap.frozen.freeze import load_task_for
from labelgap.loop import run as runs
from labelgap.session.arguments import given_task
from labelgap.session.claim import DATA, prepare
from labelgap.session.presets import resolve


def run(
    method: str = "daal",
    data: Task | Path | str = "digits",
    *,
    seed: int = 0,
    preset: str = "smoke",
    folder: Path | str | None = None,
    device: str = "auto",
    extend: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Run the loop with an oracle, or continue the one in the folder; the content of result.json.

    Parameters
    ----------
    method: a registered name, your own included (docs/own-method.md). What you change in a
        notebook's method is another method: give it another folder.
    data: a built-in data set, the path of a folder, or a `Task`, whose training labels answer.
    preset: "smoke" takes a minute, "cpu" minutes, "paper" days.
    folder: runs/<data>-<method>-s<seed>-<hash> unless given; of a `Task` the name ends in its
        fingerprint. Run twice, it goes on.
    extend: the data of the folder grew: ids stay what they are, new rows come behind them.
    settings: as in a configuration file: training={"steps": 100}, loop={"rounds": 3}, …
        (`labelgap config` lists all keys).

    Raises
    ------
    UnknownName, ConfigError: a name or a setting that does not exist. DataError: `data` is
        neither a name nor a task. FolderError: the folder belongs to another configuration or
        to other data.
    """
    own = None if isinstance(data, (str, Path)) else given_task(data)
    name = own.name if own else one_name(str(data))
    values = {**settings, "method": method, "seed": seed}
    values["data"] = {"name": name, **settings.get("data", {})}
    config = resolve(values, preset=preset, where="run")
    machine = devices.machine(device, config.precision)
    task = own or load(name, image_size=config.data.image_size)
    where = _folder(folder, config, own)
    notices = prepare(where, config, machine)
    if (where / DATA).exists():  # before features are computed
        opened = runs.data_of(where, config, task, extend)
        task, notices = opened.task, [*notices, *opened.notices]
    for notice in notices:
        warnings.warn(notice, stacklevel=2)
    features = load_task_for(config, task, machine, progress)
    return runs.run(config, features, where, machine, progress=progress, data=task)


def _folder(given: Path | str | None, config: RunConfig, own: Task | None) -> Path:
    """The folder given, or one of the configuration and, if they are a person's own, the data."""
    if given is not None:
        return Path(given)
    usual = runs.default_folder(config)
    # Two sets of arrays have one name, "arrays", and one configuration.
    return usual if own is None else usual.with_name(f"{usual.name}-{own.fingerprint[:8]}")
