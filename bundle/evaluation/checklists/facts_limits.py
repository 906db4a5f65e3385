"""What a study says of where its models fail: floors, failures, subgroups, limits, oddities."""

from __future__ import annotations

import math

import pandas as pd

from ..models import models_of
from ..report.limits import limits
from ..report.page import words
from ..report.provenance import inconsistencies
from ..tables import FLOORS, less_is_better
from .facts_results import estimate
from .study import LIST, METRICS, PRIMARY, SHOWN, Known, Lacking, Said, Study
from .wording import number

__all__ = ["FACTS"]

LIMITS = f"bundle/evaluation/report/limits.py; {METRICS}"


def floors(study: Study) -> list[Said]:
    """Where a model is not better than handing LE on, or than a constant, by its mean over patients."""
    table = study.evidence.get("intervals", pd.DataFrame())
    if not len(table):
        return []
    found: list[Said] = []
    for metric in (metric for metric in SHOWN if study.has(metric)):
        means = table[table["metric"] == metric].set_index("model")["mean"]
        sign = -1 if less_is_better(metric) else 1
        worse = [
            f"{floor} ({model})"
            for model in study.collection.trained
            for floor in FLOORS.values()
            if floor in means and model in means and not sign * means[model] > sign * means[floor]
        ]
        if worse:
            found.append(
                Known(
                    f"Floors that a model does not beat in the mean of {words(metric)}: {', '.join(worse)}.",
                    f"{METRICS}: {metric}",
                )
            )
    there = [name for name in FLOORS.values() if name in set(table["model"])]
    if not there:
        return [Lacking("No floors were computed: evaluate again with configs/evaluate.json.")]
    return found or [
        Known(f"Every model beats {' and '.join(there)} in the mean of {', '.join(map(words, SHOWN))}.", METRICS)
    ]


def failures(study: Study) -> list[Said]:
    if not study.evaluated:
        return study.not_evaluated()
    found: list[Said] = []
    rows = study.collection.shared.table
    for model in study.collection.trained:
        of_model = rows[rows["model"] == model]
        said = []
        if "enhancement_missed" in of_model and of_model["enhancement_missed"].notna().any():
            missed = of_model["enhancement_missed"].dropna()
            said.append(f"enhancement missed in {int(missed.sum())} of {len(missed)} images whose lesion enhances")
        if "invented_count" in of_model and of_model["invented_count"].notna().any():
            invented = of_model["invented_count"].dropna()
            said.append(f"enhancement invented in {int((invented > 0).sum())} of {len(invented)} images")
        if said:
            found.append(Known(f"{model}: {'; '.join(said)}.", f"{METRICS}: enhancement_missed, invented_count"))
    slopes = study.evidence.get("agreement", pd.DataFrame())
    for row in slopes[slopes["model"].isin(study.collection.trained)].to_dict("records") if len(slopes) else []:
        if not math.isnan(row.get("slope_low", math.nan)):
            follows = "it follows" if row["slope_low"] > 0 else "no sign that it follows"
            found.append(
                Known(
                    f"{row['model']}: slope of virtual over real lesion contrast {row['slope']:.2f} (95 % interval "
                    f"{row['slope_low']:.2f} to {row['slope_high']:.2f}; 1 would be right): {follows}.",
                    f"{METRICS}: lesion_contrast_real, lesion_contrast_virtual",
                )
            )
    worst = study.evidence.get("exemplary", pd.DataFrame())
    for row in worst[worst["rank"] == "worst"].to_dict("records") if len(worst) else []:
        found.append(
            Known(
                f"{row['model']}, worst patient: {words(row['metric'])} {number(row['value'])}; see the report.",
                f"{METRICS}: {row['metric']}",
            )
        )
    return found


def strata_made(study: Study) -> list[Said]:
    table = study.evidence.get("strata", pd.DataFrame())
    if not len(table):
        return [] if study.evaluated else study.not_evaluated()
    names = ", ".join(dict.fromkeys(table["stratum"]))
    return [Known(f"Means and intervals within strata of {names}; no tests.", f"{METRICS}; {LIST}: cases")]


def subgroups(study: Study) -> list[Said]:
    table = study.evidence.get("strata", pd.DataFrame())
    if not len(table):
        return []
    metric = PRIMARY if (table["metric"] == PRIMARY).any() else "l1"
    rows = table[(table["metric"] == metric) & table["model"].isin(study.collection.trained)]
    return [
        Known(
            f"{words(metric)}, {stratum} {value} ({of_level.iloc[0]['patients']} patients): "
            + "; ".join(f"{row['model']} {estimate(row)}" for row in of_level.to_dict("records"))
            + ".",
            f"{METRICS}: {metric}; {LIST}: cases",
        )
        for (stratum, value), of_level in rows.groupby(["stratum", "value"], sort=False)
    ]


def by_fold(study: Study) -> list[Said]:
    if not study.evaluated:
        return study.not_evaluated()
    table = study.collection.shared.table
    metric = PRIMARY if PRIMARY in table and table[PRIMARY].notna().any() else "l1"
    found: list[Said] = []
    for model in models_of(table):
        of_model = table[table["model"] == model]
        patients = of_model.groupby(["fold", "patient_id"])[metric].mean()
        folds = ", ".join(f"fold {fold:g} {number(value)}" for fold, value in patients.groupby("fold").mean().items())
        found.append(
            Known(f"{words(metric)} of {model}, mean over the patients of a fold: {folds}.", f"{METRICS}: {metric}")
        )
    return found


def detectability(study: Study) -> list[Said]:
    table = study.evidence.get("detectability", pd.DataFrame())
    if not len(table):
        return []
    known = table.dropna(subset="lesion Dice")
    said = ", ".join(f"{row['model']} {row['lesion Dice']:.3g}" for row in known.to_dict("records"))
    if not said:
        return []
    return [
        Known(
            f"Lesion Dice of a small U-Net, trained on real DES, mean over folds: {said}. It is no reader.",
            "eval/detectability.json",
        )
    ]


def limitations(study: Study) -> list[Said]:
    if not study.evaluated:
        return study.not_evaluated()
    found: list[Said] = [Known(sentence, LIMITS) for sentence in limits(study.collection)]
    if study.collection.shared.table["has_seg"].all():
        text = "No image without a lesion was judged: what the models make of a healthy breast is not known."
        found.append(Known(text, f"{METRICS}: has_seg"))
    return found


def oddities(study: Study) -> list[Said]:
    """What a reviewer would ask about the runs themselves."""
    collection = study.collection
    return [Lacking(note) for note in [*collection.notes, *inconsistencies(collection)]]


FACTS = {
    fact.__name__: fact
    for fact in (
        floors,
        failures,
        strata_made,
        subgroups,
        by_fold,
        detectability,
        limitations,
        oddities,
    )
}
