"""The package's public names: loaded when they are first needed, known to type checkers."""

from pathlib import Path

import pytest
from mypy import api

import labelgap

STUB = Path(labelgap.__file__).with_suffix(".pyi")


def test_every_public_name_is_there() -> None:
    assert {"Oracle", "Session", "__version__", "load", "run"} <= set(labelgap.__all__)
    for name in labelgap.__all__:
        found = getattr(labelgap, name)
        assert getattr(found, "__name__", name).split(".")[-1] == name
    assert set(labelgap.__all__) <= set(dir(labelgap))
    with pytest.raises(AttributeError, match="Sesion"):
        labelgap.Sesion  # type: ignore[attr-defined]  # noqa: B018


def test_type_checkers_know_the_same_names(tmp_path: Path) -> None:
    lines = [f"from labelgap import {name}" for name in (*labelgap.__all__, "Sesion")]
    user = tmp_path / "user.py"
    user.write_text("\n".join(lines))
    # What the stub imports is not followed: torch alone takes a minute.
    said, _, _ = api.run(
        ["--strict", "--follow-imports=skip", f"--cache-dir={tmp_path}", str(user), str(STUB)]
    )
    errors = [line for line in said.splitlines() if "user.py" in line]
    assert len(errors) == 1, said
    assert f"user.py:{len(lines)}:" in errors[0]
    assert 'no attribute "Sesion"' in errors[0]
