"""What became of every object and file of a preparation: a table, and lines that count all of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..keys import BatchKeys
from .exam_cases import Outcome
from .exam_files import Skipped
from .exam_objects import ExamObject
from .exam_pairs import ExamPair

__all__ = ["Summary", "exams_table", "relative", "summarise"]


@dataclass(frozen=True)
class Summary:
    """What was written, and lines that count all of it; ``attention`` is how many files need a look."""

    datalist: Path | None
    lines: tuple[str, ...]
    attention: int


def relative(path: Path, root: Path) -> str:
    """A path as a table can hold it: names that are not UTF-8 with their bytes as ``\\xe9``."""
    return os.fsencode(Path(os.path.relpath(path, root)).as_posix()).decode("utf-8", "backslashreplace")


def exams_table(
    objects: Sequence[ExamObject], pairs: Sequence[ExamPair], outcomes: Sequence[Outcome], root: Path
) -> pd.DataFrame:
    """One row an object; paths are relative to the root, as the override file wants them."""
    of_pair: dict[Path, tuple[str, str, str]] = {}
    for pair, outcome in zip(pairs, outcomes, strict=True):
        case_id = pair.case_id if outcome.case is not None else ""
        for item, other in ((pair.le, pair.des), (pair.des, pair.le)):
            of_pair[item.path] = (relative(other.path, root), pair.paired_by, case_id)
    rows = []
    for number, item in enumerate(objects, 1):
        partner, paired_by, case_id = of_pair.get(item.path, ("", "", ""))
        rows.append(
            {
                "no": number,
                "path": relative(item.path, root),
                "taken_for": item.decision.taken_for,
                "rule": item.decision.rule,
                "partner": partner,
                "paired_by": paired_by,
                "case_id": case_id,
                "patient": item.patient,
                "patient_from": item.patient_source,
                "study": item.study,
                "laterality": item.laterality,
                "view": item.view,
                "rows": item.rows or "",
                "columns": item.columns or "",
                **item.shown,
            }
        )
    return pd.DataFrame(rows)


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(Counter(names).items()))


def summarise(
    datalist: Path | None,
    cases: Sequence[Mapping[str, Any]],
    objects: Sequence[ExamObject],
    pairs: Sequence[ExamPair],
    outcomes: Sequence[Outcome],
    skipped: Sequence[Skipped],
    remarks: Sequence[str],
    media: int,
    output: Path,
    shown: int = 12,
) -> Summary:
    """Count everything; reasons are told without the paths, which may name a patient."""
    attention = [entry for entry in skipped if not entry.expected]
    paired = [pair.paired_by for pair, outcome in zip(pairs, outcomes, strict=True) if outcome.case is not None]
    with_map = sum(case[BatchKeys.SEG] is not None for case in cases)
    lines = [f"{output / 'exams.csv'}: {len(objects)} DICOM objects, {media} DICOMDIR"]
    if objects:
        lines.append(f"  taken for: {_counted(item.decision.taken_for for item in objects)}")
    if paired:
        lines.append(f"  {len(paired)} pairs, by: {_counted(paired)}")
    lines += [f"  {remark}" for remark in remarks]
    lines.append(f"  {with_map} pairs with a lesion map, from {sum(len(outcome.maps) for outcome in outcomes)} file(s)")
    low = sum(case.get("alignment", {}).get("low_overlap", False) for case in cases)
    if low:
        lines.append(f"  {low} pairs overlap little although aligned (low_overlap in the datalist): look at the audit")
    lines.append(f"{output / 'skipped.csv'}: {len(skipped)} files, {len(attention)} of them need a look")
    reasons = Counter(entry.reason for entry in attention).most_common()
    lines += [
        f"  {count} x {reason if len(reason) < 160 else reason[:157] + '...'}" for reason, count in reasons[:shown]
    ]
    if len(reasons) > shown:
        lines.append(f"  and {len(reasons) - shown} more reasons")
    return Summary(datalist, tuple(lines), len(attention))
