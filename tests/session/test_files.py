"""Files that are whole or absent, and readable by whom they should be."""

import os
from pathlib import Path

import pytest

from labelgap.core.files import write_atomically, write_text
from labelgap.project.server.serve import KEPT, remember


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    write_text(file, "old")

    def fails(stream: object) -> None:
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        write_atomically(file, fails)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.name == "nt", reason="no permissions of POSIX on this system")
def test_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "report.html", "for everybody")
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert (tmp_path / "report.html").stat().st_mode == ordinary.stat().st_mode
    remember(tmp_path, {"token": "secret", "id": "1", "port": 1})
    assert (tmp_path / KEPT).stat().st_mode & 0o077 == 0
