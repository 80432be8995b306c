"""Where a project's images are: files in its folder, a manifest's, or rows of tables.

A place is written as a path relative to the folder, with forward slashes; a row of a table as
`file#row`. Nothing outside the folder is ever read, by whatever link.
"""

import csv
import json
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from labelgap.core.errors import DataError
from labelgap.data.folder import _SUFFIXES

Kind = Literal["folder", "manifest", "tables"]

SUFFIXES = _SUFFIXES | {".avif", ".jfif", ".mpo"}
UNLABELLED = frozenset({"unlabelled", "unlabeled"})
"""Sub-folders of these names are no class."""
MAX_BYTES = 256 << 20
"""A larger file is no photograph."""
_MANIFEST_BYTES = 1 << 30
_KEPT = 4  # row groups in memory


@dataclass(frozen=True)
class Found:
    """A place where an image should be. `refused` is the reason why it must not be read."""

    path: str
    size: int
    mtime_ns: int
    label: str | None = None
    refused: str = ""


class Unreadable(Exception):
    """Why a place could not be read, in two or three words, and the details."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


def kind_of(root: Path) -> Kind:
    """Tables if the folder is a Hugging Face data set on disk, or has Parquet files only."""
    if (root / "state.json").is_file() or (root / "dataset_dict.json").is_file():
        return "tables"
    if next(root.glob("*.parquet"), None) and next(_walk(root), None) is None:
        return "tables"
    return "folder"


def find(root: Path, kind: Kind, manifest: Path | None = None) -> list[Found]:
    """Every place of the project, by path. Raises `DataError` for a manifest or table that is
    no such thing."""
    if kind == "manifest":
        if manifest is None:
            raise DataError("A project of a manifest needs the manifest.", "Give --manifest FILE.")
        return _listed(root, manifest)
    if kind == "tables":
        return list(_rows(root))
    return list(_walk(root))


def classes_of(found: list[Found]) -> tuple[str, ...]:
    """The names of the labels that came along, sorted."""
    return tuple(sorted({f.label for f in found if f.label}))


# ------------------------------------------------------------------------------- folders


def _walk(root: Path) -> Iterator[Found]:
    def complain(error: OSError) -> None:
        raise DataError(
            f"{error.filename}: cannot be read ({error.strerror}).", "Change its permissions."
        ) from error

    # Links to folders are not followed: they lead out of the folder, or round in a circle.
    for folder, folders, names in os.walk(root, onerror=complain):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or Path(name).suffix.lower() not in SUFFIXES:
                continue
            path = Path(folder, name).relative_to(root)
            top = path.parts[0] if len(path.parts) > 1 else None
            label = None if top is None or top.lower() in UNLABELLED else top
            yield _stat(root, path.as_posix(), label)


def _stat(root: Path, path: str, label: str | None) -> Found:
    """A file of the folder, and whether it may be read."""
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    if shown != path:
        return Found(shown, -1, -1, label, "name is not valid text")
    if (refused := outside(root, path)) is not None:
        return Found(path, -1, -1, label, refused)
    try:
        state = (root / path).stat()
    except OSError as error:
        refused = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return Found(path, -1, -1, label, refused)
    return Found(path, state.st_size, state.st_mtime_ns, label)


def outside(root: Path, path: str) -> str | None:
    """Why a relative path must not be followed; None where it stays in the folder."""
    try:
        real = (root / path).resolve()
    except (OSError, RuntimeError, ValueError):
        return "unreadable"
    return None if real.is_relative_to(root.resolve()) else "outside the folder"


# ------------------------------------------------------------------------------ manifests


def read_table(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV or JSONL file as text by column name; columns are case-insensitive.

    Raises `DataError` naming file and line.
    """
    try:
        if file.stat().st_size > _MANIFEST_BYTES:
            raise DataError(f"{file}: larger than 1 GiB.", "Split it.")
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text ({error}).", "Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).", "Check the path.") from error
    if file.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        return [_line(file, number, line) for number, line in _lines(text)]
    return _comma_separated(file, text)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def _line(file: Path, number: int, line: str) -> dict[str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{file}, line {number}: not JSON ({error}).", "One JSON object a line."
        ) from error
    if not isinstance(row, dict):
        raise DataError(f"{file}, line {number}: not a JSON object.", "One JSON object a line.")
    return {str(k).strip().lower(): _text(file, number, k, v) for k, v in row.items()}


def _text(file: Path, number: int, key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        if key.strip().lower() in ("path", "id", "label", "annotator"):
            raise DataError(
                f"{file}, line {number}: {key} is {json.dumps(value)[:60]}.", "Give text."
            )
        return json.dumps(value)
    return str(value).strip()


def _comma_separated(file: Path, text: str) -> list[dict[str, str]]:
    if "\0" in text:
        raise DataError(f"{file}: contains zero bytes; it is no text file.", "Save it as CSV.")
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    rows: list[dict[str, str]] = []
    header: list[str] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [cell.strip().lower() for cell in row]
                if len(header) == 1 and (mark := next((c for c in ";\t" if c in header[0]), "")):
                    named = "tabs" if mark == "\t" else "semicolons"
                    raise DataError(
                        f"{file}: its columns are separated by {named}.", "Separate them by commas."
                    )
                if len(set(header)) < len(header):
                    raise DataError(f"{file}: a column occurs twice ({', '.join(header)}).")
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{file}, line {reader.line_num}: {len(row)} columns where the header has "
                    f"{len(header)}.",
                    "Quote fields that contain commas.",
                )
            rows.append(dict(zip(header, (cell.strip() for cell in row), strict=True)))
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}.", "Correct the line.") from error
    if not header:
        raise DataError(f"{file}: is empty.", "The first line names the columns.")
    return rows


def relative(root: Path, path: str) -> str:
    """A path of a manifest, relative to the folder; absolute ones inside it are accepted.

    Raises `Unreadable` for one that leads out of the folder.
    """
    given = Path(path)
    if given.is_absolute():
        for base in (root, root.resolve()):
            if given.is_relative_to(base):
                return given.relative_to(base).as_posix()
        raise Unreadable("outside the folder")
    plain = os.path.normpath(path).replace(os.sep, "/")
    if plain == ".." or plain.startswith("../"):
        raise Unreadable("outside the folder")
    return plain


def _listed(root: Path, manifest: Path) -> list[Found]:
    rows = read_table(manifest)
    found: dict[str, Found] = {}
    for number, row in enumerate(rows, 1):
        path, label = row.get("path", ""), row.get("label") or None
        if not path:
            raise DataError(f"{manifest}, row {number}: no path.", "The columns are path, label.")
        try:
            entry = _stat(root, relative(root, path), label)
        except Unreadable as error:
            entry = Found(path, -1, -1, label, error.reason)
        before = found.get(entry.path)
        if before is not None and before.label and label and before.label != label:
            raise DataError(
                f"{manifest}: {entry.path} is labelled {before.label!r} and {label!r}.",
                "Keep one of the two rows.",
            )
        found[entry.path] = before if before is not None and before.label else entry
    return sorted(found.values(), key=lambda f: f.path)


# --------------------------------------------------------------------------------- tables


def _rows(root: Path) -> Iterator[Found]:
    tables = Tables(root)
    for name in tables.names():
        state = (root / name).stat()
        for row, label in enumerate(tables.labels(name)):
            yield Found(f"{name}#{row}", state.st_size, state.st_mtime_ns, label)


class Tables:
    """Images in the rows of Parquet files, or of a Hugging Face data set saved to disk.

    The image column holds encoded bytes, alone or as a struct with `bytes`; the label column
    numbers (with the names that Hugging Face's metadata give) or text.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._mutex = threading.Lock()
        self._groups: OrderedDict[tuple[str, int], Any] = OrderedDict()
        self._bounds: dict[str, list[int]] = {}
        self._arrow: dict[str, Any] = {}

    def names(self) -> list[str]:
        """The files, relative to the folder, in order."""
        root, found = self.root, []
        if (root / "dataset_dict.json").is_file():
            splits = _json(root / "dataset_dict.json").get("splits", [])
            folders = [root / str(split) for split in splits]
        elif (root / "state.json").is_file():
            folders = [root]
        else:
            return sorted(p.name for p in root.glob("*.parquet") if p.is_file())
        for folder in folders:
            state = _json(folder / "state.json")
            if state.get("_indices_files") or state.get("_indices_data_files"):
                raise DataError(
                    f"{folder} is a selection of another data set.",
                    "Save it again after `flatten_indices()`.",
                )
            for entry in state.get("_data_files", []):
                file = folder / Path(str(entry["filename"])).name
                found.append(file.relative_to(root).as_posix())
        return found

    def labels(self, name: str) -> list[str | None]:
        """The class name of each row; None without one."""
        schema = self._schema(name)
        column = next((c for c in ("label", "labels", "fine_label") if c in schema.names), None)
        if column is None:
            return [None] * self._count(name)
        names = _class_names(schema, column)
        values = self._column(name, column).to_pylist()
        if names is None:
            return [None if v is None else str(v) for v in values]
        return [names[v] if isinstance(v, int) and 0 <= v < len(names) else None for v in values]

    def read(self, name: str, row: int) -> bytes:
        """The encoded image of a row. Raises `Unreadable`."""
        with self._mutex:
            try:
                group, offset = self._group(name, row)
                value = group[offset].as_py()
            except (pa.ArrowException, OSError, IndexError) as error:
                raise Unreadable("unreadable", str(error)) from error
        if isinstance(value, dict):
            value = value.get("bytes")
        if value is None:
            raise Unreadable("unreadable", "the row has no image bytes")
        return bytes(value)

    def _is_parquet(self, name: str) -> bool:
        return name.endswith(".parquet")

    def _parquet(self, name: str) -> Any:
        try:
            return pq.ParquetFile(self.root / name)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{self.root / name}: not a readable Parquet file ({error}).", "Get it anew."
            ) from error

    def _stream(self, name: str) -> Any:
        if name not in self._arrow:
            try:
                with pa.memory_map(str(self.root / name)) as source:
                    self._arrow[name] = pa.ipc.open_stream(source).read_all()
            except (pa.ArrowException, OSError) as error:
                raise DataError(
                    f"{self.root / name}: not a readable Arrow file ({error}).", "Get it anew."
                ) from error
        return self._arrow[name]

    def _schema(self, name: str) -> Any:
        if self._is_parquet(name):
            return self._parquet(name).schema_arrow
        return self._stream(name).schema

    def _count(self, name: str) -> int:
        if self._is_parquet(name):
            return int(self._parquet(name).metadata.num_rows)
        return int(self._stream(name).num_rows)

    def _column(self, name: str, column: str) -> Any:
        if self._is_parquet(name):
            return self._parquet(name).read([column]).column(column)
        return self._stream(name).column(column)

    def _group(self, name: str, row: int) -> tuple[Any, int]:
        """The image column that holds a row, and the row's place in it."""
        column = image_column(self.root / name, self._schema_once(name))
        if not self._is_parquet(name):
            return self._stream(name).column(column), row
        bounds = self._bounds[name]
        number = next(i for i in range(len(bounds)) if row < bounds[i])
        key = (name, number)
        if key not in self._groups:
            table = self._parquet(name).read_row_group(number, columns=[column])
            self._groups[key] = table.column(column)
            while len(self._groups) > _KEPT:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key], row - (bounds[number - 1] if number else 0)

    def _schema_once(self, name: str) -> Any:
        if not self._is_parquet(name):
            return self._stream(name).schema
        if name not in self._bounds:
            meta, total, bounds = self._parquet(name).metadata, 0, []
            for i in range(meta.num_row_groups):
                total += meta.row_group(i).num_rows
                bounds.append(total)
            self._bounds[name] = bounds
            self._arrow[f"schema {name}"] = self._parquet(name).schema_arrow
        return self._arrow[f"schema {name}"]


def image_column(file: Path, schema: Any) -> str:
    """The column of encoded images. Raises `DataError` where there is none, or several."""

    def holds(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(f.name == "bytes" and holds(f.type) for f in kind)
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    names = [field.name for field in schema if holds(field.type)]
    for name in ("image", "img"):
        if name in names:
            return name
    if len(names) != 1:
        raise DataError(
            f"{file}: {len(names) or 'no'} columns of image bytes ({', '.join(schema.names)}).",
            "Name the one to use 'image'.",
        )
    return str(names[0])


def _class_names(schema: Any, column: str) -> list[str] | None:
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None:
        return None
    try:
        feature = json.loads(raw)["info"]["features"][column]
    except (ValueError, KeyError, TypeError):
        return None  # other metadata than expected: the numbers themselves are the names
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if names else None


def _json(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error}).", "Save the data set anew.") from error
    return content


# ----------------------------------------------------------------------------------- bytes


class Reader:
    """The bytes at a place of the folder; safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tables = Tables(root)

    def read(self, path: str) -> bytes:
        """Raises `Unreadable`: outside the folder, missing, too large, empty, unreadable."""
        name, mark, row = path.rpartition("#")
        if mark and row.isdigit() and not (self.root / path).exists():
            if (refused := outside(self.root, name)) is not None:
                raise Unreadable(refused)
            return self._tables.read(name, int(row))
        # Asked again at every reading: a link may have been put there since.
        if (refused := outside(self.root, path)) is not None:
            raise Unreadable(refused)
        try:
            # Without O_NONBLOCK a named pipe would be waited for.
            handle = os.open(self.root / path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(handle, "rb") as file:
                state = os.fstat(handle)
                if not stat.S_ISREG(state.st_mode):
                    raise Unreadable("not an image", "not a regular file")
                if state.st_size > MAX_BYTES:
                    raise Unreadable("too large", f"{state.st_size >> 20} MiB")
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError as error:
            raise Unreadable("missing") from error
        except OSError as error:
            raise Unreadable("unreadable", str(error.strerror or error)) from error
        if not data:
            raise Unreadable("zero bytes")
        return data
