import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of its own for every test."""
    folder = tmp_path / "the-cache"
    monkeypatch.setenv("LABELGAP_CACHE", str(folder))
    return folder
