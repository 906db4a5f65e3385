"""Index files of the research form of CESM@UCBM: which LE and DES belong together, and their windows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .ucbm_names import INDEXED, PairName, parse_name

__all__ = ["IndexRow", "read_index"]

WINDOWS = ("wc_x", "ww_x", "wc_y", "ww_y")
SIDES = {"r": "R", "right": "R", "dx": "R", "l": "L", "left": "L", "sx": "L"}  # as Italian hospitals write it, too


class IndexRow(NamedTuple):
    """What an index file says of a pair, and where: the side ("" if it does not say), LE and DES (centre, width)."""

    laterality: str
    le_window: tuple[float, float]
    des_window: tuple[float, float]
    place: str


def _cells(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and values of a table, whose separator is the first of tab, ;, comma and blank in its first line."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    separator = next((mark for mark in "\t;," if lines and mark in lines[0][1]), None)
    for number, line in lines:
        values = line.split(separator) if separator else re.findall(r'"[^"]*"|\S+', line)
        yield number, [value.strip().strip('"').strip() for value in values]


def _row(head: Sequence[str], values: Sequence[str]) -> dict[str, str] | None:
    """Values by their columns, the blanks of ``Low Energy/P1_2_RCC...`` put back; None when they are not as many."""
    row, rest = {}, list(values)
    for column in head:
        value = rest.pop(0) if rest else ""
        while column.startswith("img_") and len(values) > len(head) and rest and _indexed(value) is None:
            value += f" {rest.pop(0)}"
        row[column] = value
    return row if len(values) >= len(head) and not rest else None


def _indexed(name: str) -> tuple[PairName, str] | None:
    """The pair of an image's name, with or without folder and suffix."""
    return parse_name(INDEXED, re.split(r"[/\\]", name)[-1])


def _index_rows(path: Path, problems: list[str]) -> Iterator[tuple[PairName, IndexRow]] | None:
    """Rows of an index file; None for any other text, whose first line does not name img_x and img_y."""
    table = _cells(path.read_text(encoding="utf-8-sig", errors="replace"))
    head = [name.lower() for name in next(table, (0, []))[1]]
    return _rows(path, head, table, problems) if {"img_x", "img_y"} <= set(head) else None


def _rows(
    path: Path, head: Sequence[str], table: Iterator[tuple[int, list[str]]], problems: list[str]
) -> Iterator[tuple[PairName, IndexRow]]:
    if missing := [name for name in WINDOWS if name not in head]:
        problems.append(f"{path.name}: lacks the column(s) {', '.join(missing)}")
        return
    for number, values in table:
        place = f"{path.name}, line {number}"
        row = _row(head, values)
        if row is None:
            problems.append(f"{place}: {len(values)} values, expected {len(head)}; separate them by tabs")
            continue
        le, des = _indexed(row["img_x"]), _indexed(row["img_y"])
        if le is None or des is None or le[0] != des[0] or le[1] == "RECOMBINED" or des[1] == "LOW_ENERGY":
            problems.append(
                f"{place}: img_x {row['img_x']!r} and img_y {row['img_y']!r}, expected LE and DES of a pair"
            )
            continue
        try:
            wc_x, ww_x, wc_y, ww_y = (float(row[column].replace(",", ".")) for column in WINDOWS)
        except ValueError:
            problems.append(f"{place}: {[row[column] for column in WINDOWS]} in {', '.join(WINDOWS)}, expected numbers")
            continue
        if not (np.isfinite([wc_x, wc_y, ww_x, ww_y]).all() and ww_x > 0 and ww_y > 0):
            problems.append(f"{place}: widths {ww_x:g} and {ww_y:g}, expected finite windows wider than 0")
            continue
        yield le[0], IndexRow(SIDES.get(row.get("r_l", "").lower(), ""), (wc_x, ww_x), (wc_y, ww_y), place)


def read_index(texts: Iterable[Path]) -> tuple[dict[PairName, IndexRow], list[tuple[Path, str]]]:
    """What all index files say together; a pair may stand in several that agree.

    Returns:
        the row of each pair, and the texts that are no index files or cannot be read, each with the reason.

    Raises:
        ValueError: with everything that is wrong with the index files.
    """
    index: dict[PairName, IndexRow] = {}
    problems: list[str] = []
    others = []
    for path in texts:
        try:
            rows = _index_rows(path, problems)
        except OSError as error:
            others.append((path, f"cannot be opened ({error.strerror})"))
            continue
        if rows is None:
            others.append((path, "it is no index file: its first line does not name img_x and img_y"))
        for name, row in rows or ():
            known = index.setdefault(name, row)
            if known[:3] != row[:3]:
                problems.append(f"{row.place}: {name} {row[:3]}, but {known.place} says {known[:3]}")
    if problems:
        raise ValueError(
            f"the index files have {len(problems)} problem(s). Correct them, or move files away:\n  "
            + "\n  ".join(problems)
        )
    return index, others
