"""Install the built wheel into empty environments and use it there, outside the clone.

    uv run python tools/matrix.py --python 3.11 --python 3.14 --extras hf,tensorboard

For every Python and for the lowest and the newest versions of what labelgap needs: `pip check`, a
run, a benchmark with its report, a labelling project. Prints a table, and ends with status 1 if a
cell fails. uv installs a Python that is missing. Each cell takes minutes, and some gigabytes while
it lasts; `--torch-backend cpu` makes these a few hundred megabytes.
"""

import argparse
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
RESOLUTIONS = ("lowest-direct", "highest")
SMALL = "--steps 8 --rounds 1 --initial 20 --budget 10 --device cpu --set network.width=4".split()
SHOWN = ("torch", "numpy", "scikit-learn")
VERSIONS = (
    f"import importlib.metadata as m; print(*(p + ' ' + m.version(p) for p in {SHOWN!r}), sep=', ')"
)


@dataclass(frozen=True)
class Cell:
    """One environment: a Python, how versions are chosen, extras, and the kind of PyTorch."""

    python: str
    resolution: str
    extras: tuple[str, ...] = ()
    torch: str | None = None

    def __str__(self) -> str:
        extras = f" [{','.join(self.extras)}]" if self.extras else ""
        return f"Python {self.python}, {self.resolution}{extras}"


class Failed(Exception):
    """A command of a cell ended with another status than 0."""


def run(*words: object, cwd: Path) -> str:
    """Output of a command that knows nothing of the clone or of an active environment."""
    hidden = ("VIRTUAL_ENV", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT", "LABELGAP_CACHE")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    environment["LABELGAP_CACHE"] = str(cwd / "cache")
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise Failed(f"{' '.join(map(str, words))}\n" + "\n".join(said[-15:]))
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, made from the source distribution as an index would serve it."""
    run("uv", "build", "--quiet", "--out-dir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def needs(wheel: Path, extras: Sequence[str]) -> list[str]:
    """What the wheel needs here, with these extras, as requirements of their own.

    A resolver takes for direct what it is asked for. Asked for the wheel alone, "lowest-direct"
    takes the newest version of all that the wheel needs.
    """
    with ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        told = message_from_bytes(file.read(name)).get_all("Requires-Dist") or []
    found = []
    for requirement in map(Requirement, told):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found.append(f"{requirement.name}{requirement.specifier}")
    return found


def png(side: int, grey: int) -> bytes:
    """A square picture of one grey: the environment under test draws nothing for itself."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes([(grey + row) % 256]) * side for row in range(side))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def use(cell: Cell, wheel: Path, folder: Path) -> str:
    """Install and use it in a folder of its own; the versions that were installed."""
    environment = folder / "environment"
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = f"{wheel}[{','.join(cell.extras)}]" if cell.extras else str(wheel)
    run("uv", "venv", "--quiet", "--python", cell.python, environment, cwd=folder)
    backend = ["--torch-backend", cell.torch] if cell.torch else []
    install = ["uv", "pip", "install", "--quiet", "--python", python, *backend]
    run(*install, "--resolution", cell.resolution, wanted, *needs(wheel, cell.extras), cwd=folder)
    run("uv", "pip", "check", "--python", python, cwd=folder)

    def labelgap(*words: str) -> str:
        return run(python, "-P", "-m", "labelgap", *words, cwd=folder)

    labelgap("run", "--out", "run", *SMALL)
    assert (folder / "run" / "report.html").exists()
    grid = ["--method", "random", "--method", "margin", "--seeds", "1", "--out", "bench"]
    values = ["training.steps=8", "loop.rounds=1", "network.width=4"]
    labelgap("bench", *grid, *(word for value in values for word in ("--set", value)))
    labelgap("report", "bench")
    (folder / "photos").mkdir()
    for k in range(12):
        (folder / "photos" / f"{k}.png").write_bytes(png(48, 20 * k))
    labelgap("init", "photos", "--classes", "dark,light")
    if "4 images to label" not in labelgap("ask", "4", "--project", "photos"):
        raise Failed("`labelgap ask 4` asked for something else")
    labelgap("status", "--project", "photos")
    return run(python, "-c", VERSIONS, cwd=folder).strip()


def cells(
    pythons: Sequence[str], resolutions: Sequence[str], extras: Sequence[str], torch: str | None
) -> list[Cell]:
    """Every Python with every way to choose versions."""
    return [Cell(p, r, tuple(extras), torch) for p in pythons for r in resolutions]


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole matrix; 0 if every cell works."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument("--python", action="append", help=f"repeatable [default: {here}]")
    parser.add_argument("--resolution", action="append", choices=RESOLUTIONS)
    parser.add_argument("--extras", default="", help="separated by commas")
    parser.add_argument("--torch-backend", help="cpu, auto, …: as for `uv pip install`")
    given = parser.parse_args(arguments)
    extras = [name for name in given.extras.split(",") if name]
    wanted = cells(given.python or [here], given.resolution or RESOLUTIONS, extras,
                   given.torch_backend)  # fmt: skip
    failed = 0
    with tempfile.TemporaryDirectory() as made:
        wheel = build(Path(made))
        for cell in wanted:
            started = time.monotonic()
            try:
                with tempfile.TemporaryDirectory() as folder:
                    said = f"works ({use(cell, wheel, Path(folder))})"
            except Failed as error:
                failed += 1
                said = f"FAILS: {error}"
            print(f"{cell}: {said}, {time.monotonic() - started:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
