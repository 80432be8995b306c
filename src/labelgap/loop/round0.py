"""The first round of training, shared by the runs that could not differ in it.

Until its first query a run is decided by its objective, network, training, data, initial set and
seed; the acquisition, the budget and the number of rounds come later. A benchmark of a dozen
acquisitions on one objective trains one first round, not twelve.
"""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

from labelgap.axes.registry import OBJECTIVES, tables_of
from labelgap.core.config import TABLES, RunConfig, config_hash
from labelgap.core.disk import not_the_disk
from labelgap.core.files import write_atomically, write_text
from labelgap.loop.own import is_own
from labelgap.session.claim import machine_facts, source
from labelgap.session.session import Session
from labelgap.session.weights import WEIGHTS, ids_hash

FACTS, STORED = "fitted.json", "weights.safetensors"

LATER: dict[str, Any] = {
    "method": True,
    "acquisition_name": True,
    "acquisition": True,
    "loop": {"budget": True, "rounds": True},
}
"""What has no say before the first query."""


def deciding(config: RunConfig) -> dict[str, Any]:
    """The settings that decide round 0: of a user's file only an objective has a say."""
    later = {**LATER}
    if not is_own("objective", config.objective_name):
        later["method_sha256"] = True
    objective = OBJECTIVES.get(config.objective_name)
    if objective is not None:
        later |= {table: True for table in TABLES if table not in tables_of(objective)}
    return config.model_dump(mode="json", exclude=later)


def key(session: Session) -> str:
    """Hash of all that decides the weights of round 0: the machine's arithmetic and labelgap's own
    code are included, so that an update does not go on with the weights of the code before it.
    """
    return config_hash(
        {
            "config": deciding(session.config),
            "machine": machine_facts(session.machine),
            "source": source(),
            "task": session.task.fingerprint,
            "pool": ids_hash(session.task.pool),
            "labels": ids_hash(session.labelled()[1]),
            "ids": ids_hash(session.labelled()[0]),
        }
    )


def fit(session: Session, shared: Path) -> bool:
    """Take the trained round 0 from `shared`, or train and leave it there; whether it was taken.

    A run that takes it notes in its ledger what the fit that made the weights noted, its seconds
    included, so that costs compare. What is damaged there is trained anew, and a warning says so.
    """
    folder = shared / key(session)
    if (folder / FACTS).exists() and _take(session, folder):
        return True
    session.fit()
    weights = _own(session).read_bytes()
    write_atomically(folder / STORED, lambda file: file.write(weights))
    # Written last: whoever sees the facts sees whole weights.
    facts = {**session.ledger.notes("fitted")[-1].data, "file_sha256": _digest(weights)}
    write_text(folder / FACTS, json.dumps(facts))
    return False


def _take(session: Session, folder: Path) -> bool:
    try:
        facts = json.loads((folder / FACTS).read_text())
        weights = (folder / STORED).read_bytes()
        damage = "" if _digest(weights) == facts.pop("file_sha256") else "of other contents"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        not_the_disk(error, folder)
        damage = str(error) or type(error).__name__
    if damage:  # the caller trains it anew and writes over it
        warnings.warn(
            f"The shared first round {folder} is damaged ({damage}): training it anew.",
            stacklevel=3,
        )
        return False
    write_atomically(_own(session), lambda file: file.write(weights))
    session.ledger.note("fitted", {**facts, "shared": True}, round=0)
    return session.restore()


def _own(session: Session) -> Path:
    assert session.folder
    return session.folder / WEIGHTS.format(round=0)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
