"""Rows of results, on disk as soon as they are known: a killed run loses none of what it finished."""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.whole_files import write_table

__all__ = ["FULL", "Journal"]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # with these no further result can be written


class Journal:
    """A CSV file a process, ``.results.<rank>.csv``, to which rows are appended, and the table of all of them.

    What an earlier run said of results that are still there goes into the table too. A result is known by the end of
    its path, ``<study>/<series>/<object>.dcm``, wherever the folder lies now.

    Args:
        folder: holds ``results.csv`` and the files of the processes.
        columns: of a row; the first one names what it is about, ``output`` the result.
        rank: of this process.
    """

    def __init__(self, folder: str | os.PathLike, columns: Sequence[str], rank: int = 0) -> None:
        self.folder, self.columns, self.rank = Path(folder), list(columns), rank
        self.path = self.folder / "results.csv"
        self._former: dict[tuple[str, str], dict[str, str]] = {}
        self._file: Any = None

    def take_up(self) -> None:
        """Bring the rows of a killed run into ``results.csv``; one process calls this before any enters a row.

        Raises:
            ValueError: when ``results.csv`` is something else.
        """
        if self.path.exists() and _header(self.path) != self.columns:
            raise ValueError(f"{self.path} is no table of this batch inference: move it, or pass another --output_dir.")
        for path in [self.path, *self._parts()]:
            for row in _rows(path, self.columns):
                self._former[row[self.columns[0]], _place(row["output"])] = row
        if self._parts():
            self._write(list(self._former.values()))
            self.remove()

    def former(self, output: str) -> dict[str, str]:
        """What an earlier run, whole or killed, said of a result; empty where it said nothing."""
        return self._made().get(_place(output), {})

    def enter(self, row: Mapping[str, Any]) -> None:
        """Append a row; from here on it survives the process.

        Raises:
            OSError: when the disk is full, as far as this row or its reason says.
        """
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._file = self._part().open("w", newline="", encoding="utf-8")
            self._writer = csv.DictWriter(self._file, self.columns)
            self._writer.writeheader()
        self._writer.writerow({key: _shown(row.get(key)) for key in self.columns})
        self._file.flush()
        for number in FULL:
            if row.get("state") == "failed" and os.strerror(number) in str(row.get("reason")):
                raise OSError(number, os.strerror(number), str(self.folder))

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # of a full disk, which was said before
                self._file.close()
            self._file = None

    def table(self) -> pd.DataFrame:
        """The rows of all processes, each file once, its last row, in the order of the names."""
        rows = {row[self.columns[0]]: row for path in self._parts() for row in _rows(path, self.columns)}
        return pd.DataFrame([rows[name] for name in sorted(rows)], columns=self.columns)

    def finish(self, table: pd.DataFrame, model: str = "") -> Path:
        """Write ``results.csv``: these rows, and those of earlier runs whose results are still there.

        Args:
            table: of this run.
            model: what this run's results are made by; its former rows on the same files are replaced.
        """
        fresh, files = {_place(output) for output in table["output"]}, set(table[self.columns[0]])
        kept = [
            {**row, "output": str(self.folder / place)}
            for place, row in self._made().items()
            if place not in fresh
            and not (row[self.columns[0]] in files and row.get("model_sha256", "") == model)
            and (self.folder / place).is_file()
        ]
        return self._write(sorted([*table.to_dict("records"), *kept], key=lambda row: str(row[self.columns[0]])))

    def remove(self) -> None:
        """Delete the files of the processes, once the table is written."""
        for path in self._parts():
            path.unlink(missing_ok=True)

    def _made(self) -> dict[str, dict[str, str]]:
        made = {place: row for (_, place), row in self._former.items() if row["state"] in ("made", "kept")}
        return {place: row for place, row in made.items() if place}

    def _write(self, rows: list[Any]) -> Path:
        return write_table(pd.DataFrame(rows, columns=self.columns), self.path)

    def _part(self) -> Path:
        return self.folder / f".results.{self.rank}.csv"

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob(".results.*.csv"))


def _place(output: str) -> str:
    return "/".join(Path(output).parts[-3:])


def _header(path: Path) -> list[str]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return next(csv.reader(file), [])
    except (OSError, ValueError, csv.Error):
        return []


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Whole rows of a file; the last one of a killed process may be cut."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
    return [{key: row.get(key, "") for key in columns} for row in rows]


def _shown(value: Any) -> Any:
    if isinstance(value, str):  # a file's name may be no UTF-8
        return os.fsencode(value).decode("utf-8", "backslashreplace")
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else value
