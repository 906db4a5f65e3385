"""Tables of an evaluation: a row an image on disk, a row a model for the reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["DESCRIBING", "FLOORS", "SUMMARY", "as_markdown", "less_is_better", "metrics_table", "summary_table"]

FLOORS = {"floor_le": "DES := LE", "floor_constant": "constant inside the breast"}
# column -> heading
SUMMARY = {
    "mse": "MSE",
    "psnr": "PSNR [dB]",
    "ssim": "SSIM",
    "lesion_l1": "lesion L1",
    "background_l1": "background L1",
}
ERRORS, QUALITIES = ("mse", "l1", "error"), ("psnr", "ssim", "vif")  # the last word of a column
FINDINGS = ("enhancement_missed", "invented_count", "invented_area")  # errors too
LEADING = ("case_id", "patient_id", "laterality", "view", "fold", "model", "gamma", "has_seg")
DESCRIBING = (*LEADING, "seed", "seeds")  # columns of a table of several runs that hold no quantity


def less_is_better(column: str) -> bool | None:
    """Whether a column of metrics.csv is an error (True) or a quality (False); None for a bias or a contrast."""
    word = column.rsplit("_", 1)[-1]
    return True if word in ERRORS or column in FINDINGS else False if word in QUALITIES else None


def metrics_table(
    rows: Iterable[Mapping[str, Any]], fold: int | None = None, gamma: float | None = None
) -> pd.DataFrame:
    """Rows of ``CaseMetrics`` as a table with the columns of metrics.csv in their order."""
    table = pd.DataFrame(list(rows)).assign(fold=fold, gamma=gamma)
    is_floor = table["model"].isin(list(FLOORS))
    table["gamma"] = table["gamma"].astype(float).where(~is_floor)
    return table[[*LEADING, *(column for column in table.columns if column not in LEADING)]]


def summary_table(table: pd.DataFrame, columns: Sequence[str] = tuple(SUMMARY)) -> pd.DataFrame:
    """Means over the images, a row a model; floors say behind each value whether the model beats them.

    Images without a lesion have no lesion error and are left out of its mean; infinite PSNR is left out too. Of several
    models the best one is compared; a column that is neither an error nor a quality (a bias) gets no verdict.
    """
    finite = table.replace([np.inf, -np.inf], np.nan)
    means = finite.groupby("model", sort=False)[list(columns)].mean()
    floors = [name for name in FLOORS if name in means.index]
    models = [name for name in means.index if name not in FLOORS]
    summary = pd.DataFrame(index=[*models, *(FLOORS[name] for name in floors)])
    for column in columns:
        fewer = less_is_better(column)
        cells = [f"{means.loc[model, column]:.4g}" for model in models]
        for floor in floors:
            value, best = means.loc[floor, column], means.loc[models, column]
            best = best.min() if fewer else best.max()
            beaten = best < value if fewer else best > value
            silent = fewer is None or np.isnan(value) or np.isnan(best)
            cells.append(f"{value:.4g}" + ("" if silent else f" ({'beaten' if beaten else 'not beaten'})"))
        summary[SUMMARY.get(column, column)] = cells
    summary.index.name = "model"
    return summary


def as_markdown(summary: pd.DataFrame) -> str:
    """A table that pastes into a paper or an issue, columns aligned."""
    rows = [[summary.index.name or "", *summary.columns]]
    rows += [[str(name), *map(str, values)] for name, values in zip(summary.index, summary.to_numpy(), strict=True)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
