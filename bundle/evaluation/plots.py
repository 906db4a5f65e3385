"""Plots of the numbers: Bland-Altman of lesion enhancement, and metrics against gamma."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .agreement import enhancement_pairs, limits_of_agreement
from .models import models_of
from .tables import FLOORS, less_is_better

__all__ = ["bland_altman", "metric_against_gamma"]

# Okabe and Ito's colours, told apart with every kind of colour vision (jfly.uni-koeln.de/color)
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"


def bland_altman(table: pd.DataFrame, models: Sequence[str] | None = None) -> Figure:
    """Lesion contrast, virtual - real DES against their mean: a picture a model on shared axes, a point a patient.

    The solid line is the bias, the dashed ones are the limits of agreement (bias ± 1.96 SD), see ``agreement``.

    Args:
        table: made by ``comparable``.
        models: names of models; all but the floors by default.

    Raises:
        ValueError: without a model, or when the table has no lesion contrasts.
    """
    models = models_of(table) if models is None else list(models)
    if not models:
        raise ValueError("the figure needs one model at least.")
    figure = Figure(figsize=(2.9 * len(models) + 0.6, 3.0), layout="constrained")
    axes = figure.subplots(1, len(models), squeeze=False, sharex=True, sharey=True)[0]
    for axis, model in zip(axes, models, strict=True):
        pairs = enhancement_pairs(table, model)
        lower, bias, upper = limits_of_agreement(pairs["difference"])
        axis.scatter(pairs["mean"], pairs["difference"], s=14, color=BLUE, alpha=0.7, linewidths=0)
        axis.axhline(0, color="0.7", linewidth=0.8, zorder=0)
        for height, style in ((bias, "-"), (lower, "--"), (upper, "--")):
            if np.isfinite(height):
                axis.axhline(height, color=ORANGE, linestyle=style, linewidth=1.2)
        limits = f"bias {bias:+.3f}, limits ± {upper - bias:.3f} (1.96 SD)"
        axis.set_title(f"{model}\n{limits}\n{len(pairs)} patients", fontsize=9)
        axis.set_xlabel("mean of real and virtual contrast", fontsize=8)
        axis.tick_params(labelsize=8)
    axes[0].set_ylabel("virtual - real lesion contrast", fontsize=8)
    return figure


def metric_against_gamma(intervals: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Means over patients with their 95 % intervals against gamma, a picture a metric, floors as lines.

    Args:
        intervals: made by ``statistics.intervals``; an interval that is NaN leaves the mean alone.
        metrics: names in its column ``metric``.

    Raises:
        ValueError: when a metric is not in the table.
    """
    lacking = [metric for metric in metrics if metric not in set(intervals["metric"])]
    if lacking or not metrics:
        has = ", ".join(dict.fromkeys(intervals["metric"]))
        raise ValueError(f"no metric {', '.join(map(repr, lacking)) or 'named'}; the table has {has}.")
    figure = Figure(figsize=(3.0 * len(metrics) + 0.4, 3.0), layout="constrained")
    axes = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axis, metric in zip(axes, metrics, strict=True):
        rows = intervals[intervals["metric"] == metric]
        swept = rows.dropna(subset=["gamma"]).sort_values("gamma")
        reach = np.array([swept["mean"] - swept["low"], swept["high"] - swept["mean"]], dtype=float)
        place = np.arange(len(swept))  # gammas evenly apart: 0, 10, 35, 100 and 200 stay apart to the eye
        axis.errorbar(
            place,
            swept["mean"].to_numpy(float),
            yerr=np.clip(np.nan_to_num(reach), 0, None),
            color=BLUE,
            marker="o",
            capsize=4,
        )
        axis.set_xticks(place, [f"{gamma:g}" for gamma in swept["gamma"]])
        axis.margins(x=0.15)
        for (name, colour), style in zip(zip(FLOORS.values(), (ORANGE, GREEN), strict=True), ("--", ":"), strict=True):
            for height in rows.loc[rows["model"] == name, "mean"].dropna():
                axis.axhline(height, color=colour, linestyle=style, linewidth=1.2, label=name)
        fewer = less_is_better(metric)
        good = "" if fewer is None else " (less is better)" if fewer else " (more is better)"
        axis.set_title(metric.replace("_", " ") + good, fontsize=9)
        axis.set_xlabel("gamma", fontsize=8)
        axis.tick_params(labelsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure
