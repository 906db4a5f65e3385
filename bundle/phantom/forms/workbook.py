"""An Excel workbook of one sheet, the same bytes whenever it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from openpyxl import Workbook

__all__ = ["write_workbook"]


def write_workbook(path: Path, sheet: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table; the times that openpyxl and the archive would note are those of 1 January 2000."""
    book = Workbook(write_only=True)
    table = book.create_sheet(sheet)
    for row in (head, *rows):
        table.append(list(row))
    written = BytesIO()
    book.save(written)
    with ZipFile(written) as made, ZipFile(path, "w") as fixed:
        for entry in made.infolist():
            content = made.read(entry)
            if entry.filename == "docProps/core.xml":
                content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2000-01-01T00:00:00Z", content)
            fixed.writestr(ZipInfo(entry.filename, (2000, 1, 1, 0, 0, 0)), content, ZIP_DEFLATED)
