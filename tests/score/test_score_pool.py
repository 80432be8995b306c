"""A pool of shards: exact, whoever computed it and whoever died."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from disks import small_file_system
from feature_pool import cut, labelled_file, pool
from tolerance import assert_rounded

from labelgap.core.device import set_threads
from labelgap.core.errors import ConfigError, DataError, DiskError
from labelgap.methods.daal.settings import MixtureSettings
from labelgap.mixtures import em
from labelgap.score.local import Local
from labelgap.score.pool import Scored, score_pool
from labelgap.score.scorer import BLOCK, scorer_of
from labelgap.score.shards import find_shards

SETTINGS = MixtureSettings(em_steps=2)


def scored(folder: Path, shards: Path, out: str, n: int = 12, top: int = 200, **more) -> Scored:  # type: ignore[no-untyped-def]
    scorer = scorer_of(labelled_file(folder), SETTINGS)
    return score_pool(find_shards(shards), scorer, folder / out, n, top=top, settings=SETTINGS,
                      **more)  # fmt: skip


def test_a_score_does_not_depend_on_the_rows_beside_it(tmp_path: Path) -> None:
    x = torch.from_numpy(pool(2 * BLOCK + 77))
    scorer = scorer_of(labelled_file(tmp_path), SETTINGS)
    scorer = scorer.with_pool(em.fit(x, scorer.responsibilities(x), average="statistics"))
    whole = scorer.score(x)
    for start, stop in ((0, 1), (5, 5000), (BLOCK - 3, BLOCK + 9), (len(x) - 1, len(x))):
        part = scorer.score(x[start:stop])
        np.testing.assert_array_equal(part.gap, whole.gap[start:stop])
        np.testing.assert_array_equal(part.pseudo, whole.pseudo[start:stop])
    assert scorer.psi_u is not None
    wide = [m.to(dtype=torch.float64) for m in (scorer.psi_u, scorer.psi_l)]
    exact = wide[0].log_likelihood(x.double()) - wide[1].log_likelihood(x.double())
    size = max(float(m.log_likelihood(x.double()).abs().max()) for m in wide)
    assert_rounded(torch.from_numpy(whole.gap), exact, 64, 4 * size)


def test_shards_give_the_mixture_and_the_best_of_one_array(tmp_path: Path) -> None:
    x = pool(20_000)
    found = scored(tmp_path, cut(tmp_path / "shards", x, 7), "out")
    z = torch.from_numpy(x)
    start = scorer_of(labelled_file(tmp_path), SETTINGS)
    psi = em.fit(z, start.responsibilities(z), average="statistics", steps=2, floor=SETTINGS.floor)
    assert found.scorer.psi_u is not None
    torch.testing.assert_close(found.scorer.psi_u.means, psi.means, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.scorer.psi_u.variances, psi.variances, atol=1e-4, rtol=1e-4)
    one = found.scorer.score(z)
    best = np.argsort(-one.gap, kind="stable")[:200]
    np.testing.assert_array_equal(found.top.score, one.gap[best])
    sizes = [len(np.load(s.path)) for s in find_shards(tmp_path / "shards")]
    begin = np.concatenate([[0], np.cumsum(sizes)])
    np.testing.assert_array_equal(begin[found.top.shard] + found.top.row, best)
    assert found.scored == len(x)
    assert found.left_out == 0
    assert len(set(found.ids)) == 12


def test_a_killed_worker_changes_no_bit(tmp_path: Path) -> None:
    shards = cut(tmp_path / "shards", pool(100_000), 12)
    alone = scored(tmp_path, shards, "alone")
    engine = Local(3)
    killed: list[int] = []

    def kill(stage: str, done: int, of: int) -> None:
        if stage == "score" and done == 1 and not killed:
            killed.append(engine.pids[0])
            os.kill(killed[0], signal.SIGKILL)

    try:
        found = scored(tmp_path, shards, "three", engine=engine, progress=kill)
    finally:
        engine.close()
    assert killed
    for name in ("shard", "row", "score", "pseudo"):
        np.testing.assert_array_equal(getattr(found.top, name), getattr(alone.top, name))
    assert found.ids == alone.ids
    assert found.scorer.digest == alone.scorer.digest


def test_a_second_run_computes_nothing_and_other_weights_everything(tmp_path: Path) -> None:
    shards = cut(tmp_path / "shards", pool(3000), 4)
    seen: list[str] = []

    class Counting(Local):
        def run(self, task, shards, out, done):  # type: ignore[no-untyped-def]
            class Noting:
                stage, digest = task.stage, task.digest

                def __call__(self, shard):  # type: ignore[no-untyped-def]
                    seen.append(task.stage)
                    return task(shard)

            return super().run(Noting(), shards, out, done)

    first = scored(tmp_path, shards, "out", engine=Counting(1))
    assert len(seen) == 4 * 4
    again = scored(tmp_path, shards, "out", engine=Counting(1))
    assert len(seen) == 4 * 4
    assert again.ids == first.ids
    other = scorer_of(labelled_file(tmp_path, seed=9), SETTINGS)
    score_pool(find_shards(shards), other, tmp_path / "out", 5, top=50, settings=SETTINGS,
               engine=Counting(1))  # fmt: skip
    assert len(seen) == 8 * 4


def test_a_changed_or_damaged_part_is_made_anew(tmp_path: Path) -> None:
    shards = cut(tmp_path / "shards", pool(3000), 3)
    first = scored(tmp_path, shards, "out")
    victim = sorted((tmp_path / "out" / "score").glob("*.npz"))[0]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    with pytest.raises(DataError, match=r"damaged.*made anew"):
        scored(tmp_path, shards, "out")
    assert scored(tmp_path, shards, "out").ids == first.ids


def test_rows_with_nan_are_named_counted_and_left_out(tmp_path: Path) -> None:
    x = pool(4000)
    clean = scored(tmp_path, cut(tmp_path / "clean", x, 1), "out")
    bad = x.copy()
    worst = int(clean.top.row[0])
    bad[worst, 2] = np.nan
    found = scored(tmp_path, cut(tmp_path / "bad", bad, 1), "other")
    assert found.left_out == 1
    assert found.left_out_ids == (f"000.npy:{worst}",)
    assert found.scored == 3999
    assert worst not in found.top.row


def test_a_pool_of_one(tmp_path: Path) -> None:
    found = scored(tmp_path, cut(tmp_path / "one", pool(1), 1), "out", n=1, top=1)
    assert found.ids == ("000.npy:0",)


def test_the_order_of_the_list_changes_nothing(tmp_path: Path) -> None:
    shards = cut(tmp_path / "shards", pool(2000), 4)
    names = [f"shards/{p.name}" for p in shards.iterdir()]
    (tmp_path / "a.txt").write_text("\n".join(sorted(names)))
    (tmp_path / "b.txt").write_text("# backwards\n\n" + "\n".join(sorted(names)[::-1]))
    assert find_shards(tmp_path / "a.txt") == find_shards(tmp_path / "b.txt")
    (tmp_path / "c.txt").write_text("\n".join([*names, names[1]]))
    with pytest.raises(DataError, match="same shard"):
        find_shards(tmp_path / "c.txt")
    (tmp_path / "shards" / "copy.npy").write_bytes((shards / "001.npy").read_bytes())
    with pytest.raises(DataError, match=r"001.npy and copy.npy are the same shard"):
        find_shards(shards)
    (tmp_path / "d.txt").write_text("shards/gone.npy\n" + names[0])
    with pytest.raises(DataError, match=r"1 of 2 shards are missing: shards/gone.npy"):
        find_shards(tmp_path / "d.txt")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(5, np.float32), r"float32\[5\]"),
        (np.zeros((5, 8), np.int64), r"int64\[5, 8\]"),
        (np.zeros((5, 7), np.float32), "7 features an item"),
    ],
)
def test_a_wrong_map_is_named_and_the_others_are_kept(
    tmp_path: Path, array: np.ndarray, said: str
) -> None:
    shards = cut(tmp_path / "shards", pool(900), 2)
    np.save(shards / "bad.npy", array)
    with pytest.raises(DataError, match=said) as told:
        scored(tmp_path, shards, "out")
    assert "1 of 3 shards" in told.value.cause
    assert "bad.npy" in told.value.cause
    assert len(list((tmp_path / "out" / "moments-0").glob("*.done"))) == 2


def test_a_torn_map_is_named(tmp_path: Path) -> None:
    shards = cut(tmp_path / "shards", pool(900), 2)
    data = (shards / "001.npy").read_bytes()
    (shards / "001.npy").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"001\.npy: torn"):
        scored(tmp_path, shards, "out")


def test_a_full_disk_ends_it_and_the_next_run_goes_on(tmp_path: Path) -> None:
    shards = cut(tmp_path / "shards", pool(30_000), 6)
    alone = scored(tmp_path, shards, "alone", top=20_000)
    with small_file_system(tmp_path / "disk", "300k") as disk:
        with pytest.raises(DiskError, match="full"):
            scored(tmp_path, shards, "disk", top=20_000)
        kept = len(list(disk.rglob("*.done")))
        assert kept > 6  # the sums, and some of the scores
        assert len(list(disk.rglob("*.npz"))) <= kept + 1
        again = Path(tmp_path / "roomy")
        again.mkdir()
        for file in disk.rglob("*.*"):
            target = again / file.relative_to(disk)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    assert scored(tmp_path, shards, "roomy", top=20_000).ids == alone.ids


def test_images_without_a_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "images" / "a" / "x.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match="no network"):
        scored(tmp_path, tmp_path / "images", "out")


def test_the_weights_do_not_depend_on_the_threads_of_the_caller(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), 100)
    x = (2 * rng.normal(size=(10, 64)))[y] + rng.normal(size=(1000, 64))
    np.savez(tmp_path / "many.npz", features=x.astype(np.float32), labels=y)
    before, digests = torch.get_num_threads(), set()
    try:
        for threads in (1, 2, 4):
            set_threads(threads)
            digests.add(scorer_of(tmp_path / "many.npz", SETTINGS).digest)
            assert torch.get_num_threads() == threads
    finally:
        set_threads(before)
    assert len(digests) == 1
