"""Which LE and which DES belong to one exposure, and what stays alone."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from .datalist import VIEWS
from .exam_files import Skipped
from .exam_objects import ExamObject

__all__ = ["ExamPair", "pair_objects"]


@dataclass(frozen=True)
class ExamPair:
    """LE and DES of one exposure; ``paired_by``: "partner", "source image", "only one", "time", "instance number"."""

    case_id: str
    le: ExamObject
    des: ExamObject
    paired_by: str


def pair_objects(
    objects: Iterable[ExamObject], partners: Mapping[Path, Path] | None = None, max_gap: float = 600.0
) -> tuple[list[ExamPair], list[Skipped]]:
    """Pair the LE and DES objects of one study, side, view, rows and columns.

    In this order: a partner that the user named; the DES's Source Image Sequence; the one way to pair all the rest
    whose times differ least in sum; the same by instance numbers, where a time is missing. Of several LE of an exposure
    an ORIGINAL one goes before a DERIVED one. What cannot be told is not guessed.

    Args:
        objects: LE and DES objects; others are passed over.
        partners: DES -> LE, from the user.
        max_gap: seconds between LE and DES above which they are no pair, where both have a time.

    Returns:
        the pairs in the order of their case identifiers ``<patient>_<side>_<view>``, the second of a woman's ``_2`` and
        so on in the order of time; and what stays alone, with the reason.
    """
    groups: dict[tuple, list[ExamObject]] = defaultdict(list)
    alone: list[Skipped] = []
    for item in objects:
        if item.decision.taken_for not in ("LE", "DES"):
            continue
        wrong = _unplaced(item)
        if wrong:
            alone.append(Skipped(item.path, wrong, expected=item.view not in ("", *VIEWS)))
        else:
            key = (item.patient, item.study_uid, item.laterality, item.view, item.rows, item.columns)
            groups[key].append(item)
    pairs: list[tuple[ExamObject, ExamObject, str]] = []
    for group in groups.values():
        found, left = _pair_group(sorted(group, key=_order), partners or {}, max_gap)
        pairs += found
        alone += left
    return _named(pairs), alone


def _unplaced(item: ExamObject) -> str:
    """Why an LE or DES can have no partner."""
    if not item.study_uid:
        return "it has no Study Instance UID, so nothing says to which exposure it belongs"
    if not item.laterality:
        return "its side is not given: name it in --overrides"
    if not item.view:
        return "its view is not given: name it in --overrides"
    if item.view not in VIEWS:
        return f"its view is {item.view}, expected {' or '.join(VIEWS)}"
    return ""


def _order(item: ExamObject) -> tuple:
    """Time, then instance number; the UID settles what nothing else does, whatever the file is called."""
    moment = item.moment if item.moment is not None else np.inf
    return moment, item.number if item.number is not None else np.inf, item.sop_uid


def _pair_group(
    group: Sequence[ExamObject], partners: Mapping[Path, Path], max_gap: float
) -> tuple[list[tuple[ExamObject, ExamObject, str]], list[Skipped]]:
    les = [item for item in group if item.decision.taken_for == "LE"]
    dess = [item for item in group if item.decision.taken_for == "DES"]
    pairs: list[tuple[ExamObject, ExamObject, str]] = []
    for des in list(dess):
        chosen = [le for le in les if partners.get(des.path) == le.path]
        said = [le for le in les if le.sop_uid and le.sop_uid in des.sources]
        for candidates, how in ((chosen, "partner"), (said, "source image")):
            if candidates:
                le = min(candidates, key=lambda le: not le.is_original)
                pairs.append((le, des, how))
                les.remove(le)
                dess.remove(des)
                break
    more, reason = _assign(les, dess, max_gap)
    for le, des, how in more:
        pairs.append((le, des, how))
        les.remove(le)
        dess.remove(des)
    reasons = {
        "LE": reason or "it has no DES" + _of(pairs),
        "DES": reason or "it has no LE" + _of(pairs),
        "DERIVED LE": "an ORIGINAL LE image of its exposure is used",
    }
    alone = []
    for item in (*les, *dess):
        derived = item.decision.taken_for == "LE" and not item.is_original and any(le.is_original for le, _, _ in pairs)
        alone.append(Skipped(item.path, reasons["DERIVED LE" if derived else item.decision.taken_for], derived))
    return pairs, alone


def _of(pairs: Sequence) -> str:
    return (
        " left of its study, side, view and size: the others are paired"
        if pairs
        else " of its study, side, view and size"
    )


def _assign(
    les: Sequence[ExamObject], dess: Sequence[ExamObject], max_gap: float
) -> tuple[list[tuple[ExamObject, ExamObject, str]], str]:
    """Pair what no reference pairs; a reason instead where nothing tells."""
    if not les or not dess:
        return [], ""
    timed = all(item.moment is not None for item in (*les, *dess))
    numbered = all(item.number is not None for item in (*les, *dess))
    if timed:
        distance, how = _distances(les, dess, "moment"), "time"
    elif numbered:
        distance, how = _distances(les, dess, "number"), "instance number"
    elif len(les) == len(dess) == 1:
        distance, how = np.zeros((1, 1)), ""
    else:
        return [], (
            f"{len(les)} LE and {len(dess)} DES of one study, side and view have neither times nor instance numbers: "
            "name the partners in --overrides"
        )
    how = "only one" if len(les) == len(dess) == 1 else how
    preference = np.array([[0.0 if le.is_original else 1e9] for le in les])
    tie = _distances(les, dess, "number") * 1e-6 if timed and numbered else 0.0
    rows, columns = linear_sum_assignment(distance + preference + tie)
    gaps = [distance[row, column] if timed else 0.0 for row, column in zip(rows, columns, strict=True)]
    found = [
        (les[row], dess[column], how) for row, column, gap in zip(rows, columns, gaps, strict=True) if gap <= max_gap
    ]
    reason = "" if found else f"LE and DES are {min(gaps):.0f} s apart, expected {max_gap:.0f} s at most (--max_gap)"
    return found, reason


def _distances(les: Sequence[ExamObject], dess: Sequence[ExamObject], name: str) -> np.ndarray:
    return np.abs(np.subtract.outer([getattr(le, name) for le in les], [getattr(des, name) for des in dess]))


def _named(pairs: Iterable[tuple[ExamObject, ExamObject, str]]) -> list[ExamPair]:
    counts: Counter[str] = Counter()
    named = []
    for le, des, how in sorted(pairs, key=lambda pair: (pair[0].patient, _order(pair[0]))):
        patient = re.sub(r"[^\w.-]+", "-", le.patient)
        stem = f"{patient}_{le.laterality}_{le.view}"
        counts[stem] += 1
        named.append(ExamPair(stem if counts[stem] == 1 else f"{stem}_{counts[stem]}", le, des, how))
    return sorted(named, key=lambda pair: pair.case_id)
