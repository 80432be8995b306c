"""A full disk stops a run with a cause and a cure; with room again the same command goes on."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import small_file_system

from labelgap.check.case import Case, tiny_task
from labelgap.core.device import machine
from labelgap.core.errors import LabelgapError
from labelgap.loop import run as loop
from labelgap.loop.result import QUERIES
from labelgap.methods import METHODS
from labelgap.session.claim import prepare


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_file_system(tmp_path / "disk", "2m") as folder:
        yield folder


def test_a_run_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    config, place = Case(METHODS["daal"]).config(), machine("cpu", "float32")
    whole = tmp_path / "whole"
    prepare(whole, config, place)
    loop.run(config, tiny_task(), whole, place)
    folder = small_disk / "run"
    prepare(folder, config, place)
    ballast = small_disk / "ballast"
    # Ever less room: whatever the run was writing when the disk was full, it says so.
    for room in (20_000, 60_000, 120_000, 200_000, 300_000):
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(bytes(max(0, free - room)))
        with pytest.raises(LabelgapError, match=r"Free|free|full"):
            loop.run(config, tiny_task(), folder, place)
        ballast.unlink()
    loop.run(config, tiny_task(), folder, place)
    assert (folder / QUERIES).read_bytes() == (whole / QUERIES).read_bytes()
