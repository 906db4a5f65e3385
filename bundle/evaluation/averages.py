"""Means in their right order: image -> patient -> fold -> mean and SD over the folds, and the paper's own average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from .models import models_of

__all__ = ["Unit", "by_image", "by_patient", "by_seed", "fold_means", "fold_summary", "parts_tested"]

Unit = Literal["patient", "image"]


def by_image(table: pd.DataFrame, metric: str, models: Sequence[str] | None = None) -> pd.DataFrame:
    """One metric as a table image x model, NaN where a value is missing or infinite.

    Args:
        table: made by ``comparable``.
        metric: a column of it.
        models: names of models; all of them, floors too, by default.

    Returns:
        an index of (fold, patient_id, case_id), a column a model.

    Raises:
        ValueError: when the metric or a model is not in the table, or a model has an image twice.
    """
    known = models_of(table, floors=True)
    models = known if models is None else list(models)
    unknown = [model for model in models if model not in known]
    if unknown:
        raise ValueError(f"no model {', '.join(map(repr, unknown))} in the table, which has {', '.join(known)}.")
    if metric not in table:
        raise ValueError(f"no metric {metric!r} in the table, which has {', '.join(map(str, table.columns))}.")
    if table.duplicated(["model", "case_id"]).any():
        raise ValueError("a model has an image more than once: pass the table through comparable() first.")
    keys = ["fold", "patient_id", "case_id"]
    own = table.loc[table["model"].isin(models), [*keys, "model", metric]]
    wide = own.set_index([*keys, "model"])[metric].astype(float).unstack("model")[list(models)]
    return wide.replace([np.inf, -np.inf], np.nan)


def by_patient(images: pd.DataFrame) -> pd.DataFrame:
    """Means over each patient's images, an index of (fold, patient_id), a column a model."""
    return images.groupby(["fold", "patient_id"], dropna=False).mean()


def by_seed(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One metric of one model, a column a seed, of the images that have a finite value with each of them.

    Args:
        rows: of the model, as ``named`` gives them, with a column ``seed``; index of the result as of ``by_image``.
        metric: a column of it.
    """
    known = rows.assign(seed=rows["seed"].fillna(-1))  # runs without a card are one seed that nobody knows
    wide = known.pivot(index=["fold", "patient_id", "case_id"], columns="seed", values=metric)
    return wide.replace([np.inf, -np.inf], np.nan).dropna()


def fold_means(table: pd.DataFrame, metric: str, unit: Unit = "patient") -> pd.DataFrame:
    """Mean of each fold's test part, a row a fold and a column a model.

    Args:
        table: made by ``comparable``.
        metric: a column of it.
        unit: ``"patient"`` averages the images of a patient first, so that a woman with six images counts as much as
            one with two; ``"image"`` is the paper's average, over the images of a fold.

    Raises:
        ValueError: for another unit, metric or model.
    """
    if unit not in ("patient", "image"):
        raise ValueError(f"unit {unit!r}, expected 'patient' (image -> patient -> fold) or 'image' (as the paper).")
    images = by_image(table, metric)
    return (by_patient(images) if unit == "patient" else images).groupby("fold", dropna=False).mean()


def fold_summary(
    table: pd.DataFrame, metrics: Sequence[str], units: Sequence[Unit] = ("patient", "image")
) -> pd.DataFrame:
    """Mean and SD (ddof 1) over the folds of every model, metric and unit.

    Returns:
        columns ``model gamma metric unit mean sd folds patients images infinite missing``: the mean of the folds' means
        and their SD (NaN for a single fold), how many folds, patients and images entered it, and how many images were
        left out because their value is infinite (PSNR of identical images) or missing (no lesion).
    """
    gammas = table.drop_duplicates("model").set_index("model")["gamma"]
    rows = []
    for metric in metrics:
        values = table.assign(infinite=np.isinf(table[metric]), missing=table[metric].isna())
        left_out = values.groupby("model")[["infinite", "missing"]].sum()
        images = by_image(table, metric)
        counts = {"patients": by_patient(images).count(), "images": images.count()}
        for unit in units:
            means = fold_means(table, metric, unit)
            for model in means.columns:
                row = {"model": model, "gamma": gammas[model], "metric": metric, "unit": unit}
                row |= {"mean": means[model].mean(), "sd": means[model].std(ddof=1), "folds": means[model].count()}
                rows.append(row | {name: count[model] for name, count in counts.items()} | dict(left_out.loc[model]))
    return pd.DataFrame(rows)


def parts_tested(table: pd.DataFrame) -> pd.DataFrame:
    """What each model was tested on: ``model gamma folds patients images with_lesion``, ``seeds`` if it has several."""
    groups = table.groupby("model", sort=False)
    counts = {
        "gamma": groups["gamma"].first(),
        "folds": groups["fold"].nunique(dropna=False),
        "patients": groups["patient_id"].nunique(),
        "images": groups["case_id"].nunique(),
    }
    if "has_seg" in table:
        counts["with_lesion"] = groups["has_seg"].sum().astype(int)
    if "seeds" in table:
        counts["seeds"] = groups["seeds"].max().astype("Int64")
    return pd.DataFrame(counts).reset_index()
