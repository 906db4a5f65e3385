"""Does the virtual DES enhance a lesion as the real one does: bias, limits of agreement, slope and correlation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from .averages import by_image, by_patient, by_seed
from .models import models_of, named
from .statistics import bootstrap_mean
from .tables import FLOORS

__all__ = [
    "agreement",
    "clustered_correlation",
    "correlation_differences",
    "enhancement_pairs",
    "limits_of_agreement",
]

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
    images: pd.DataFrame,
    weights: Sequence[float] | np.ndarray | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    fewest: int = 10,
) -> tuple[float, float, float]:
    """Mean of Pearson's r of the first column with each other one over images, and its BCa bootstrap interval.

    Patients are resampled with all their images, the same ones for every column, and each r is computed anew.

    Args:
        images: the real values and, a column a training, the virtual ones; finite, a row an image, index as of
            ``by_image``.
        weights: of each training's r; by default all the same, which gives their mean. With those of a reference below
            0 it is a difference.
        confidence, resamples, seed: of the bootstrap.
        fewest: below so many patients the interval is NaN.

    Returns:
        r, low, high; all NaN below three images or where a column does not vary.
    """
    nothing = float("nan")
    values = images.to_numpy(float)
    spread = values.std(axis=0) if len(values) >= 3 else np.zeros(values.shape[1])
    if not (spread > 1e-12 * np.abs(values).max(axis=0, initial=1e-300)).all():
        return nothing, nothing, nothing
    share = np.full(values.shape[1] - 1, 1 / (values.shape[1] - 1)) if weights is None else np.asarray(weights, float)
    scaled = (values - values.mean(axis=0)) / spread
    moments = np.concatenate([np.ones((len(scaled), 1)), scaled, scaled**2, scaled[:, :1] * scaled[:, 1:]], axis=1)
    of_patients = pd.DataFrame(moments, index=images.index).groupby(["fold", "patient_id"], dropna=False).sum()
    sums, columns = of_patients.to_numpy(), scaled.shape[1]

    def correlation(total: np.ndarray) -> np.ndarray:
        """(..., moments) -> (...)."""
        n, first, second, cross = np.split(total, [1, 1 + columns, 1 + 2 * columns], axis=-1)
        spreads = n * second - first**2
        scale = np.sqrt(spreads[..., :1] * spreads[..., 1:])
        over = n * cross - first[..., :1] * first[..., 1:]
        r = np.divide(over, scale, out=np.full(np.shape(scale), np.nan), where=scale > 0)
        return (r.clip(-1, 1) * share).sum(axis=-1)

    r = float(correlation(sums.sum(axis=0)))
    patients = len(sums)
    if patients < fewest:
        return r, nothing, nothing
    if np.ptp(correlation(sums.sum(axis=0) - sums)) < 1e-12:  # straight lines stay such, whoever is drawn
        return r, r, r
    found = stats.bootstrap(
        (np.arange(patients),),
        lambda drawn, axis=-1: correlation(sums[drawn].sum(axis=axis - 1)),
        vectorized=True,
        confidence_level=confidence,
        n_resamples=resamples,
        method="BCa",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return r, float(found.low), float(found.high)


def correlation_differences(
    table: pd.DataFrame,
    references: Sequence[str],
    runs: pd.DataFrame | None = None,
    resamples: int = 2000,
    seed: int = 0,
    fewest: int = 10,
) -> pd.DataFrame:
    """Does the lesion contrast of a model follow the real one better than a reference's: r minus the reference's r.

    Both are of the images that both have, and a resample draws the same patients for both.

    Args:
        table: made by ``comparable``.
        references: names of models or floors.
        runs: see ``agreement``.
        resamples, seed: of the bootstrap interval of the difference.
        fewest: below so many patients there is no interval, and ``note`` says so.

    Returns:
        columns ``model reference patients images r r_reference difference low high note``, a row a trained model and
        reference.
    """
    names = list(dict.fromkeys([*models_of(table), *references]))
    contrasts = _contrasts_of_seeds(table, names, runs)
    rows = []
    for reference in references:
        for model in models_of(table):
            if model == reference:
                continue
            own, other = contrasts[model], contrasts[reference]
            of_both = own.join(other.drop(columns="real").add_prefix("reference's "), how="inner")
            ours, theirs = np.arange(1, own.shape[1]), np.arange(own.shape[1], of_both.shape[1])
            alone = [of_both.iloc[:, [0, *columns]] for columns in (ours, theirs)]
            r, r_reference = (clustered_correlation(each, fewest=len(each) + 1)[0] for each in alone)
            weights = np.concatenate([np.full(len(ours), 1 / len(ours)), np.full(len(theirs), -1 / len(theirs))])
            difference, low, high = clustered_correlation(of_both, weights, 0.95, resamples, seed, fewest)
            patients = len(of_both.groupby(["fold", "patient_id"], dropna=False))
            few = f"too few patients for an interval: {patients}, at least {fewest} are needed"
            why = "a contrast does not vary, or there are fewer than three images" if np.isnan(difference) else ""
            row = {"model": model, "reference": reference, "patients": patients, "images": len(of_both)}
            row |= {"r": r, "r_reference": r_reference, "difference": difference, "low": low, "high": high}
            rows.append(row | {"note": why or (few if patients < fewest else "")})
    return pd.DataFrame(rows)


def _contrasts_of_seeds(
    table: pd.DataFrame, models: Sequence[str], runs: pd.DataFrame | None
) -> dict[str, pd.DataFrame]:
    """By model: the real contrast and, a column a seed, the virtual one, of the images that all of its seeds have."""
    rows = None if runs is None or "seed" not in runs else named(runs)
    found = {}
    for model in models:
        pair = _contrasts(table, model)
        if rows is not None and model not in FLOORS.values():
            of_seeds = by_seed(rows[rows["model"] == model], VIRTUAL)
            pair = pair[["real"]].join(of_seeds.set_axis([f"virtual {n}" for n in range(of_seeds.shape[1])], axis=1))
        found[model] = pair.dropna()
    return found


def agreement(
    table: pd.DataFrame,
    resamples: int = 2000,
    seed: int = 0,
    fewest: int = 10,
    runs: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Bland-Altman figures of the lesion contrast of every model over patients, and its correlation over images.

    Bland and Altman, Statistical methods for assessing agreement between two methods of clinical measurement, Lancet
    327 (1986): the bias is the mean of virtual - real, the limits are bias ± 1.96 SD.

    Args:
        table: made by ``comparable``.
        resamples, seed: of the bootstrap intervals of bias and r.
        fewest: below so many patients there is no interval, of bias, slope or r.
        runs: rows of all runs' metrics.csv with a column ``seed``, for ``r`` of models with several seeds.

    Returns:
        columns ``model patients real virtual bias low high lower_limit upper_limit slope slope_low slope_high images r
        r_low r_high``, and ``r_of_mean`` where a model has several seeds;
        ``slope`` is that of the virtual contrast over the real one (1 follows it, 0 does not see it), with its 95 % t
        interval (least squares), NaN below three patients or without spread; ``r`` is Pearson's over the images with a
        lesion, of several seeds the mean of what each training has, see ``clustered_correlation``; ``r_of_mean`` is
        that of the mean over the seeds, which is usually higher and which no single training has.
    """
    rows = []
    contrasts = _contrasts_of_seeds(table, models_of(table, floors=True), runs)
    several = any(of_seeds.shape[1] > 2 for of_seeds in contrasts.values())
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
        images = contrasts[model]
        r, r_low, r_high = clustered_correlation(images, None, 0.95, resamples, seed, fewest)
        row |= {"images": len(images), "r": r, "r_low": r_low, "r_high": r_high}
        of_mean = pd.DataFrame({"real": images["real"], "mean": images.drop(columns="real").mean(axis=1)})
        rows.append(row | ({"r_of_mean": clustered_correlation(of_mean, fewest=len(images) + 1)[0]} if several else {}))
    return pd.DataFrame(rows).astype({"low": float, "high": float})
