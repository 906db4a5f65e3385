"""What a user says of single files: a CSV that settles the unknown."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from ..dicom.energy import Decision
from .datalist import VIEWS
from .exam_objects import ExamObject
from .exam_pairs import OTHER_VIEWS

__all__ = ["Overrides", "apply_overrides", "read_overrides"]

COLUMNS = ("path", "taken_for", "laterality", "view", "partner")
CHOICES = {"taken_for": ("LE", "DES", "HE", "other"), "laterality": ("L", "R"), "view": (*VIEWS, *OTHER_VIEWS)}


@dataclass(frozen=True)
class Overrides:
    """Rows of the file, each with its line number; empty without one."""

    source: str = ""
    rows: tuple[tuple[int, dict[str, str]], ...] = field(default_factory=tuple)


def read_overrides(path: str | os.PathLike | None) -> Overrides:
    """Read ``path,taken_for,laterality,view,partner``; ``path`` may hold ``*`` and ``?``, the others may be empty.

    ``path`` and ``partner`` (the LE of a DES) are relative to the root that is prepared. The last row that names a file
    counts.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: with everything that is wrong with it.
    """
    if path is None:
        return Overrides()
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            separator = ";" if ";" in file.readline() else ","  # as spreadsheets of some countries save it
            file.seek(0)
            reader = csv.DictReader(file, delimiter=separator, restkey="more")
            columns, records = [name.strip() for name in reader.fieldnames or []], list(reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no CSV in UTF-8 ({error}): expected the columns {', '.join(COLUMNS)}.") from error
    if "path" not in columns or set(columns) - set(COLUMNS):
        raise ValueError(f"{path} has the columns {columns}: expected path and some of {COLUMNS[1:]}.")
    rows, problems = [], []
    for line, record in enumerate(records, start=2):
        if any(record.pop("more", ())):  # type: ignore[arg-type]
            problems.append(f"line {line}: more values than columns")
        row = {str(key).strip(): str(value or "").strip() for key, value in record.items()}
        for key, choices in CHOICES.items():
            named = {choice.upper(): choice for choice in choices}
            if row.get(key) and row[key].upper() not in named:
                problems.append(f"line {line}: {key} {row[key]!r}, expected one of {choices}")
            elif row.get(key):
                row[key] = named[row[key].upper()]
        if not row["path"] or not any(row.get(key) for key in COLUMNS[1:]):
            problems.append(f"line {line}: expected a path and something to say of it")
        rows.append((line, row))
    if problems:
        raise ValueError(f"{path} has {len(problems)} problem(s):\n  " + "\n  ".join(problems))
    return Overrides(str(path), tuple(rows))


def apply_overrides(
    objects: Sequence[ExamObject], overrides: Overrides, root: Path
) -> tuple[list[ExamObject], dict[Path, Path]]:
    """The objects as the user wants them taken, and the partners (DES -> LE) that the user named.

    An object that can be no CESM image ("other", for instance tomosynthesis) or cannot be read stays what it is.

    Raises:
        ValueError: with every row that names no file, or names one that cannot be what the row says.
    """
    names = {item.path.relative_to(root).as_posix(): index for index, item in enumerate(objects)}
    changed, partners, problems = list(objects), {}, []
    for line, row in overrides.rows:
        pattern = row["path"].replace("\\", "/").removeprefix("./")
        exact = pattern in names
        matches = [names[pattern]] if exact else [place for name, place in names.items() if fnmatchcase(name, pattern)]
        if not matches:
            problems.append(f"line {line}: {row['path']} names no DICOM file below the root")
        partner = row.get("partner", "").replace("\\", "/").removeprefix("./")
        if partner and partner not in names:
            problems.append(f"line {line}: the partner {row['partner']} names no DICOM file below the root")
        for index in matches:
            item = changed[index]
            kind = row.get("taken_for")
            if item.decision.taken_for in ("other", "unreadable") and not item.decision.rule and kind != "other":
                if exact:
                    problems.append(f"line {line}: {row['path']} cannot be used: {item.decision.reason}")
                continue
            if kind:
                reason = "" if kind in ("LE", "DES") else "the override file leaves it out"
                item = replace(item, decision=Decision(kind, "override", reason))
            item = replace(item, laterality=row.get("laterality") or item.laterality, view=row.get("view") or item.view)
            changed[index] = item
            if partner in names:
                partners[item.path] = objects[names[partner]].path
    problems += _partner_problems(changed, partners, root)
    if problems:
        raise ValueError(f"{overrides.source} has {len(problems)} problem(s):\n  " + "\n  ".join(problems))
    return changed, partners


def _partner_problems(objects: Sequence[ExamObject], partners: Mapping[Path, Path], root: Path) -> Iterator[str]:
    """Why a DES cannot have the partner that its row names."""
    by_path = {item.path: item for item in objects}
    taken: dict[Path, Path] = {}
    for path, partner in partners.items():
        des, le = by_path[path], by_path[partner]
        name, other = path.relative_to(root).as_posix(), partner.relative_to(root).as_posix()
        if (des.decision.taken_for, le.decision.taken_for) != ("DES", "LE"):
            kinds = f"{des.decision.taken_for} and {le.decision.taken_for}"
            yield f"{name} and its partner {other} are {kinds}, expected DES and LE"
        elif partner in taken:
            yield f"{other} is the partner of {name} and of {taken[partner].relative_to(root).as_posix()}"
        else:
            taken[partner] = path
            for what in ("study_uid", "laterality", "view", "rows", "columns"):
                if getattr(des, what) != getattr(le, what):
                    yield f"{name} and its partner {other} differ in {what.replace('_', ' ').replace('uid', 'UID')}"
