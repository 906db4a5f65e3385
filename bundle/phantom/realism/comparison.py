"""Phantom pairs against real ones, a row a quantity."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .pairs import Pair
from .quantities import QUANTITIES, linear_r2, measure, summary

__all__ = ["LEAST_OVERLAP", "compare", "interval_overlap", "measure_all", "readable", "targets_met"]

LEAST_OVERLAP = 0.5  # of the 10th-90th percentile of the phantoms with that of the real pairs


def measure_all(pairs: Sequence[Pair]) -> pd.DataFrame:
    """The quantities of every pair, a row each, by ``case_id`` and ``patient_id``."""
    rows = [
        {"case_id": pair.case_id, "patient_id": pair.patient_id, **measure(pair.le, pair.des, pair.lesion, pair.breast)}
        for pair in pairs
    ]
    return pd.DataFrame(rows)


def interval_overlap(real: tuple[float, float], phantom: tuple[float, float]) -> float:
    """Share of the real interval that the phantom's covers, 0 to 1; NaN where a bound is."""
    if not np.isfinite([*real, *phantom]).all():
        return math.nan
    common = min(real[1], phantom[1]) - max(real[0], phantom[0])
    return max(common, 0.0) / (real[1] - real[0]) if real[1] > real[0] else float(common >= 0)


def compare(real: Sequence[Pair], phantom: Sequence[Pair], seed: int = 0) -> pd.DataFrame:
    """Percentiles of both, and how the phantom does.

    Args:
        real, phantom: malignant pairs.
        seed: of the pixels that the linear R2 is fitted on.

    Returns:
        a row a quantity (keys of ``QUANTITIES``): ``real_`` and ``phantom_`` ``p10 median p90``, ``target_low``,
        ``target_high``, ``in_target`` (the phantom's median lies in it), ``overlap`` (NaN where one value is all).
    """
    sides = {}
    for name, pairs in (("real", real), ("phantom", phantom)):
        r2 = linear_r2(
            [pair.le for pair in pairs],
            [pair.des for pair in pairs],
            [pair.breast for pair in pairs],
            [pair.patient_id for pair in pairs],
            seed=seed,
        )
        sides[name] = summary(measure_all(pairs), r2).add_prefix(f"{name}_")
    table = sides["real"].join(sides["phantom"]).loc[list(QUANTITIES)]
    table["target_low"], table["target_high"] = zip(*(QUANTITIES[name].target for name in table.index), strict=True)
    table["in_target"] = table["phantom_median"].between(table["target_low"], table["target_high"])
    table["overlap"] = [
        interval_overlap((row.real_p10, row.real_p90), (row.phantom_p10, row.phantom_p90)) for row in table.itertuples()
    ]
    table.index.name = "quantity"
    return table


def targets_met(table: pd.DataFrame) -> tuple[int, int]:
    """How many targets are met, of how many: every median, and every overlap of two intervals."""
    overlaps = table["overlap"].dropna()
    return int(table["in_target"].sum() + (overlaps >= LEAST_OVERLAP).sum()), len(table) + len(overlaps)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The comparison as texts, for a paper: median (10th to 90th percentile), the target and the verdicts."""

    def values(row: pd.Series, side: str) -> str:
        median, low, high = (row[f"{side}_{part}"] for part in ("median", "p10", "p90"))
        return f"{median:.2f}" + ("" if math.isnan(low) else f" ({low:.2f} to {high:.2f})")

    rows = []
    for name, row in table.iterrows():
        low, high = row["target_low"], row["target_high"]
        rows.append(
            {
                "quantity": QUANTITIES[str(name)].label,
                "real": values(row, "real"),
                "phantom": values(row, "phantom"),
                "target": f"{low:g} to {high:g}" if math.isfinite(low) else f"at most {high:g}",
                "median": "met" if row["in_target"] else "missed",
                "overlap": "" if math.isnan(row["overlap"]) else f"{row['overlap']:.2f}",
                "half": "" if math.isnan(row["overlap"]) else "met" if row["overlap"] >= LEAST_OVERLAP else "missed",
            }
        )
    return pd.DataFrame(rows).set_index("quantity").rename(columns={"half": "at least 0.5"})
