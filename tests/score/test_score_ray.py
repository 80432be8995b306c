"""Ray's actors give what one process gives, also where one of them is killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from feature_pool import cut, labelled_file, pool

from labelgap.core.errors import DataError
from labelgap.methods.daal.settings import MixtureSettings
from labelgap.score.engines import engine_by
from labelgap.score.local import Engine
from labelgap.score.pool import Progress, Scored, score_pool
from labelgap.score.scorer import scorer_of
from labelgap.score.shards import find_shards

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc is Linux's"),
]
SETTINGS = MixtureSettings(em_steps=1)


@pytest.fixture
def ray() -> Iterator[Engine]:
    """Two actors on this machine's loopback."""
    pytest.importorskip("ray")
    engine = engine_by("ray", 2, 1)
    yield engine
    engine.close()


def scored(
    folder: Path, shards: Path, out: str, engine: Engine, progress: Progress = lambda *_: None
) -> Scored:
    scorer = scorer_of(labelled_file(folder), SETTINGS)
    return score_pool(find_shards(shards), scorer, folder / out, 12, top=300, settings=SETTINGS,
                      engine=engine, progress=progress)  # fmt: skip


def actors() -> list[int]:
    """Processes under this one that compute shards."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat, command = (folder / "stat").read_text(), (folder / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        pid = int(folder.name)
        parents[pid], names[pid] = int(stat.rpartition(")")[2].split()[1]), command

    def ours(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    return [pid for pid, name in names.items() if "MapWorker" in name and ours(pid)]


def test_an_actor_that_is_killed_changes_no_bit(tmp_path: Path, ray: Engine) -> None:
    shards = cut(tmp_path / "shards", pool(60_000), 16)
    alone = scored(tmp_path, shards, "alone", engine_by("local", 1, 1))
    killed: list[int] = []

    def kill(stage: str, done: int, of: int) -> None:
        if stage == "score" and not killed and (found := actors()):
            killed.append(found[0])
            os.kill(found[0], signal.SIGKILL)

    found = scored(tmp_path, shards, "ray", ray, kill)
    assert killed
    for name in ("shard", "row", "score", "pseudo"):
        np.testing.assert_array_equal(getattr(found.top, name), getattr(alone.top, name))
    assert found.ids == alone.ids
    assert found.scorer.digest == alone.scorer.digest


def test_a_torn_shard_is_named_by_ray_too_and_the_others_are_kept(
    tmp_path: Path, ray: Engine
) -> None:
    shards = cut(tmp_path / "shards", pool(900), 3)
    data = (shards / "001.npy").read_bytes()
    (shards / "001.npy").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"1 of 3 shards could not be read: 001\.npy: torn"):
        scored(tmp_path, shards, "out", ray)
    assert len(list((tmp_path / "out").rglob("*.done"))) == 2
