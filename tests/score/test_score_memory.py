"""A shard for which there is no memory is named, and the other shards are kept."""

from pathlib import Path

import pytest
from feature_pool import cut, pool
from greedy_task import Greedy

from labelgap.core.errors import DataError
from labelgap.score import local
from labelgap.score.local import Local
from labelgap.score.parts import is_done, read_part
from labelgap.score.shards import find_shards


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_without_memory_is_named_and_the_others_are_kept(
    tmp_path: Path, workers: int
) -> None:
    shards = find_shards(cut(tmp_path / "shards", pool(90), 3))
    task, enough, out = Greedy(at="001.npy"), Greedy(at=""), tmp_path / "out"
    engine = Local(workers)
    try:
        (failed,) = engine.run(task, shards, out, lambda: None)
        assert failed.shard == "001.npy"
        assert "no memory" in failed.cause
        assert "smaller shards" in failed.cure
        assert [is_done(out, task, shard) for shard in shards] == [True, False, True]
        # With the memory, the same engine goes on where it was.
        assert engine.run(enough, shards, out, lambda: None) == []
    finally:
        engine.close()
    assert sum(int(read_part(out, enough, shard)["rows"]) for shard in shards) == 90


def test_a_shard_that_every_worker_dies_of_ends_the_run_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_TRIES", 1)  # each starts two processes
    shards = find_shards(cut(tmp_path / "shards", pool(60), 2))
    task, out = Greedy(at="001.npy", killed=True), tmp_path / "out"
    engine = Local(2)
    try:
        with pytest.raises(DataError, match=r"again and again; without a result are 001\.npy"):
            engine.run(task, shards, out, lambda: None)
    finally:
        engine.close()
    assert [is_done(out, task, shard) for shard in shards] == [True, False]
