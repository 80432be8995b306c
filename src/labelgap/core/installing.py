"""How to install something beside labelgap, said so that it works where labelgap is installed.

What a hint names are packages, not extras of labelgap: a package can be added to any environment,
by whatever made it, and nothing else in the environment is taken away. (`uv sync --extra a` alone
removes what another extra had brought.)
"""

import json
import os
import shlex
import shutil
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import Requirement

PACKAGE = "labelgap"


def command_for(*packages: str) -> str:
    """The command that adds packages to this environment, in backquotes.

    packages: requirements as pip reads them, for example "onnx>=1.17".
    """
    return f"`{_installer()} {' '.join(map(_quoted, packages))}`"


def extra(name: str) -> str:
    """The command that adds what the extra `name` of labelgap needs, in backquotes.

    In a clone whose environment uv keeps: by the extra, in the locked versions, the others left.

    Raises `KeyError` for an extra that labelgap does not have.
    """
    found = _labelgap()
    packages = _requirements(found, name)
    if not packages:
        raise KeyError(name)
    if (clone := _clone(found)) is not None:
        where = "" if _is_here(clone) else f" --project {_quoted(str(clone))}"
        return f"`uv sync{where} --inexact --extra {name}`"
    return command_for(*packages)


def _installer() -> str:
    """The start of the command that installs into this environment."""
    found = _labelgap()
    made_by = (found.read_text("INSTALLER") or "").strip() if found else ""
    if made_by == "uv":
        active = os.environ.get("VIRTUAL_ENV")
        if active and Path(active).resolve() == Path(sys.prefix).resolve():
            return "uv pip install"
        return f"uv pip install --python {_quoted(sys.executable)}"
    python = shutil.which("python")
    same = python is not None and Path(python).parent == Path(sys.executable).parent
    return f"{'python' if same else _quoted(sys.executable)} -m pip install"


def _labelgap() -> Distribution | None:
    try:
        return distribution(PACKAGE)
    except PackageNotFoundError:  # run from its sources, not installed
        return None


def _requirements(found: Distribution | None, extra: str) -> list[str]:
    """What the extra adds, as pip reads it, without markers that hold here anyway."""
    wanted = []
    for text in (found.requires if found else None) or ():
        need = Requirement(text)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            continue
        if need.marker.evaluate({"extra": extra}):
            need.marker = None
            wanted.append(str(need))
    return wanted


def _clone(found: Distribution | None) -> Path | None:
    """The clone that this environment was made for by uv; None for any other installation."""
    said = found.read_text("direct_url.json") if found else None
    direct = json.loads(said) if said else {}
    if not direct.get("dir_info", {}).get("editable"):
        return None
    root = Path(url2pathname(urlsplit(direct["url"]).path))
    own = Path(os.environ.get("UV_PROJECT_ENVIRONMENT") or ".venv")
    of_uv = (root / "uv.lock").is_file() and (root / own).resolve() == Path(sys.prefix).resolve()
    return root if of_uv else None


def _is_here(clone: Path) -> bool:
    return Path.cwd().resolve().is_relative_to(clone.resolve())


def _quoted(text: str) -> str:
    """For the shell at hand: cmd and PowerShell know double quotes, and "<" needs them."""
    if os.name == "nt":
        return f'"{text}"' if set(text) & set(" <>=!~;[]&^") else text
    return shlex.quote(text)
