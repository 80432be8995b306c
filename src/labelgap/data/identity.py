"""Which data a folder is of: 8 bytes a row, enough to say how other data differ from them.

A fingerprint tells that two data sets differ. Who is refused for that wants to know in what: so
the hash of every row, and its label, are kept beside it.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64, UInt64

from labelgap.core.errors import DataError
from labelgap.core.files import write_atomically
from labelgap.data.checks import Inputs
from labelgap.data.progress import late_progress
from labelgap.data.types import Split, Task

SCHEMA = 1
_CHUNK = 4096  # rows read at a time: bounds the memory of a pass over a memory map
_KEPT = 4  # data sets whose record a process keeps: the cells of a benchmark share theirs


@dataclass(frozen=True, eq=False)
class Rows:
    """One split.

    inputs: uint64 [n], a hash of each row's values, shape and type.
    labels: int32 [n], places in the record's classes, −1 without one.
    """

    inputs: UInt64[np.ndarray, " n"]
    labels: Int32[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Record:
    """The data of a folder, its training rows in the order of the ids.

    fingerprint: of the task in this order.
    given: fingerprint of the data as they come, which differs where they grew in the middle.
    order: int64 [n], for each id its row in the data as they come.
    rows: how many training rows there were at first and after each extension.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    fingerprint: str
    given: str
    order: Int64[np.ndarray, " n"]
    train: Rows
    test: Rows
    rows: tuple[int, ...]

    def save(self, file: Path) -> None:
        """Write it whole. Raises `FolderError` where the disk refuses."""
        facts = {
            "schema": SCHEMA,
            "name": self.name,
            "classes": self.classes,
            "shape": self.shape,
            "fingerprint": self.fingerprint,
            "given": self.given,
            "rows": self.rows,
        }
        arrays: dict[str, Any] = {
            "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8),
            "train": self.train.inputs,
            "train_labels": self.train.labels,
            "test": self.test.inputs,
            "test_labels": self.test.labels,
        }
        if self.given != self.fingerprint:
            arrays["order"] = self.order
        write_atomically(file, lambda opened: np.savez(opened, allow_pickle=False, **arrays))

    @staticmethod
    def load(file: Path) -> "Record":
        """Raises `DataError` for a file that is damaged or of a newer version."""
        try:
            with np.load(file, allow_pickle=False) as arrays:
                facts = json.loads(arrays["facts"].tobytes())
                if facts["schema"] != SCHEMA:
                    raise ValueError(f"schema {facts['schema']}, not {SCHEMA}")
                train = Rows(arrays["train"], arrays["train_labels"])
                test = Rows(arrays["test"], arrays["test_labels"])
                order = arrays["order"] if "order" in arrays else np.arange(len(train))
                return Record(
                    facts["name"],
                    tuple(facts["classes"]),
                    tuple(facts["shape"]),
                    facts["fingerprint"],
                    facts["given"],
                    order.astype(np.int64),
                    train,
                    test,
                    tuple(facts["rows"]),
                )
        except Exception as error:
            raise DataError(
                f"{file}, which says what data the folder is of, cannot be read: {error!r}.",
                "If you are sure of the data, remove this file: it is made anew.",
            ) from error


_known: dict[str, Record] = {}


def record_of(task: Task) -> Record:
    """The record of a task whose rows are in the order of its ids. Reads every row once."""
    if task.fingerprint not in _known:
        if len(_known) >= _KEPT:
            _known.clear()
        n = len(task.train)
        _known[task.fingerprint] = Record(
            task.name,
            task.classes,
            task.input_shape,
            task.fingerprint,
            task.fingerprint,
            np.arange(n),
            _rows(task.train),
            _rows(task.test),
            (n,),
        )
    return _known[task.fingerprint]


def _rows(split: Split) -> Rows:
    return Rows(row_hashes(split.inputs), split.labels.astype(np.int32))


def row_hashes(inputs: Inputs) -> UInt64[np.ndarray, " n"]:
    """BLAKE2b of each row's type, shape and values, as 8 bytes: two of a million different rows
    have one hash with a probability of 3e-8."""
    head = hashlib.blake2b(f"{inputs.dtype.str}{inputs.shape[1:]}".encode(), digest_size=8)
    found = np.empty(len(inputs), dtype="<u8")
    with late_progress("Reading what the data are", len(inputs)) as advance:
        for start in range(0, len(inputs), _CHUNK):
            block = np.ascontiguousarray(inputs[start : start + _CHUNK])
            for i, row in enumerate(block, start):
                digest = head.copy()
                digest.update(row.data)
                found[i] = int.from_bytes(digest.digest(), "little")
            advance(len(block))
    return found.astype(np.uint64)
