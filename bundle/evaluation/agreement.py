"""Does the virtual DES enhance a lesion as the real one does: bias and limits of agreement."""

from __future__ import annotations

import pandas as pd
from scipy import stats

from .averages import by_image, by_patient
from .models import models_of
from .statistics import bootstrap_mean

__all__ = ["agreement", "enhancement_pairs", "limits_of_agreement"]

REAL, VIRTUAL = "lesion_contrast_real", "lesion_contrast_virtual"


def enhancement_pairs(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """Lesion contrast of a model, a row a patient (mean over her images with a lesion).

    Returns:
        an index of (fold, patient_id), columns ``real virtual mean difference``; the difference is virtual - real.

    Raises:
        ValueError: for a model or column that the table does not have.
    """
    pair = {"real": by_image(table, REAL, [model])[model], "virtual": by_image(table, VIRTUAL, [model])[model]}
    found = by_patient(pd.DataFrame(pair).dropna())
    return found.assign(mean=found.mean(axis=1), difference=found["virtual"] - found["real"])


def limits_of_agreement(difference: pd.Series) -> tuple[float, float, float]:
    """Lower limit, bias and upper limit: the mean and 1.96 SD (ddof 1) to both sides; limits of one patient are NaN."""
    bias, sd = difference.mean(), difference.std(ddof=1)
    return bias - 1.96 * sd, bias, bias + 1.96 * sd


def agreement(table: pd.DataFrame, resamples: int = 2000, seed: int = 0, fewest: int = 10) -> pd.DataFrame:
    """Bland-Altman figures of the lesion contrast of every model, over patients.

    Bland and Altman, Statistical methods for assessing agreement between two methods of clinical measurement, Lancet
    327 (1986): the bias is the mean of virtual - real, the limits are bias ± 1.96 SD.

    Args:
        table: made by ``comparable``.
        resamples, seed: of the bootstrap interval of the bias.
        fewest: below so many patients there is no interval, of bias or slope.

    Returns:
        columns ``model patients real virtual bias low high lower_limit upper_limit slope slope_low slope_high``;
        ``slope`` is that of the virtual contrast over the real one (1 follows it, 0 does not see it), with its 95 % t
        interval (least squares), NaN below three patients or without spread.
    """
    rows = []
    for model in models_of(table, floors=True):
        pairs = enhancement_pairs(table, model)
        lower, bias, upper = limits_of_agreement(pairs["difference"])
        enough = len(pairs) >= fewest
        low, high = bootstrap_mean(pairs["difference"].to_numpy(), 0.95, resamples, seed) if enough else (None, None)
        row = {"model": model, "patients": len(pairs), "real": pairs["real"].mean(), "virtual": pairs["virtual"].mean()}
        row |= {"bias": bias, "low": low, "high": high, "lower_limit": lower, "upper_limit": upper}
        spread = pairs["real"].var(ddof=1)
        known = len(pairs) >= 3 and spread > 0
        line = stats.linregress(pairs["real"], pairs["virtual"]) if known else None
        reach = stats.t.ppf(0.975, len(pairs) - 2) * line.stderr if line and enough else float("nan")
        slope = line.slope if line else float("nan")
        rows.append(row | {"slope": slope, "slope_low": slope - reach, "slope_high": slope + reach})
    return pd.DataFrame(rows).astype({"low": float, "high": float})
