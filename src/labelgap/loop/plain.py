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
from labelgap.loop import baseline as beside
from labelgap.loop import run as runs
from labelgap.loop.begin import begin
from labelgap.session.arguments import given_task
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
    baseline: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Run the loop with an oracle, or continue the one in the folder.

    Returns the content of result.json: "rounds" has labels, accuracy and more of each round, "aubc"
    the area under the curve.

    Parameters
    ----------
    method: a registered name, your own included (docs/own-method.md). What you change in a
        notebook's method is another method: give it another folder.
    data: a built-in data set, the path of a folder, or a `Task`, whose training labels answer.
    preset: "smoke" takes a minute, "cpu" minutes, "paper" days.
    folder: runs/<data>-<method>-s<seed>-<hash> unless given; of a `Task` the name ends in its
        fingerprint. Run twice, it goes on.
    extend: the data of the folder grew: ids stay what they are, new rows come behind them.
    baseline: also run random labels with the same seed, first labels and first weights, as
        `labelgap run` does. Their result, in the same form, is the key "baseline" of what is
        returned: round for round it has as many labels. Random's own baseline is its own result.
        Off by default, since it doubles the time; a finished run can be compared later.
    settings: as in a configuration file: training={"steps": 100}, loop={"rounds": 3}, …
        (`labelgap config` lists all keys).

    Raises
    ------
    UnknownName, ConfigError: a name or a setting that does not exist.
    DataError: `data` is neither a name nor a task.
    FolderError: the folder belongs to another configuration or to other data.
    PairError, BudgetError: the method does not fit these data; more labels than there are.
    """
    own = None if isinstance(data, (str, Path)) else given_task(data)
    name = own.name if own else one_name(str(data))
    values = {**settings, "method": method, "seed": seed}
    values["data"] = {"name": name, **settings.get("data", {})}
    config = resolve(values, preset=preset, where="run")
    machine = devices.machine(device, config.precision)
    task = own or load(name, image_size=config.data.image_size)
    where = _folder(folder, config, own)
    begun = begin(where, config, task, machine, extend)
    for notice in begun.notices:
        warnings.warn(notice, stacklevel=2)
    features = load_task_for(begun.config, begun.data, machine, progress)
    result = runs.run(begun.config, features, where, machine, progress=progress, data=begun.data)
    if not baseline:
        return result
    random = beside.config_of(begun.config)
    if random is None:
        return result | {"baseline": result}
    for notice in beside.claim(random, where, machine):
        warnings.warn(notice, stacklevel=2)
    other = beside.draw(
        random, features, where, machine, data=begun.data, extend=extend, progress=progress
    )
    return result | {"baseline": other}


def _folder(given: Path | str | None, config: RunConfig, own: Task | None) -> Path:
    """The folder given, or one of the configuration and, if they are a person's own, the data."""
    if given is not None:
        return Path(given)
    usual = runs.default_folder(config)
    # Two sets of arrays have one name, "arrays", and one configuration.
    return usual if own is None else usual.with_name(f"{usual.name}-{own.fingerprint[:8]}")
