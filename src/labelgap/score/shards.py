"""The list of shards: found, told apart, the same whatever their order."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labelgap.core.disk import told
from labelgap.core.errors import DataError
from labelgap.core.wording import shortened

FEATURES, TAR, PARQUET, FOLDER = ".npy", ".tar", ".parquet", ""
KINDS = (FEATURES, PARQUET, TAR)
_LOOK = 1 << 20
"""Bytes at each end of a file by which it is known: 10⁹ images are not hashed to be listed."""


@dataclass(frozen=True)
class Shard:
    """One part of the pool: read by one worker at a time, its result kept as a whole.

    Attributes
    ----------
    name: how it is called in results and ids: its path as listed, with "/" between folders.
    path: where it lies.
    kind: ".npy" (features), ".parquet", ".tar" (WebDataset), or "" (a folder of images).
    content: hash of its size and of its first and last MiB (of a folder: of names and sizes).
    state: `content` and the time of its last change: its results are void once this differs.
    """

    name: str
    path: Path
    kind: str
    content: str
    state: str

    @property
    def key(self) -> str:
        """The name of its files in the output folder."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:20]


def find_shards(where: Path) -> tuple[Shard, ...]:
    """The shards of a list or a folder, sorted by name, so that their order changes nothing.

    where: a text file with a path a line (relative to the file; empty lines and those that begin
        with "#" count for nothing), or a folder of `.npy`, `.parquet` or `.tar` files, or of
        folders of images.

    Raises
    ------
    DataError: nothing there, a shard that is missing, of no known kind, or listed twice, be it as
        a copy under another name.
    """
    with told(where, "read"):
        named = _inside(where) if where.is_dir() else _listed(where)
    missing = [name for name, path in named if not path.exists()]
    if missing:
        raise DataError(
            f"{where}: {len(missing)} of {len(named)} shards are missing: {shortened(missing, 5)}.",
            "Bring them back, or take them out of the list.",
        )
    if not named:
        raise DataError(
            f"{where} has no shard.",
            f"A shard is a {', '.join(KINDS)} file or a folder of images.",
        )
    found = sorted((_shard(name, path) for name, path in named), key=lambda s: s.name)
    _refuse_twice(where, found)
    return tuple(found)


def _listed(file: Path) -> list[tuple[str, Path]]:
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return [(Path(x).as_posix(), (file.parent / x).absolute()) for x in lines if x and x[0] != "#"]


def _inside(folder: Path) -> list[tuple[str, Path]]:
    there = [p for p in folder.iterdir() if not p.name.startswith(".")]
    files = [p for p in there if p.suffix in KINDS and p.is_file()]
    return [(p.name, p.absolute()) for p in files or [p for p in there if p.is_dir()]]


def _shard(name: str, path: Path) -> Shard:
    kind = FOLDER if path.is_dir() else path.suffix.lower()
    if kind not in (*KINDS, FOLDER):
        raise DataError(
            f"{name}: {path.suffix or 'a file without an ending'} is no kind of shard.",
            f"Valid: {', '.join(KINDS)} and folders of images.",
        )
    digest = hashlib.sha256()
    changed = 0
    with told(path, "read"):
        if kind == FOLDER:
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                stat = file.stat()
                changed = max(changed, stat.st_mtime_ns)
                digest.update(f"{file.relative_to(path).as_posix()}\0{stat.st_size}\0".encode())
        else:
            stat = path.stat()
            changed = stat.st_mtime_ns
            digest.update(str(stat.st_size).encode())
            with path.open("rb") as stream:
                digest.update(stream.read(_LOOK))
                stream.seek(max(0, stat.st_size - _LOOK))
                digest.update(stream.read(_LOOK))
    content = digest.hexdigest()
    return Shard(name, path, kind, content, f"{content}-{changed}")


def _refuse_twice(where: Path, shards: Sequence[Shard]) -> None:
    for what in ("name", "path", "content"):
        groups = defaultdict(list)
        for shard in shards:
            value = shard.path.resolve() if what == "path" else getattr(shard, what)
            groups[value].append(shard.name)
        for names in groups.values():
            if len(names) > 1:
                raise DataError(
                    f"{where}: {' and '.join(names[:3])} are the same shard.",
                    "List each once: an item that is there twice would be asked for twice.",
                )
