"""Images and labels out of Parquet tables."""

import json
import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError
from labelgap.data.columns import class_names, image_column, named_labels
from labelgap.data.labels import Labels, read_labels
from labelgap.data.wide import head_of
from labelgap.project.images.found import KEPT, MAX_BYTES, Unreadable, outside


class Tables:
    """Images in the rows of Parquet files, or of a Hugging Face data set saved to disk.

    The image column holds encoded bytes, alone or as a struct with `bytes`; the label column
    numbers (with the names that Hugging Face's metadata give) or text.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.notes: list[str] = []
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

    def labels(self, name: str) -> Labels:
        """The labels of a table's rows, by the one rule; all −1 where no column has any."""
        schema, file = self._schema(name), self.root / name
        column = named_labels(schema)
        if column is None:
            rest = [f for f in schema if f.name != image_column(file, schema)]
            if rest:
                columns = ", ".join(f"{f.name}: {f.type}" for f in rest)
                self.notes.append(f"{name} has no column 'label' ({columns}): without labels")
            return Labels(np.full(self._count(name), -1, dtype=np.int64))
        return read_labels(self._column(name, column), str(file), class_names(file, schema, column))

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
            not_the_disk(error, self.root / name)
            raise DataError(
                f"{self.root / name}: not a readable Parquet file ({error}).", "Get it anew."
            ) from error

    def _stream(self, name: str) -> Any:
        if name not in self._arrow:
            try:
                with pa.memory_map(str(self.root / name)) as source:
                    self._arrow[name] = pa.ipc.open_stream(source).read_all()
            except (pa.ArrowException, OSError) as error:
                not_the_disk(error, self.root / name)
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
            while len(self._groups) > KEPT:
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


def _json(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        not_the_disk(error, file)
        raise DataError(f"{file}: cannot be read ({error}).", "Save the data set anew.") from error
    return content


# ----------------------------------------------------------------------------------- bytes


class Reader:
    """The bytes at a place of the folder; safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tables = Tables(root)

    def head(self, path: str) -> bytes:
        """The first bytes at a place; none where `read` raises."""
        file = self.root / path
        # Anything but a plain file might be waited for.
        if outside(self.root, path) is None and file.is_file():
            return head_of(file)
        try:
            return self.read(path)
        except Unreadable:
            return b""

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
