"""Numbers and cases as the checklists write them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ...keys import BatchKeys, CaseKeys

__all__ = ["counted", "is_number", "malignant", "number", "p_value", "span"]


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def number(value: float) -> str:
    """Three digits that count, a last zero too."""
    return f"{value:#.3g}".rstrip(".")


def p_value(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def span(values: Sequence[float]) -> str:
    """The lowest and the highest."""
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)} to {max(values)}"


def counted(cases: Sequence[Mapping[str, Any]]) -> str:
    """Patients, pairs and lesion maps of some cases."""
    patients = len({case[CaseKeys.PATIENT_ID] for case in cases})
    maps = sum(bool(case.get(BatchKeys.SEG)) for case in cases)
    return f"{patients} patients, {len(cases)} LE / DES pairs, {maps} with a lesion map"


def malignant(cases: Sequence[Mapping[str, Any]]) -> str:
    """How many are marked malignant, to be put behind :func:`counted`; nothing where no case says so or not."""
    known = [case[CaseKeys.MALIGNANT] for case in cases if case.get(CaseKeys.MALIGNANT) is not None]
    return f", {sum(known)} marked malignant" if known else ""
