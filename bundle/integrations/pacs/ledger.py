"""A table that grows by one row for each thing done, and outlives whatever ends the process."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock

from .whole import write_whole

__all__ = ["Ledger"]


class Ledger:
    """A CSV file; of several rows with the same key the last one counts.

    A row is on the disk when :meth:`add` returns. A row torn by a loss of power is dropped when the file is opened.

    Args:
        path: the file; made when it is not there.
        columns: its header.
        key: the columns that tell one thing from another.

    Raises:
        ValueError: when the file is another table.
    """

    def __init__(self, path: Path, columns: Sequence[str], key: Sequence[str]) -> None:
        self.path, self.columns, self.key = path, tuple(columns), tuple(key)
        self._rows: dict[tuple[str, ...], dict[str, str]] = {}
        self._lock = Lock()
        if path.is_file():
            self._read()
        write_whole(path, self._text(self.columns, *(row.values() for row in self._rows.values())))

    def _read(self) -> None:
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
        rows = list(csv.reader(lines))
        if rows and tuple(rows[0]) != self.columns:
            raise ValueError(
                f"{self.path} is another table: its columns are {rows[0][:8]}, expected {list(self.columns)}. "
                "Move it away."
            )
        for row in rows[1:]:
            if len(row) == len(self.columns):
                self._take(dict(zip(self.columns, row, strict=True)))

    def _take(self, row: dict[str, str]) -> None:
        key = tuple(row[name] for name in self.key)
        self._rows.pop(key, None)
        self._rows[key] = row

    @staticmethod
    def _text(*rows) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()

    def add(self, **row: str) -> None:
        """Write a row down; columns that are not given stay empty, line breaks become blanks."""
        whole = {name: " ".join(str(row.get(name, "")).split()) for name in self.columns}
        with self._lock:
            with open(self.path, "ab") as file:
                file.write(self._text(whole.values()))
                file.flush()
                os.fsync(file.fileno())
            self._take(whole)

    def get(self, *key: str) -> dict[str, str] | None:
        """The last row of a key."""
        with self._lock:
            return self._rows.get(key)

    def __iter__(self) -> Iterator[dict[str, str]]:
        with self._lock:
            return iter(list(self._rows.values()))
