"""Is the virtual DES a copy of LE: its correlation with LE beside that of the real DES."""

from __future__ import annotations

import pandas as pd

from .averages import by_image, by_patient
from .models import models_of
from .statistics import interval_over_patients

__all__ = ["COLUMNS", "copying"]

REGIONS = ("lesion", "background")
COLUMNS = ("model", "region", "patients", "images", "virtual", "real", "difference", "low", "high", "note")


def copying(table: pd.DataFrame, resamples: int = 2000, seed: int = 0, fewest: int = 10) -> pd.DataFrame:
    """Correlation with LE of every model's DES and of the real one, in lesion and background, over patients.

    The floor DES := LE has a virtual correlation of 1; a constant has none (the one inside the breast only where
    a lesion's map leaves it).

    Args:
        table: made by ``comparable``.
        resamples, seed: of the bootstrap interval of the difference, patients resampled with all their images.
        fewest: below so many patients there is no interval, and ``note`` says so.

    Returns:
        columns ``model region patients images virtual real difference low high note``, a row a model and region, floors
        last: means over the patients whose images have both correlations (a patient's is the mean of her images), and
        virtual - real with its 95 % interval. Empty for a table of older runs without these columns; a model is left
        out in a region of which none of its images has both.
    """
    rows = []
    for model in models_of(table, floors=True):
        for region in REGIONS:
            columns = {which: f"{region}_le_correlation_{which}" for which in ("virtual", "real")}
            if not set(columns.values()) <= set(table):
                continue
            values = {which: by_image(table, name, [model])[model] for which, name in columns.items()}
            pairs = pd.DataFrame(values).dropna()
            if pairs.empty:
                continue
            means = by_patient(pairs).mean()
            found = interval_over_patients(pairs["virtual"] - pairs["real"], 0.95, resamples, seed, fewest)
            row = {"model": model, "region": region, "patients": found.patients, "images": found.images}
            row |= {"virtual": means["virtual"], "real": means["real"], "difference": found.mean}
            rows.append(row | {"low": found.low, "high": found.high, "note": found.note})
    return pd.DataFrame(rows, columns=list(COLUMNS))
