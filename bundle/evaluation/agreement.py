"""Does the virtual DES enhance a lesion as the real one does: bias, limits of agreement, slope and correlation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from .averages import by_image, by_patient
from .models import models_of
from .statistics import bootstrap_mean

__all__ = ["agreement", "clustered_correlation", "enhancement_pairs", "limits_of_agreement"]

REAL, VIRTUAL = "lesion_contrast_real", "lesion_contrast_virtual"


def enhancement_pairs(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """Lesion contrast of a model, a row a patient (mean over her images with a lesion).

    Returns:
        an index of (fold, patient_id), columns ``real virtual mean difference``; the difference is virtual - real.

    Raises:
        ValueError: for a model or column that the table does not have.
    """
    found = by_patient(_contrasts(table, model))
    return found.assign(mean=found.mean(axis=1), difference=found["virtual"] - found["real"])


def _contrasts(table: pd.DataFrame, model: str) -> pd.DataFrame:
    """Real and virtual lesion contrast of every image that has both, index as of ``by_image``."""
    pair = {"real": by_image(table, REAL, [model])[model], "virtual": by_image(table, VIRTUAL, [model])[model]}
    return pd.DataFrame(pair).dropna()


def limits_of_agreement(difference: pd.Series) -> tuple[float, float, float]:
    """Lower limit, bias and upper limit: the mean and 1.96 SD (ddof 1) to both sides; limits of one patient are NaN."""
    bias, sd = difference.mean(), difference.std(ddof=1)
    return bias - 1.96 * sd, bias, bias + 1.96 * sd


def clustered_correlation(
    images: pd.DataFrame, confidence: float = 0.95, resamples: int = 2000, seed: int = 0, fewest: int = 10
) -> tuple[float, float, float]:
    """Pearson's r of two columns over images, and its BCa bootstrap interval: patients resampled with all their images.

    Args:
        images: two columns, finite, a row an image, index as of ``by_image``.
        confidence, resamples, seed: of the bootstrap.
        fewest: below so many patients the interval is NaN.

    Returns:
        r, low, high; all NaN below three images or where a column does not vary.
    """
    nothing = float("nan")
    values = images.to_numpy(float)
    spread = values.std(axis=0) if len(values) >= 3 else np.zeros(2)
    if not (spread > 1e-12 * np.abs(values).max(axis=0, initial=1e-300)).all():
        return nothing, nothing, nothing
    x, y = ((values - values.mean(axis=0)) / spread).T
    moments = pd.DataFrame({"n": 1.0, "x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y}, index=images.index)
    of_patients = moments.groupby(["fold", "patient_id"], dropna=False).sum().to_numpy()

    def correlation(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        n, sx, sy, sxx, syy, sxy = np.moveaxis(of_patients[drawn].sum(axis=axis - 1), -1, 0)
        scale = np.sqrt((n * sxx - sx**2) * (n * syy - sy**2))
        return np.divide(n * sxy - sx * sy, scale, out=np.full(np.shape(scale), np.nan), where=scale > 0)

    r = float(np.clip(np.mean(x * y), -1, 1))
    patients = len(of_patients)
    if patients < fewest:
        return r, nothing, nothing
    if 1 - abs(r) < 1e-12:  # a straight line stays one, whoever is drawn
        return r, r, r
    found = stats.bootstrap(
        (np.arange(patients),),
        correlation,
        vectorized=True,
        confidence_level=confidence,
        n_resamples=resamples,
        method="BCa",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return r, float(found.low), float(found.high)


def agreement(table: pd.DataFrame, resamples: int = 2000, seed: int = 0, fewest: int = 10) -> pd.DataFrame:
    """Bland-Altman figures of the lesion contrast of every model over patients, and its correlation over images.

    Bland and Altman, Statistical methods for assessing agreement between two methods of clinical measurement, Lancet
    327 (1986): the bias is the mean of virtual - real, the limits are bias ± 1.96 SD.

    Args:
        table: made by ``comparable``.
        resamples, seed: of the bootstrap intervals of bias and r.
        fewest: below so many patients there is no interval, of bias, slope or r.

    Returns:
        columns ``model patients real virtual bias low high lower_limit upper_limit slope slope_low slope_high images r
        r_low r_high``;
        ``slope`` is that of the virtual contrast over the real one (1 follows it, 0 does not see it), with its 95 % t
        interval (least squares), NaN below three patients or without spread; ``r`` is Pearson's over the images with a
        lesion, see ``clustered_correlation``.
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
        row |= {"slope": slope, "slope_low": slope - reach, "slope_high": slope + reach}
        images = _contrasts(table, model)
        r, r_low, r_high = clustered_correlation(images, 0.95, resamples, seed, fewest)
        rows.append(row | {"images": len(images), "r": r, "r_low": r_low, "r_high": r_high})
    return pd.DataFrame(rows).astype({"low": float, "high": float})
