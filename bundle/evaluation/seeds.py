"""Several trainings of one model: a value of an image is the mean over its seeds; how far apart the seeds lie."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from .agreement import REAL, VIRTUAL
from .averages import by_patient, by_seed
from .models import comparable, models_of, named

__all__ = ["seed_summary", "seeds_in_words", "seeds_of"]

CORRELATION = "lesion_contrast_r"


def seeds_of(table: pd.DataFrame) -> dict[str, str]:
    """How many seeds the rows of each model are means of, as text (``3``, or ``1 to 3``); empty where all have one.

    Args:
        table: made by ``comparable``.
    """
    if "seeds" not in table:
        return {}
    counts = table[table["model"].isin(models_of(table))].groupby("model", sort=False)["seeds"].agg(["min", "max"])
    return {
        str(row.Index): f"{row.min:.0f}" if row.min == row.max else f"{row.min:.0f} to {row.max:.0f}"
        for row in counts.itertuples()
    }


def seeds_in_words(table: pd.DataFrame) -> str:
    """``seeds_of`` for a sentence: "CycleGAN: 3; U-Net, L1: 1"."""
    return "; ".join(f"{model}: {count}" for model, count in seeds_of(table).items())


def seed_summary(table: pd.DataFrame, metrics: Sequence[str], cases: Collection[str] | None = None) -> pd.DataFrame:
    """What another training would change: mean and SD over the seeds of each model's mean over women.

    A model's seeds are compared on the images that all of them were judged on. ``lesion_contrast_r`` is Pearson's r of
    virtual and real lesion contrast over images, whose mean over the seeds is the ``r`` of ``agreement``.

    Args:
        table: rows of all runs' metrics.csv with a column ``seed``.
        metrics: columns that are summarised; those that the table does not have are left out.
        cases: images that count; None takes all.

    Returns:
        columns ``metric model seeds mean sd lowest highest patients images``, SD with ddof 1 and NaN for a single seed;
        empty where no model has several seeds.
    """
    if "seed" not in table:
        return pd.DataFrame()
    rows = named(table)
    rows = rows if cases is None else rows[rows["case_id"].isin(list(cases))]
    models = [] if rows.empty else models_of(comparable(rows))
    if not rows[rows["model"].isin(models)].duplicated(["model", "case_id"]).any():
        return pd.DataFrame()
    contrasts = {REAL, VIRTUAL} <= set(rows.columns)
    found = []
    for metric in [*(metric for metric in metrics if metric in rows), *([CORRELATION] if contrasts else [])]:
        for model in models:
            own = rows[rows["model"] == model]
            images = by_seed(own, VIRTUAL if metric == CORRELATION else metric)
            if metric == CORRELATION:
                real = by_seed(own, REAL).iloc[:, 0].reindex(images.index)
                values = pd.Series([_correlation(real, images[seed]) for seed in images], dtype=float)
            else:
                values = by_patient(images).mean()
            row = {"metric": metric, "model": model, "seeds": images.shape[1], "mean": values.mean()}
            row |= {"sd": values.std(ddof=1), "lowest": values.min(), "highest": values.max()}
            patients = images.index.get_level_values("patient_id").nunique()
            found.append(row | {"patients": patients, "images": len(images)})
    return pd.DataFrame(found)


def _correlation(real: pd.Series, virtual: pd.Series) -> float:
    flat = any(np.ptp(values) <= 1e-12 * np.abs(values).max() for values in (real, virtual) if len(values))
    return float("nan") if len(real) < 3 or flat else float(np.corrcoef(real, virtual)[0, 1])
