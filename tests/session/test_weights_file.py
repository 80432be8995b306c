"""A file of weights is known by its content; its path is this machine's affair."""

import json
import shutil
from pathlib import Path

import pytest

from labelgap.core.errors import DataError
from labelgap.networks.weights_file import by_content, weights_file
from labelgap.session.presets import resolve


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABELGAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def frozen(weights: Path | str) -> dict[str, object]:
    network = {"name": "timm:test_efficientnet", "freeze": True, "weights": str(weights)}
    return {"method": "random", "network": network}


def test_the_path_is_no_part_of_a_configuration(tmp_path: Path) -> None:
    one, other = tmp_path / "one.pth", tmp_path / "elsewhere" / "two.pth"
    other.parent.mkdir()
    one.write_bytes(b"the same weights")
    shutil.copy(one, other)
    a, b = resolve(frozen(one)), resolve(frozen(other))
    assert a.identity() == b.identity()
    assert str(tmp_path) not in json.dumps(a.model_dump(mode="json"))
    assert weights_file(b.network.weights) == other.resolve()  # the one given last
    # A configuration that is read back names the same file, and stays what it is.
    assert resolve(frozen(str(b.network.weights))) == b
    one.write_bytes(b"other weights")
    assert resolve(frozen(one)).identity() != a.identity()


def test_identities_without_weights_do_not_depend_on_them() -> None:
    assert resolve({"method": "random"}).network.weights is None
    assert by_content("hub") == "hub"
    assert weights_file(None) is None
    assert weights_file("hub") is None


def test_what_is_not_there_is_said(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.pth does not exist"):
        resolve(frozen(tmp_path / "gone.pth"))
    with pytest.raises(DataError, match=r"sha256:00 is known on this machine.*--weights"):
        weights_file("sha256:00")
    file = tmp_path / "w.pth"
    file.write_bytes(b"1")
    name = by_content(str(file))
    file.write_bytes(b"22")
    with pytest.raises(DataError, match="no longer has the content"):
        weights_file(name)
    file.unlink()
    with pytest.raises(DataError, match="does not exist"):
        weights_file(name)
