"""What a study consists of, as tables of counts, and how its measures are distributed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...keys import BatchKeys, CaseKeys
from .findings import Case, Limits
from .identity import StudyIdentity

__all__ = ["count_tables", "histograms"]

Table = dict[str, Any]


def count_tables(cases: Sequence[Case], identity: StudyIdentity, folds: Mapping[str, int] | None) -> list[Table]:
    """Tables ``{"title", "rows": [(value, count)]}``; free text of headers is masked."""
    entries = [entry for _, entry, _ in cases]
    images = [(key, image) for _, _, record in cases for key, image in record.images.items()]
    per_patient = Counter(entry[CaseKeys.PATIENT_ID] for entry in entries)
    malignant = {True: "malignant", False: "not malignant", None: "not said"}
    tables = [
        ("Pairs per patient", (f"{pairs} pair{'s' * (pairs > 1)}" for pairs in sorted(per_patient.values()))),
        ("View and side", (f"{entry[CaseKeys.VIEW]} {entry[CaseKeys.LATERALITY]}" for entry in entries)),
        ("Lesion map", ("with a map" if entry.get(BatchKeys.SEG) else "without" for entry in entries)),
        ("Malignancy", (malignant[entry.get(CaseKeys.MALIGNANT)] for entry in entries)),
        ("Image size", (_size(image.shape) for _, image in images)),
        ("Window (centre / width)", (f"{key.upper()} {_window(image)}" for key, image in images)),
        ("Format", (image.header.format or "not readable" for _, image in images)),
        ("Maker and model", (identity.masked(image.header.maker.strip()) or "not said" for _, image in images)),
    ]
    counted = [{"title": title, "rows": _most_frequent(values)} for title, values in tables]
    counted[0]["unit"] = "patients"
    if folds:
        numbers = Counter(folds[entry[CaseKeys.PATIENT_ID]] for entry in entries)
        counted.append(
            {"title": "Pairs per fold", "rows": [(f"fold {fold}", numbers[fold]) for fold in sorted(numbers)]}
        )
    return counted


def histograms(cases: Sequence[Case], limits: Limits, bins: int = 24) -> list[Table]:
    """Histograms ``{"title", "bars": [(from, to, count)], "limit", "low", "median", "high", "missing"}``."""
    records = [record for _, _, record in cases]
    trained = [float(sum(size for _, size in record.lesions)) for record in records if record.lesions]
    sizes = [math.log10(max(size, 0.5)) for size in trained]
    return [
        _histogram(
            "Shift of DES, % of the longer side", [100 * r.shift_share for r in records], 100 * limits.shift, bins
        ),
        _histogram("Overlap of the breasts (Dice)", [r.overlap for r in records], limits.overlap, bins),
        _histogram("Lesion in the breast or its margin, share", [r.inside for r in records if r.lesions], None, bins),
        _histogram("Lesion contrast in DES", [r.contrast for r in records if r.lesions], limits.contrast, bins),
        _histogram("Lesion at training size, log10 of pixels", sizes, None, bins),
    ]


def _histogram(title: str, values: Iterable[float], limit: float | None, bins: int) -> Table:
    values = list(values)
    known = np.array([value for value in values if math.isfinite(value)])
    table: Table = {"title": title, "limit": limit, "bars": [], "missing": len(values) - known.size}
    if known.size:
        bounds = [*known.tolist(), *([limit] if limit is not None else [])]
        low, high = min(bounds), max(bounds)
        counts, edges = np.histogram(known, bins, (low, high) if high > low else (low - 0.5, low + 0.5))
        table["bars"] = [
            (float(start), float(stop), int(count))
            for start, stop, count in zip(edges[:-1], edges[1:], counts, strict=True)
        ]
        table |= {"low": float(known.min()), "median": float(np.median(known)), "high": float(known.max())}
    return table


def _most_frequent(values: Iterable[str], shown: int = 8) -> list[tuple[str, int]]:
    rows = sorted(Counter(values).items(), key=lambda row: (-row[1], row[0]))
    rest = sum(count for _, count in rows[shown:])
    return rows[:shown] + ([(f"{len(rows) - shown} others", rest)] if rest else [])


def _size(shape: tuple[int, int] | None) -> str:
    return f"{shape[0]} x {shape[1]}" if shape else "not readable"


def _window(image: Any) -> str:
    return f"{image.window[0]:g} / {image.window[1]:g}" if image.window else "none"
