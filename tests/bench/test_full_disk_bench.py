"""A benchmark whose disk is full says so, calls nothing damaged, and goes on with room again."""

from pathlib import Path

import pytest
from bench_small import SMALL
from console import call
from disks import fill, small_file_system

from labelgap.bench.evidence.collect import collect
from labelgap.bench.grid.store import Store


@pytest.mark.slow
def test_a_bench_and_its_report_on_a_full_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABELGAP_CACHE", str(tmp_path / "cache"))
    grid = tmp_path / "grid.toml"
    grid.write_text(SMALL)
    with small_file_system(tmp_path / "disk", "8m") as disk:
        out = disk / "bench"
        words = ["bench", str(grid), "--out", str(out), "--workers", "1", "--threads", "1"]
        words += ["--method", "random", "--method", "margin", "--seeds", "1", "--device", "cpu"]
        for leave in (0, 60_000):
            ballast = fill(disk)
            with ballast.open("r+b") as file:
                file.truncate(ballast.stat().st_size - leave)
            status, text = call(capsys, *words)
            ballast.unlink()
            assert status != 0, text
            assert "the disk is full" in text, text
            assert "damaged" not in text, text
            assert "Traceback" not in text, text
        status, text = call(capsys, *words)
        assert status == 0, text
        collection = collect(Store(out))
        assert len(collection.finished) == 2
        assert not collection.damaged
        ballast = fill(disk)
        status, text = call(capsys, "report", str(out))
        assert status == 2, text
        assert "the disk is full" in text
        ballast.unlink()
        assert call(capsys, "report", str(out))[0] == 0
