"""The datalist: one JSON file that names every LE / DES pair of a study, its patient and its lesion map."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..keys import BatchKeys, CaseKeys
from .whole_files import write_json

__all__ = ["case_items", "datalist_hash", "read_datalist", "write_datalist"]

LATERALITIES = ("L", "R")
VIEWS = ("CC", "MLO")
IMAGE_KEYS = (BatchKeys.LE, BatchKeys.DES, BatchKeys.SEG, "seg_le")
WINDOW_KEYS = ("le_window", "des_window")
REQUIRED = (CaseKeys.CASE_ID, CaseKeys.PATIENT_ID, CaseKeys.LATERALITY, CaseKeys.VIEW, *IMAGE_KEYS[:3])


def _problems(cases: Iterable[Mapping[str, Any]]) -> list[str]:
    problems: list[str] = []
    seen: set[str] = set()
    for number, case in enumerate(cases):
        if not isinstance(case, Mapping):
            problems.append(f"case {number}: {case!r}, expected an object")
            continue
        name = f"case {case.get(CaseKeys.CASE_ID, number)!r}"
        missing = [key for key in REQUIRED if key not in case]
        if missing:
            problems.append(f"{name}: lacks {', '.join(missing)}")
            continue
        wrong = [
            key for key in (CaseKeys.CASE_ID, CaseKeys.PATIENT_ID) if not (case[key] and isinstance(case[key], str))
        ]
        if wrong:
            problems += [f"{name}: {key} {case[key]!r}, expected text" for key in wrong]
            continue
        if case[CaseKeys.CASE_ID] in seen:
            problems.append(f"{name}: stands more than once")
        seen.add(case[CaseKeys.CASE_ID])
        if case[CaseKeys.LATERALITY] not in LATERALITIES:
            problems.append(f"{name}: laterality {case[CaseKeys.LATERALITY]!r}, expected one of {LATERALITIES}")
        if case[CaseKeys.VIEW] not in VIEWS:
            problems.append(f"{name}: view {case[CaseKeys.VIEW]!r}, expected one of {VIEWS}")
        if not case[BatchKeys.LE] or not case[BatchKeys.DES]:
            problems.append(f"{name}: le and des must both name a file")
        for key in IMAGE_KEYS:
            if not isinstance(case.get(key), str | None):
                problems.append(f"{name}: {key} is {type(case[key]).__name__}, expected a path or null")
        for key in WINDOW_KEYS:
            if not _is_window(case.get(key)):
                problems.append(f"{name}: {key} is no pair of a centre and a width above 0, nor null")
        if not isinstance(case.get(CaseKeys.MALIGNANT), bool | None):
            problems.append(f"{name}: malignant {case[CaseKeys.MALIGNANT]!r}, expected true, false or null")
    return problems


def _is_window(value: Any) -> bool:
    if value is None:
        return True
    pair = value if isinstance(value, list | tuple) and len(value) == 2 else (None, None)
    numbers = [number for number in pair if isinstance(number, int | float) and math.isfinite(number)]
    return len(numbers) == 2 and numbers[1] > 0


def _raise_if(problems: list[str], what: str) -> None:
    if problems:
        raise ValueError(f"{what} has {len(problems)} problem(s):\n  " + "\n  ".join(problems))


def write_datalist(
    path: str | os.PathLike,
    name: str,
    source: str,
    licence: str,
    cases: Iterable[Mapping[str, Any]],
    overwrite: bool = False,
    **extra: Any,
) -> Path:
    """Write ``datalist.json``; absolute image paths become relative to the file's folder.

    Args:
        path: the file to write.
        name, source, licence: what the study is called, where it comes from, what it may be used for.
        cases: one mapping a pair, with ``case_id patient_id laterality view le des seg`` (``seg`` may be None) and
            whatever else the adapter knows (``malignant``, ``seg_le``, labels, alignment).
        overwrite: replace a file that is already there.
        extra: further top-level entries, for instance how the list was made.

    Raises:
        ValueError: with every problem of every case at once.
        FileExistsError: when the file exists and ``overwrite`` is false.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already. Choose another --output, or pass --overwrite.")
    folder = path.parent.resolve()
    rows = [dict(case) for case in cases]
    if not rows:
        raise ValueError(f"the datalist {name!r} names no cases: expected at least one LE / DES pair.")
    _raise_if(_problems(rows), f"the datalist {name!r}")
    for row in rows:
        for key in IMAGE_KEYS:
            if row.get(key):
                row[key] = Path(os.path.relpath(row[key], folder)).as_posix() if os.path.isabs(row[key]) else row[key]
    return write_json(path, {"name": name, "source": source, "licence": licence, **extra, "cases": rows})


def read_datalist(path: str | os.PathLike) -> dict[str, Any]:
    """Read and validate a datalist.

    Raises:
        FileNotFoundError: when there is none, with the commands that make one.
        ValueError: with every problem of every case at once.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no datalist {path}. "
            f"Make one: python -m scripts.prepare phantom | cdd_cesm | cesm_dicom | ucbm_nrrd --output {path.parent}"
        )
    try:
        datalist = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no datalist: expected JSON, but {error}.") from error
    if not isinstance(datalist, dict) or not isinstance(datalist.get("cases"), list):
        raise ValueError(f"{path} is no datalist: expected a JSON object with a list 'cases'.")
    if not datalist["cases"]:
        raise ValueError(f"{path} names no cases: expected at least one LE / DES pair.")
    _raise_if(_problems(datalist["cases"]), str(path))
    return datalist


def datalist_hash(datalist: Mapping[str, Any]) -> str:
    """SHA-256 over the cases: it changes whenever a pair, its patient, its files or its labels change."""
    text = json.dumps(datalist["cases"], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def case_items(datalist: Mapping[str, Any], folder: str | os.PathLike) -> list[dict[str, Any]]:
    """Cases as items for a MONAI dataset: image paths made absolute; a pair without a lesion map has no ``seg`` key."""
    items = []
    for case in datalist["cases"]:
        item = {key: value for key, value in case.items() if key not in IMAGE_KEYS or value}
        for key in IMAGE_KEYS:
            if key in item:
                item[key] = str((Path(folder) / item[key]).resolve())
        items.append(item)
    return items
