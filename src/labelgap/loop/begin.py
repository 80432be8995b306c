"""Before a run computes: its folder is made or recognised, and what it cannot do is told."""

from dataclasses import dataclass
from pathlib import Path

from labelgap.core.config import RunConfig
from labelgap.core.device import Machine
from labelgap.data.types import Task
from labelgap.loop.early import refuse_early
from labelgap.loop.result import RESULT
from labelgap.loop.run import data_of
from labelgap.session.claim import DATA, as_begun, prepare


@dataclass(frozen=True)
class Begun:
    """A run as its folder knows it.

    config: with the data's name as the folder has it.
    data: in the folder's order.
    notices: what a user should know before the run goes on.
    finished: nothing is left to compute.
    """

    config: RunConfig
    data: Task
    notices: list[str]
    finished: bool


def begin(folder: Path, config: RunConfig, data: Task, machine: Machine, extend: bool) -> Begun:
    """Make or recognise the folder of a run, before features are computed.

    data: as it was loaded, before its images become features.

    Raises
    ------
    FolderError: the folder belongs to another configuration or to other data.
    ConfigError, PairError, LabelgapError, BudgetError: `refuse_early`.
    """
    notices = prepare(folder, config, machine)
    if (folder / DATA).exists():  # other data are refused first
        opened = data_of(folder, config, data, extend)
        data, notices = opened.task, [*notices, *opened.notices]
    config = as_begun(folder, config)
    finished = (folder / RESULT).exists()
    if not finished:
        refuse_early(config, data)
    elif extend:
        notices.append("the run was finished before: its result is that of the data then")
    return Begun(config, data, notices, finished)
