"""What labelgap says to install can be run as it stands, and takes nothing away."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from labelgap.core import installing

ROOT = Path(__file__).parents[2]
NEEDS = ["onnx>=1.17", "onnxscript>=0.1"]
HINT = "from labelgap.core.installing import command_for, extra; print({})"
# They write what somebody reads beside an exported model, on a machine without labelgap.
ELSEWHERE = ("model_folder.py", "standalone.py")
LISTED = (
    "import json; from importlib.metadata import distributions; "
    "print(json.dumps({d.name: d.version for d in distributions()}))"
)


class Installed(Distribution):
    """labelgap as some installer left it."""

    def __init__(self, **files: str) -> None:
        requires = "Requires-Dist: numpy>=2\n"
        requires += "".join(f"Requires-Dist: {need}; extra == 'onnx'\n" for need in NEEDS)
        old = "Requires-Dist: tomli; python_version < '3.0' and extra == 'onnx'\n"
        self.files_ = {"METADATA": f"Name: labelgap\nVersion: 1\n{requires}{old}", **files}

    def read_text(self, filename: str) -> str | None:
        return self.files_.get(filename)

    def locate_file(self, path: object) -> Path:
        raise NotImplementedError


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment in a folder whose name has a space, which is not the active one."""
    prefix = tmp_path / "my clone" / ".venv"
    (prefix / "bin").mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(sys, "executable", str(prefix / "bin" / "python"))
    for name in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: f"/elsewhere/{name}")
    return prefix


def made_by(monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    monkeypatch.setattr(installing, "distribution", lambda name: Installed(**files))


def words(command: str) -> list[str]:
    """As a shell reads it, without the backquotes of the message."""
    assert command[0] == command[-1] == "`"
    return shlex.split(command[1:-1])


def test_pip_installs_into_the_environment_that_runs(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_by(monkeypatch, INSTALLER="pip\n")
    python = str(environment / "bin" / "python")
    assert words(installing.extra("onnx")) == [python, "-m", "pip", "install", *NEEDS]
    monkeypatch.setattr(shutil, "which", lambda name: str(environment / "bin" / name))
    assert words(installing.extra("onnx")) == ["python", "-m", "pip", "install", *NEEDS]
    assert words(installing.command_for("timm")) == ["python", "-m", "pip", "install", "timm"]


def test_uv_installs_into_the_environment_that_runs(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment of `uv venv`, or one of `uv tool`: neither has pip."""
    made_by(monkeypatch, INSTALLER="uv")
    python = str(environment / "bin" / "python")
    assert words(installing.extra("onnx")) == ["uv", "pip", "install", "--python", python, *NEEDS]
    monkeypatch.setenv("VIRTUAL_ENV", str(environment))
    assert words(installing.extra("onnx")) == ["uv", "pip", "install", *NEEDS]


@pytest.mark.parametrize("locked", [True, False])
def test_a_clone_that_uv_keeps_takes_its_extra_and_leaves_the_others(
    environment: Path, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    clone = environment.parent
    direct = json.dumps({"url": clone.as_uri(), "dir_info": {"editable": True}})
    made_by(monkeypatch, INSTALLER="uv", **{"direct_url.json": direct})
    if not locked:  # an editable installation by hand
        assert words(installing.extra("onnx"))[:3] == ["uv", "pip", "install"]
        return
    (clone / "uv.lock").touch()
    monkeypatch.chdir("/")
    said = ["uv", "sync", "--project", str(clone), "--inexact", "--extra", "onnx"]
    assert words(installing.extra("onnx")) == said
    monkeypatch.chdir(clone / ".venv")
    assert words(installing.extra("onnx")) == ["uv", "sync", "--inexact", "--extra", "onnx"]
    # Another environment than the clone's own is none that `uv sync` would change.
    monkeypatch.setattr(sys, "prefix", str(clone / "other"))
    assert words(installing.extra("onnx"))[:3] == ["uv", "pip", "install"]


def test_an_extra_that_is_none_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        installing.extra("onx")


def test_every_hint_is_made_by_the_one_function() -> None:
    """No message names an installer; extras that messages name are there."""
    for file in sorted((ROOT / "src").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if file.name not in ("installing.py", *ELSEWHERE):
            for wrong in ("pip install", "uv sync", "uv pip", "--extra"):
                assert wrong not in text, f"{file}: say it by core.installing"
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for line in page.read_text(encoding="utf-8").splitlines():
            if "uv sync -" in line:
                assert "--inexact" in line, f"{page}: {line} takes other extras away"


# ------------------------------------------------------------- the hints, run as they stand


def python_in(prefix: Path) -> Path:
    return prefix / ("Scripts" if os.name == "nt" else "bin") / "python"


def run(*words: object, cwd: Path, **env: str) -> str:
    """Output of a command outside every environment; the error is told where it fails."""
    clean = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env={**clean, **env}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run("uv", "build", "--wheel", "--out-dir", out, cwd=ROOT)
    (made,) = out.glob("*.whl")
    return made


def hint_adds_onnx(python: Path, cwd: Path, activated: bool) -> str:
    """Runs what is said for ONNX; everything that was there is there afterwards, unchanged."""
    env = {}
    if activated:
        env = {
            "VIRTUAL_ENV": str(python.parent.parent),
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        }
    before = json.loads(run(python, "-c", LISTED, cwd=cwd))
    assert "onnx" not in before
    hint = run(python, "-c", HINT.format("extra('onnx')"), cwd=cwd, **env).strip()
    run(*words(hint), cwd=cwd, **env)
    after = json.loads(run(python, "-c", LISTED, cwd=cwd))
    assert before.items() <= after.items()
    run(python, "-c", "import onnx, onnxscript", cwd=cwd)
    return hint


# What the two functions need; all dependencies of labelgap would be gigabytes for pip's cache.
LITTLE = ("packaging", "lazy-loader")


@pytest.mark.slow
@pytest.mark.parametrize("activated", [True, False])
def test_the_hint_works_in_a_venv_of_pip(tmp_path: Path, wheel: Path, activated: bool) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "a venv", cwd=tmp_path)
    python = python_in(tmp_path / "a venv")
    run(python, "-m", "pip", "install", "--no-deps", wheel, *LITTLE, cwd=tmp_path)
    hint = hint_adds_onnx(python, tmp_path, activated)
    assert ("python -m pip install" in hint) == activated


@pytest.mark.slow
@pytest.mark.parametrize("activated", [True, False])
def test_the_hint_works_in_a_venv_of_uv(tmp_path: Path, wheel: Path, activated: bool) -> None:
    run("uv", "venv", "-p", sys.executable, tmp_path / "a venv", cwd=tmp_path)
    python = python_in(tmp_path / "a venv")
    run("uv", "pip", "install", "--python", python, "--no-deps", wheel, *LITTLE, cwd=tmp_path)
    hint = hint_adds_onnx(python, tmp_path, activated)
    assert ("--python" in hint) != activated


@pytest.mark.slow
def test_the_hint_works_for_a_tool_of_uv(tmp_path: Path, wheel: Path) -> None:
    env = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    run("uv", "tool", "install", "-p", sys.executable, wheel, cwd=tmp_path, **env)
    run(tmp_path / "bin" / "labelgap", "--version", cwd=tmp_path)
    hint_adds_onnx(python_in(tmp_path / "tools" / "labelgap"), tmp_path, False)


@pytest.mark.slow
def test_the_hint_works_in_a_clone_and_leaves_other_extras(tmp_path: Path) -> None:
    clone = tmp_path / "a clone"
    run("git", "clone", "-q", ROOT, clone, cwd=tmp_path)
    run("uv", "sync", "-q", "-p", sys.executable, "--no-dev", "--extra", "tensorboard", cwd=clone)
    python = python_in(clone / ".venv")
    run(python, "-c", "import tensorboard", cwd=clone)
    hint = hint_adds_onnx(python, clone, False)
    assert hint == "`uv sync --inexact --extra onnx`"
    run(python, "-c", "import tensorboard", cwd=clone)


@pytest.mark.slow
def test_a_wheel_alone_begins_a_project_with_its_pretrained_network(
    tmp_path: Path, wheel: Path
) -> None:
    """Into an empty environment, and no more: `init`, and a question chosen by features."""
    from PIL import Image

    python = python_in(tmp_path / "venv")
    run("uv", "venv", "-p", sys.executable, tmp_path / "venv", cwd=tmp_path)
    run("uv", "pip", "install", "--python", python, wheel, cwd=tmp_path)
    (tmp_path / "photos").mkdir()
    for i in range(12):
        Image.new("RGB", (90, 70), (20 * i, 99, 255 - 20 * i)).save(tmp_path / f"photos/{i}.png")
    # An address that nothing listens on: whoever asks the network fails at once.
    env = {"LABELGAP_CACHE": str(tmp_path / "cache"), "HTTPS_PROXY": "http://127.0.0.1:9"}
    labelgap = (python, "-m", "labelgap")
    said = run(*labelgap, "init", "photos", "--classes", "a,b", cwd=tmp_path, **env)
    assert "comes with labelgap, works offline" in said
    asked = run(*labelgap, "ask", "4", "--project", "photos", cwd=tmp_path, **env)
    assert "4 images to label" in asked
    assert list((tmp_path / "photos/.labelgap/cache/features").glob("*/features.npy"))
