"""What the differences between models are worth: every test and every interval has the patient as its unit."""

from __future__ import annotations

import gc
from collections.abc import Collection, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from .averages import by_image, by_patient
from .models import models_of
from .tables import less_is_better

__all__ = [
    "Interval",
    "bootstrap_mean",
    "clustered_interval",
    "equivalence",
    "holm",
    "interval_over_patients",
    "intervals",
    "paired_test",
    "signed_rank",
]


class Interval(NamedTuple):
    """A mean over patients and its confidence interval; ``note`` says why the interval is NaN."""

    mean: float
    low: float
    high: float
    patients: int
    images: int
    note: str = ""


def signed_rank(differences: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the Wilcoxon signed-rank test over the last axis (scipy; exact for few patients).

    Shapes:
        differences: (..., patients), one paired difference a patient; returns (...).
    """
    return np.asarray(stats.wilcoxon(differences, axis=-1).pvalue)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of one family of p-values (statsmodels); a NaN stays one and does not count.

    Shapes:
        p_values: (pairs,); returns (pairs,).
    """
    from statsmodels.stats.multitest import multipletests

    corrected = np.full(len(p_values), np.nan)
    tested = ~np.isnan(p_values)
    if tested.any():
        gc.freeze()  # multipletests collects garbage at every call: half of all the time, with the objects of torch
        try:
            corrected[tested] = multipletests(p_values[tested], method="holm")[1]
        finally:
            gc.unfreeze()
    return corrected


def bootstrap_mean(
    values: np.ndarray, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Bias-corrected and accelerated (BCa) bootstrap interval of a mean, by scipy.

    Efron, Better bootstrap confidence intervals, JASA 82 (1987). It follows the skew of error metrics in part, and is
    too narrow for few patients: of skewed errors, 95 % intervals covered the mean in 87.8, 91.5, 92.2, 93.2, 93.9 and
    95.0 % of draws of 10, 20, 30, 50, 100 and 200 patients.

    Shapes:
        values: (patients,), finite, one a patient, so that a resample takes a patient with all her images.
    """
    if np.ptp(values) <= 1e-12 * np.abs(values).max():  # a constant, up to rounding
        return float(values[0]), float(values[0])
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        method="BCa",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def clustered_interval(
    table: pd.DataFrame,
    metric: str,
    model: str,
    reference: str | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    fewest: int = 10,
) -> Interval:
    """Mean over the patients and its bootstrap interval, patients resampled with all their images.

    Args:
        table: made by ``comparable``.
        metric: a column of it.
        model, reference: names of models; with a reference, the mean difference ``model - reference`` over the images
            that both have.
        confidence, resamples, seed: of the bootstrap.
        fewest: below so many patients there is no interval, and ``note`` says so.

    Raises:
        ValueError: for a metric or model that the table does not have.
    """
    images = by_image(table, metric, [model] if reference is None else [model, reference])
    values = images[model] if reference is None else images[model] - images[reference]
    return interval_over_patients(values, confidence, resamples, seed, fewest)


def interval_over_patients(
    images: pd.Series, confidence: float = 0.95, resamples: int = 2000, seed: int = 0, fewest: int = 10
) -> Interval:
    """``clustered_interval`` of values that are at hand: one an image, index as of ``by_image``, NaN left out."""
    images = images.dropna()
    values = by_patient(images.to_frame("value"))["value"].to_numpy()
    mean = float(values.mean()) if values.size else float("nan")
    if values.size < fewest:
        return Interval(mean, np.nan, np.nan, values.size, len(images), _too_few(values.size, fewest, "an interval"))
    return Interval(mean, *bootstrap_mean(values, confidence, resamples, seed), values.size, len(images))


def intervals(
    table: pd.DataFrame, metrics: Sequence[str], resamples: int = 2000, seed: int = 0, fewest: int = 10
) -> pd.DataFrame:
    """``clustered_interval`` of every metric and model: ``metric model gamma mean low high patients images note``."""
    gammas = table.drop_duplicates("model").set_index("model")["gamma"]
    rows = [
        {"metric": metric, "model": model, "gamma": gammas[model]}
        | interval_over_patients(images, resamples=resamples, seed=seed, fewest=fewest)._asdict()
        for metric in metrics
        for model, images in by_image(table, metric).items()
    ]
    return pd.DataFrame(rows)


def paired_test(
    table: pd.DataFrame,
    metric: str,
    models: Sequence[str] | None = None,
    reference: str | None = None,
    fewest: int = 6,
    resamples: int = 2000,
    seed: int = 0,
    claim: Collection[tuple[str, str]] | None = None,
) -> pd.DataFrame:
    """Paired Wilcoxon signed-rank test over patients, Holm-corrected over the pairs of this metric.

    A patient's value is the mean over the images that both models have; a difference is ``model - reference``.

    Args:
        table: made by ``comparable``.
        metric: a column of it.
        models: names of models; all but the floors by default.
        reference: compare every model with this one (a floor, for instance) instead of all pairs.
        fewest: below so many patients that differ there is no p-value, and ``note`` says so (six is the least at which
            a two-sided exact test can reach 5 %).
        resamples, seed: of the bootstrap interval of the mean difference.
        claim: pairs (model, reference) that were fixed beforehand and are corrected among themselves; all others are a
            family of their own, which explores.

    Returns:
        columns ``metric model reference patients images difference low high p p_holm note``, a row a pair; with
        ``claim`` also ``family``, ``claim`` or ``exploratory``, after ``p_holm``.

    Raises:
        ValueError: for a metric or model that the table does not have.
    """
    models = models_of(table) if models is None else list(models)
    if reference is None:
        pairs = [(later, earlier) for earlier, later in combinations(models, 2)]
    else:
        pairs = [(model, reference) for model in models if model != reference]
    rows = []
    for model, other in pairs:
        images = by_image(table, metric, [model, other]).dropna()
        patients = by_patient(images)
        difference = (patients[model] - patients[other]).to_numpy()
        found = interval_over_patients(images[model] - images[other], resamples=resamples, seed=seed)
        differing = int(np.count_nonzero(difference))
        enough = differing >= fewest
        row = {"metric": metric, "model": model, "reference": other, "patients": found.patients, "images": found.images}
        row |= {"difference": found.mean, "low": found.low, "high": found.high}
        row["p"] = float(signed_rank(difference)) if enough else np.nan
        rows.append(row | {"note": "" if enough else _too_few(differing, fewest, "a p-value", " that differ")})
    columns = ["metric", "model", "reference", "patients", "images", "difference", "low", "high", "p", "note"]
    tests = pd.DataFrame(rows, columns=columns)
    fixed = {frozenset(pair) for pair in claim or ()}
    family = ["claim" if frozenset(pair) in fixed else "exploratory" for pair in pairs]
    corrected = tests["p"].astype(float).groupby(np.array(family, str)).transform(lambda of: holm(of.to_numpy()))
    tests.insert(columns.index("note"), "p_holm", corrected)
    if claim is not None:
        tests.insert(columns.index("note") + 1, "family", family)
    return tests


def equivalence(
    table: pd.DataFrame,
    metric: str,
    model: str,
    reference: str,
    margin: float | None = None,
    share: float = 0.05,
    fewest: int = 6,
) -> dict[str, object]:
    """Two one-sided paired t-tests (TOST) over patients: is the model not worse than the reference, is it equivalent?

    "The background error does not rise" is the one-sided half of it: the difference is below the margin. The default
    margin, 5 % of the reference's own mean, is less than half of the spread that the paper itself shows between folds
    (an SD of 0.11 at an MSE of 0.40 is 27 %, some 14 % of an error in intensity): a rise that size would pass unseen in
    any single run, so that a smaller margin asks for a precision that one fold does not have. Patients, not images, are
    the unit. The p-values are approximate, for two reasons: a t-test does not follow the skew of errors, and the
    default margin follows the data. Skewed errors that are all 5 % higher, the margin itself, were declared "not worse"
    in 6.2 % of draws of 20 and 5.6 % of draws of 100 patients, instead of 5 %. Pass ``margin`` where one was fixed in
    advance. Where the reference's mean is 0 its share is no margin: the row says so and has no p-value.

    Args:
        table: made by ``comparable``.
        metric: a column of it.
        model, reference: names of models.
        margin: in the metric's unit, above 0; by default ``share`` of the reference's mean over patients.
        share: see ``margin``.
        fewest: below so many patients there is no p-value, and ``note`` says so.

    Returns:
        ``metric model reference patients images difference low high margin p_not_worse p_equivalent note``; ``low`` and
        ``high`` are the 90 % interval that belongs to two one-sided tests at 5 %.

    Raises:
        ValueError: for a metric or model that the table does not have, a metric that has no better and worse, or a
            margin that is not above 0.
    """
    from statsmodels.stats.weightstats import DescrStatsW, ttost_paired

    fewer = less_is_better(metric)
    if fewer is None:
        raise ValueError(f"{metric!r} is neither an error nor a quality, so that nothing of it can be worse.")
    images = by_image(table, metric, [model, reference]).dropna()
    patients = by_patient(images)
    ours, theirs = patients[model].to_numpy(), patients[reference].to_numpy()
    difference = ours - theirs
    of_reference = margin is None
    if margin is None:
        margin = share * abs(float(theirs.mean())) if theirs.size else np.nan
    no_margin = of_reference and share > 0 and margin == 0
    if margin <= 0 and not no_margin:
        raise ValueError(f"a margin of {margin:g} for {metric!r} of {model} against {reference}, expected one above 0.")
    row: dict[str, object] = {"metric": metric, "model": model, "reference": reference}
    row |= {"patients": difference.size, "images": len(images)}
    row["difference"] = float(difference.mean()) if difference.size else np.nan
    if difference.size < fewest or no_margin:
        nothing = {"low": np.nan, "high": np.nan, "margin": margin, "p_not_worse": np.nan, "p_equivalent": np.nan}
        why = f"the mean of {reference} is 0, and a share of it is no margin: fix one in advance"
        return row | nothing | {"note": why if no_margin else _too_few(difference.size, fewest, "a p-value")}
    if (
        np.ptp(difference) <= 1e-12 * np.abs(difference).max()
    ):  # no variance: t is infinite, and the one difference decides
        same = float(difference[0])
        worse, bigger = (same if fewer else -same) >= margin, abs(same) >= margin
        decided = {
            "low": same,
            "high": same,
            "margin": margin,
            "p_not_worse": float(worse),
            "p_equivalent": float(bigger),
        }
        return row | decided | {"note": "every patient has the same difference"}
    low, high = DescrStatsW(difference).tconfint_mean(alpha=0.10)
    both, above_lower, below_upper = ttost_paired(ours, theirs, -margin, margin)
    not_worse = (below_upper if fewer else above_lower)[1]
    row |= {"low": float(low), "high": float(high), "margin": margin}
    return row | {"p_not_worse": float(not_worse), "p_equivalent": float(both), "note": ""}


def _too_few(patients: int, fewest: int, what: str, which: str = "") -> str:
    return f"too few patients{which} for {what}: {patients}, at least {fewest} are needed"
