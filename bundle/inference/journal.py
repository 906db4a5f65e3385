"""Rows of results, on disk as soon as they are known: a killed run loses none of what it finished."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["Journal"]


class Journal:
    """A CSV file a process, ``.results.<rank>.csv``, to which rows are appended, and the table of all of them.

    Args:
        folder: holds ``results.csv`` and the files of the processes.
        columns: of a row; the first one names what it is about, ``output`` the result.
        rank: of this process.
    """

    def __init__(self, folder: str | os.PathLike, columns: Sequence[str], rank: int = 0) -> None:
        self.folder, self.columns, self.rank = Path(folder), list(columns), rank
        self._former: dict[str, dict[str, str]] | None = None
        self._file: Any = None

    def former(self, output: str) -> dict[str, str]:
        """What an earlier run, whole or killed, said of a result; empty where it said nothing."""
        if self._former is None:
            self._former = {}
            for path in [self.folder / "results.csv", *self._parts()]:
                for row in _rows(path, self.columns):
                    if row["output"] and row["state"] in ("made", "kept"):
                        self._former[row["output"]] = row
        return self._former.get(output, {})

    def enter(self, row: Mapping[str, Any]) -> None:
        """Append a row; from here on it survives the process."""
        if self._file is None:
            self.former("")  # before the file of a killed run is written over
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = self._part().open("w", newline="", encoding="utf-8")
            self._writer = csv.DictWriter(self._file, self.columns)
            self._writer.writeheader()
        self._writer.writerow({key: _shown(row.get(key)) for key in self.columns})
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def table(self) -> pd.DataFrame:
        """The rows of all processes, each file once, its last row, in the order of the names."""
        rows = {row[self.columns[0]]: row for path in self._parts() for row in _rows(path, self.columns)}
        return pd.DataFrame([rows[name] for name in sorted(rows)], columns=self.columns)

    def remove(self) -> None:
        """Delete the files of the processes, once the table is written."""
        for path in self._parts():
            path.unlink(missing_ok=True)

    def _part(self) -> Path:
        return self.folder / f".results.{self.rank}.csv"

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob(".results.*.csv"))


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Whole rows of a file; the last one of a killed process may be cut."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
    return [{key: row.get(key, "") for key in columns} for row in rows]


def _shown(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else value
