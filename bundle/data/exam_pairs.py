"""Which LE and which DES belong to one exposure, and what stays alone."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from .datalist import VIEWS
from .exam_files import Skipped
from .exam_objects import ExamObject

__all__ = ["OTHER_VIEWS", "ExamPair", "pair_objects"]

Pairing = tuple[ExamObject, ExamObject, str]
DAY = 86400.0
# DICOM PS3.3 C.8.11.7.1.2 and PS3.16 CID 4014: views that a CESM exam may hold and this bundle does not use
OTHER_VIEWS = ("ML", "LM", "LMO", "FB", "SIO", "ISO", "XCC", "XCCL", "XCCM", "CV", "AT", "MLID", "SPECIMEN")


@dataclass(frozen=True)
class ExamPair:
    """LE and DES of one exposure; ``paired_by``: "partner", "source image", "only one", "time", "instance
    number", "time and instance number"."""

    case_id: str
    le: ExamObject
    des: ExamObject
    paired_by: str


def pair_objects(
    objects: Iterable[ExamObject],
    partners: Mapping[Path, Path] | None = None,
    max_gap: float = 600.0,
    one_exposure: float = 10.0,
) -> tuple[list[ExamPair], list[Skipped]]:
    """Pair the LE and DES objects of one study, side, view, rows and columns.

    In this order: a partner that the user named; the DES's Source Image Sequence, where it names an LE of these
    objects; the one way to pair all the rest whose times differ least in the sum of squares, equal ones told apart by
    instance numbers; the same by instance numbers alone, where a time is missing. An ORIGINAL LE goes before a DERIVED
    one of its exposure. What two ways would pair equally well is not guessed, and a DES whose named LE it cannot have
    gets no other.

    Args:
        objects: LE and DES objects; others are passed over.
        partners: DES -> LE, from the user.
        max_gap: seconds between LE and DES above which they are no pair, where both have a time.
        one_exposure: seconds within which an ORIGINAL and a DERIVED LE are of one exposure.

    Returns:
        the pairs in the order of their case identifiers ``<patient>_<side>_<view>``, the second of a woman's ``_2`` and
        so on in the order of time; and what stays alone, with the reason.
    """
    wanted = [item for item in objects if item.decision.taken_for in ("LE", "DES")]
    les = {item.sop_uid for item in wanted if item.decision.taken_for == "LE" and item.sop_uid}
    groups: dict[tuple, list[ExamObject]] = defaultdict(list)
    alone: list[Skipped] = []
    for item in wanted:
        wrong, expected = _unplaced(item)
        if wrong:
            alone.append(Skipped(item.path, wrong, expected))
        else:
            key = (item.patient, item.study_uid, item.laterality, item.view, item.rows, item.columns)
            groups[key].append(item)
    pairs: list[Pairing] = []
    for group in groups.values():
        exposures = _Group(sorted(group, key=_order), les)
        exposures.pair_named(partners or {})
        exposures.pair_by_source()
        exposures.leave_derived(one_exposure)
        exposures.assign(max_gap)
        pairs += exposures.pairs
        alone += exposures.left()
    return _named(pairs), alone


def _unplaced(item: ExamObject) -> tuple[str, bool]:
    """Why an LE or DES can have no partner, and whether that is as it should be."""
    if not item.study_uid:
        return "it has no Study Instance UID, so nothing says to which exposure it belongs", False
    if not item.laterality:
        return "its side is not given: name it in --overrides", False
    if not item.view:
        return "its view is not given: name it in --overrides", False
    if item.view not in VIEWS:
        return f"its view is {item.view}, expected {' or '.join(VIEWS)}", item.view in OTHER_VIEWS
    return "", False


def _order(item: ExamObject) -> tuple:
    """Time, then instance number; the UID settles what nothing else does, whatever the file is called."""
    moment = item.moment if item.moment is not None else np.inf
    return moment, item.number if item.number is not None else np.inf, item.sop_uid


class _Group:
    """The LE and DES objects of one study, side, view and size, paired step by step."""

    def __init__(self, group: Sequence[ExamObject], les: Set[str]) -> None:
        self.les = [item for item in group if item.decision.taken_for == "LE"]
        self.dess = [item for item in group if item.decision.taken_for == "DES"]
        self.known = les  # SOP Instance UIDs of all LE, whatever their group
        self.pairs: list[Pairing] = []
        self.reasons: dict[Path, tuple[str, bool]] = {}

    def _take(self, le: ExamObject, des: ExamObject, how: str) -> None:
        self.pairs.append((le, des, how))
        self.les.remove(le)
        self.dess.remove(des)

    def _leave(self, item: ExamObject, reason: str, expected: bool = False) -> None:
        self.reasons[item.path] = (reason, expected)
        (self.les if item in self.les else self.dess).remove(item)

    def pair_named(self, partners: Mapping[Path, Path]) -> None:
        for des in [des for des in self.dess if des.path in partners]:
            named = [le for le in self.les if le.path == partners[des.path]]
            if named:
                self._take(named[0], des, "partner")
            else:
                self._leave(des, "the partner of the override file is none of its study, side, view and size")

    def pair_by_source(self) -> None:
        for des in [des for des in self.dess if self.known & set(des.sources)]:
            said = [le for le in self.les if le.sop_uid in des.sources]
            if said:
                self._take(min(said, key=lambda le: not le.is_original), des, "source image")
            elif any(le.sop_uid in des.sources for le, _, _ in self.pairs):
                self._leave(des, "the LE that its Source Image Sequence names is paired with another DES")
            else:
                self._leave(des, "its Source Image Sequence names an LE of another study, side, view or size")

    def leave_derived(self, one_exposure: float) -> None:
        """Leave DERIVED LE where there is an ORIGINAL one of the same exposure, used already or still to be used."""
        originals = [le for le in (*self.les, *(le for le, _, _ in self.pairs)) if le.is_original]
        enough = sum(le.is_original for le in self.les) >= len(self.dess)
        for le in [le for le in self.les if not le.is_original]:
            for original in originals:
                timed = le.moment is not None and original.moment is not None
                near = abs(le.moment - original.moment) <= one_exposure if timed else enough  # type: ignore[operator]
                if near or original.sop_uid in le.sources:
                    self._leave(le, "an ORIGINAL LE image of its exposure is used", expected=True)
                    break

    def assign(self, max_gap: float) -> None:
        """Pair what no reference pairs, where there is one best way."""
        les, dess = list(self.les), list(self.dess)
        if not les or not dess:
            return
        times, numbers = _squares(les, dess, "moment"), _squares(les, dess, "number")
        if times is not None:
            ways = [("time", times), ("time and instance number", _refined(times, numbers))]
        else:
            ways = [("instance number", numbers)]
        if len(les) == len(dess) == 1:
            ways = [("only one", np.zeros((1, 1)) if times is None else times)]
        found = [(how, best) for how, cost in ways if cost is not None and (best := _one_best(cost)) is not None]
        if not found:
            reason = f"{len(les)} LE and {len(dess)} DES of one study, side and view cannot be told apart by "
            reason += "Source Image Sequence, times or instance numbers: name the partners in --overrides"
            for item in (*les, *dess):
                self._leave(item, reason)
            return
        how, chosen = found[0]
        for row, column in chosen:
            gap = math.sqrt(times[row, column]) if times is not None else 0.0
            if gap <= max_gap:
                self._take(les[row], dess[column], how)
            else:
                said = f"LE and DES are {gap:.0f} s apart, expected {max_gap:g} s at most (--max_gap)"
                self._leave(les[row], said)
                self._leave(dess[column], said)

    def left(self) -> list[Skipped]:
        """Everything that is in no pair."""
        shared = "of its study, side, view and size"
        end = f" left {shared}: the others are paired" if self.pairs else f" {shared}"
        for item, missing in [*((le, "DES") for le in self.les), *((des, "LE") for des in self.dess)]:
            self.reasons[item.path] = (f"it has no {missing}{end}", False)
        return [Skipped(path, reason, expected) for path, (reason, expected) in self.reasons.items()]


def _squares(les: Sequence[ExamObject], dess: Sequence[ExamObject], name: str) -> np.ndarray | None:
    """Squared differences (LE, DES); squares, so that exposures keep their order where all DES come behind all LE."""
    values = [getattr(item, name) for item in (*les, *dess)]
    if any(value is None for value in values):
        return None
    if name == "moment" and min(values) < DAY:  # some have no date: the clock alone is compared
        values = [value % DAY for value in values]
    first = min(values)
    return np.subtract.outer([v - first for v in values[: len(les)]], [v - first for v in values[len(les) :]]) ** 2


def _refined(times: np.ndarray, numbers: np.ndarray | None) -> np.ndarray | None:
    """Times, where equal ones are told apart by numbers, whose weight is too small to change anything else."""
    if numbers is None:
        return None
    steps = np.diff(np.unique(times))
    finest = float(steps.min()) if steps.size else 1.0
    return times + numbers * (1e-3 * finest / (1.0 + float(numbers.sum())))


def _one_best(cost: np.ndarray) -> list[tuple[int, int]] | None:
    """The assignment of least cost; None where another one costs as little."""
    rows, columns = linear_sum_assignment(cost)
    least = float(cost[rows, columns].sum())
    for row, column in zip(rows, columns, strict=True):
        other = cost.astype(float)
        other[row, column] = 1e3 * (1.0 + float(cost.sum()))
        again = linear_sum_assignment(other)
        if float(other[again].sum()) <= least * (1 + 1e-9) + 1e-12:
            return None
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]


def _named(pairs: Iterable[Pairing]) -> list[ExamPair]:
    counts: Counter[str] = Counter()
    named = []
    for le, des, how in sorted(pairs, key=lambda pair: (pair[0].patient, _order(pair[0]))):
        patient = re.sub(r"[^\w.-]+", "-", le.patient)
        stem = f"{patient}_{le.laterality}_{le.view}"
        counts[stem] += 1
        named.append(ExamPair(stem if counts[stem] == 1 else f"{stem}_{counts[stem]}", le, des, how))
    return sorted(named, key=lambda pair: pair.case_id)
