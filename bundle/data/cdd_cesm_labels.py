"""What the radiologists say of a CDD-CESM image: the annotation workbook.

Source: Khaled et al., Scientific Data 9:122 (2022), doi 10.7937/29kw-ae92; sheet ``all`` of the workbook.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..keys import CaseKeys
from .cdd_cesm_files import ImageName, PairKey, parse_name

__all__ = ["pair_labels", "read_workbook"]

COLUMNS = {
    "name": "Image_name",
    "age": "Age",
    "density": "Breast density (ACR)",
    "birads": "BIRADS",
    "findings": "Findings",
    "pathology": "Pathology Classification/ Follow up",
}
MALIGNANT = {"Malignant": True, "Benign": False, "Normal": False}


def _values(cell: Any) -> list[str]:
    """Values of a cell, which the workbook joins by ``$``; ``_`` and an empty cell mean none."""
    parts = [] if pd.isna(cell) else [" ".join(part.split()) for part in str(cell).split("$")]
    return [part for part in parts if part not in ("", "_")]


def _whole(value: str) -> int | None:
    return int(float(value)) if re.fullmatch(r"\d+(\.0+)?", value) else None


def read_workbook(path: str | os.PathLike) -> dict[ImageName, dict[str, Any]]:
    """Read the sheet ``all`` of the annotation workbook.

    Returns:
        image -> ``pathology`` ("Normal", "Benign", "Malignant" or None), ``birads`` (list of int), ``density`` (ACR "A"
        to "D" or None; stands on LE rows alone), ``age`` (years or None) and ``findings`` (list of text).

    Raises:
        ValueError: when the sheet or columns are missing, or with every row whose image name or pathology is unknown.
    """
    path = Path(path)
    sheets = pd.read_excel(path, sheet_name=None, dtype=object, keep_default_na=False, na_values=[""])
    if "all" not in sheets:
        raise ValueError(f"{path} has the sheets {', '.join(sheets)}; expected one named 'all'.")
    table = sheets["all"].rename(columns=lambda name: " ".join(str(name).split()))
    missing = [column for column in COLUMNS.values() if column not in table.columns]
    if missing:
        raise ValueError(f"{path}, sheet 'all', lacks the column(s) {', '.join(missing)}.")
    labels: dict[ImageName, dict[str, Any]] = {}
    problems = []
    for number, row in enumerate(table[list(COLUMNS.values())].itertuples(index=False), start=2):
        values = dict(zip(COLUMNS, map(_values, row), strict=True))
        if not any(values.values()):
            continue
        name = parse_name("$".join(values["name"]))
        pathology = next(iter(values["pathology"]), "").capitalize() or None
        if name is None:
            problems.append(f"row {number}: image name {row[0]!r}, expected P<n>_<L|R>_<DM|CM>_<CC|MLO>")
        elif name in labels:
            problems.append(f"row {number}: {row[0]!r} stands more than once")
        elif pathology is not None and pathology not in MALIGNANT:
            problems.append(f"row {number}: pathology {row[-1]!r}, expected Normal, Benign or Malignant")
        else:
            labels[name] = {
                "pathology": pathology,
                "birads": [grade for grade in map(_whole, values["birads"]) if grade is not None],
                "density": next(iter(values["density"]), None),
                "age": next(map(_whole, values["age"]), None),
                "findings": values["findings"],
            }
    if problems:
        raise ValueError(f"{path}, sheet 'all', has {len(problems)} problem(s):\n  " + "\n  ".join(problems))
    return labels


def pair_labels(key: PairKey, workbook: Mapping[ImageName, Mapping[str, Any]]) -> dict[str, Any]:
    """Labels of a pair: its DES row (or the LE row, where there is no other) with the density of its LE row.

    Returns:
        ``malignant`` (True, False, or None when unknown) and the labels of ``read_workbook``; ``pathology_le`` stands
        beside ``pathology`` where the two rows differ. Empty when the workbook does not know the pair.
    """
    le, des = workbook.get(ImageName("DM", key)), workbook.get(ImageName("CM", key))
    row = des or le
    if row is None:
        return {}
    labels = {CaseKeys.MALIGNANT: MALIGNANT.get(row["pathology"]), **row, "density": (le or row)["density"]}
    if le is not None and le["pathology"] != row["pathology"]:
        labels["pathology_le"] = le["pathology"]
    return labels
