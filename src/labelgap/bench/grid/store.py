"""The folder of a benchmark: which cells it has, where each is, what was committed of them.

DIR/grid.json          the cells, and the commands that named them
DIR/results.parquet    the compact results: a finished cell is finished by its rows here alone
DIR/report/            figures, tables, page
DIR/own/               the files of users' own methods, as they ran
DIR/cells/NAME/        one run's folder each (not committed)
DIR/data/              what the data of own folders are (not committed)
DIR/round0/  failed/  quarantine/  logs/  (not committed)
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from labelgap.bench.grid.grid import Cell, current_config
from labelgap.core.disk import told
from labelgap.core.errors import FolderError
from labelgap.core.files import write_atomically, write_text
from labelgap.core.lock import WriterLock
from labelgap.loop import own
from labelgap.session.claim import read_json

SCHEMA = 1
GRID = "grid.json"
RESULTS = "results.parquet"
_PRIVATE = ("cells/", "data/", "round0/", "failed/", "quarantine/", "logs/", "*.lock")


class Store:
    """A benchmark's folder.

    Raises
    ------
    FolderError: the folder holds something else, or its grid.json is damaged.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commands: list[str] = []
        self._cells: dict[str, Cell] = {}
        if (root / GRID).exists():
            self._read()

    def _read(self) -> None:
        content = read_json(self.root / GRID)
        try:
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']}, not {SCHEMA}")
            self.commands = list(content["commands"])
            for entry in content["cells"]:
                config = current_config(entry["config"], str(self.root / GRID))
                cell = Cell(
                    config, entry["arm"], entry["variant"], entry["development"], entry["folder"]
                )
                self._cells[cell.identity] = cell
        except (KeyError, TypeError, ValueError) as error:
            raise FolderError(
                f"{self.root / GRID} is damaged: {error!r}.",
                "Restore it from version control, or repeat the command in another folder.",
            ) from error

    @property
    def cells(self) -> list[Cell]:
        """Every cell, in the order in which they were named."""
        return list(self._cells.values())

    def add(self, cells: tuple[Cell, ...], command: str) -> None:
        """Add cells; those that are there keep their results and take the new name.

        Hold the lock from before the store was read, or another program's cells are lost.
        """
        self._refuse_other()
        for cell in cells:
            self._keep_own(cell)
            before = self._cells.get(cell.identity, cell)
            self._cells[cell.identity] = replace(cell, place=before.folder)
        if command not in self.commands:
            self.commands.append(command)
        entries = [
            {
                "identity": cell.identity,
                "folder": cell.folder,
                "arm": cell.arm,
                "variant": cell.variant,
                "development": cell.development,
                "config": cell.config.model_dump(mode="json"),
            }
            for cell in self.cells
        ]
        content = {"schema": SCHEMA, "commands": self.commands, "cells": entries}
        write_text(self.root / GRID, json.dumps(content, indent=1))
        write_text(self.root / ".gitignore", "".join(f"{name}\n" for name in _PRIVATE))

    def lock(self) -> WriterLock:
        """One program at a time works on a benchmark's folder, which is made if need be.

        Raises
        ------
        FolderError: the folder holds something else.  InUse: another program has the lock.
        """
        self._refuse_other()
        with told(self.root, "made"):
            self.root.mkdir(parents=True, exist_ok=True)
        return WriterLock(self.root / GRID)

    def _refuse_other(self) -> None:
        # The lock of grid.json and its half-written copy carry its name: a benchmark that begins.
        if (self.root / GRID).exists() or not self.root.exists():
            return
        if any(GRID not in file.name for file in self.root.iterdir()):
            raise FolderError(
                f"{self.root} is not empty and is no benchmark of labelgap.",
                "Choose another `--out`.",
            )

    # ------------------------------------------------------------------ places

    @property
    def results(self) -> Path:
        return self.root / RESULTS

    @property
    def round0(self) -> Path:
        return self.root / "round0"

    @property
    def data(self) -> Path:
        """Where it is kept what the data of own folders are."""
        return self.root / "data"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def folder(self, cell: Cell) -> Path:
        """The cell's own run folder. Renaming an arm does not move it."""
        return self.root / "cells" / self._cells[cell.identity].folder

    def own(self, cell: Cell) -> Path | None:
        """The file of the cell's method, where it is a user's own: what its workers run."""
        return self.root / own_file(cell) if cell.config.method_sha256 else None

    def _keep_own(self, cell: Cell) -> None:
        """Keep a user's file as it is now; it may be edited while the cells run."""
        file = self.own(cell)
        if file and not file.exists():
            text = own.source(str(cell.config.method_sha256))
            write_atomically(file, lambda opened: opened.write(text))

    def failure(self, cell: Cell) -> Path:
        """Where the cell's error is written."""
        return self.root / "failed" / f"{cell.folder}.txt"

    def quarantine(self, cell: Cell) -> Path:
        """Move the cell's folder out of the way, whole; returns its new place."""
        folder, number = self.folder(cell), 1
        while (target := self.root / "quarantine" / f"{folder.name}-{number}").exists():
            number += 1
        with told(target, "moved there"):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder, target)
        return target


def own_file(cell: Cell) -> str:
    """Where a benchmark keeps the file of a user's method."""
    return f"own/{cell.config.method_sha256}.py"
