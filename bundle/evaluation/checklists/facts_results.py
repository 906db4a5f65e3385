"""What a study says of its results: who was judged, by what, and how well."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ..report.collect import Run, columns_of
from ..report.page import words
from ..tables import less_is_better
from .study import EVALUATION, LIST, METRICS, PRIMARY, SHOWN, Known, Lacking, Said, Study
from .wording import counted, number, p_value

__all__ = ["FACTS", "estimate"]


def _headed(name: str, better: bool | None) -> str:
    return f"{words(name)} ({'less' if better else 'more'} is better)" if better is not None else words(name)


def numbers(study: Study) -> list[Said]:
    found: list[Said] = [
        Known(f"In the list {data.name}: {counted(data.datalist['cases'])}.", f"{LIST}: cases")
        for data in study.main_data
    ]
    if not study.evaluated:
        return [*found, *study.not_evaluated()]
    table = study.collection.table
    of_models = table[table["model"].isin(study.collection.trained)]
    for model, rows in of_models.groupby("model", sort=False):
        cases = rows.drop_duplicates("case_id")
        found.append(
            Known(
                f"Judged, {model}: {cases['patient_id'].nunique()} patients, {len(cases)} images, "
                f"{int(cases['has_seg'].sum())} with a lesion, in {cases['fold'].nunique()} fold(s).",
                METRICS,
            )
        )
    if note := study.collection.shared.note:
        found.append(Known(note, METRICS))
    judged = {run.folder for run in study.collection.runs}
    waiting = [run.name for run in study.trainings if run.folder not in judged]
    if waiting:
        found.append(
            Lacking(f"Trained or begun, and not evaluated: {', '.join(waiting)}. To do so, {study.evaluation_command}.")
        )
    return found


def tested_size(study: Study) -> list[Said]:
    if not study.evaluated:
        return study.not_evaluated()
    cases = study.collection.shared.table.drop_duplicates("case_id")
    patients = cases["patient_id"].nunique()
    found: list[Said] = [
        Known(
            f"Tables and tests rest on {patients} patients with {len(cases)} images, {int(cases['has_seg'].sum())} of "
            "them with a lesion. No calculation of a sample size was made.",
            METRICS,
        )
    ]
    if patients < 50:
        found.append(Known("Intervals of fewer than 50 patients are too narrow.", "docs/explanation/evidence.md"))
    return found


def evaluation_part(study: Study) -> list[Said]:
    if not study.evaluated:
        return study.not_evaluated()
    parts = list(dict.fromkeys(str(run.evaluation.get("part", "not recorded")) for run in study.collection.runs))
    folds = sorted(study.collection.table["fold"].dropna().unique())
    return [
        Known(
            f"{len(study.collection.runs)} evaluation(s) on the {' and '.join(parts)} part of fold(s) "
            f"{', '.join(f'{fold:g}' for fold in folds)}, each by a model that was not trained on it.",
            f"{EVALUATION}: part; {METRICS}",
        )
    ]


def external(study: Study) -> list[Said]:
    if not study.evaluated:
        return study.not_evaluated()
    other = []
    for run in study.collection.runs:
        judged = (run.evaluation.get("provenance") or {}).get("datalist_hash")
        trained = (run.evaluation.get("model") or run.card).get("datalist_hash")
        if judged is None or trained is None:
            return [Lacking("The records do not say on which list the models were trained and judged.")]
        if judged != trained:
            other.append(run.name)
    if not other:
        return [
            Known(
                "None: every model was judged on the list that it was trained on, on other patients of it.",
                f"{EVALUATION}: provenance#datalist_hash, model#datalist_hash",
            )
        ]
    return [
        Known(
            f"{len(other)} of {len(study.collection.runs)} evaluations are on another list than the model's own: "
            f"{', '.join(other)}. Whether that is another site, the list does not say.",
            f"{EVALUATION}: provenance#datalist_hash, model#datalist_hash",
        )
    ]


def metrics(study: Study) -> list[Said]:
    if not study.evaluated:
        return study.not_evaluated()
    found: list[Said] = [Known(f"{len(columns_of(study.collection.table))} columns are there.", METRICS)]
    for text in dict.fromkeys(filter(None, map(_thresholds, study.collection.runs))):
        found.append(Known(text, f"{EVALUATION}: config#evaluate#metrics"))
    return found


def _thresholds(run: Run) -> str:
    given = ((run.evaluation.get("config") or {}).get("evaluate") or {}).get("metrics") or {}
    if not {"enhancing_cnr", "least_share", "num_sd"} <= given.keys():
        return ""
    return (
        f"A lesion enhances from a contrast-to-noise of {given['enhancing_cnr']:g}; it is missed below "
        f"{given['least_share']:g} of its real contrast; invented is what exceeds the background by "
        f"{given['num_sd']:g} SD. These were chosen, not calibrated against readers."
    )


def statistics(study: Study) -> list[Said]:
    if not study.evaluated:
        return study.not_evaluated()
    models, floors = len(study.collection.trained), len(study.collection.models) - len(study.collection.trained)
    text = f"{models} model(s) and {floors} floor(s); {study.resamples} resamples of each bootstrap, seed 0."
    return [Known(text, "this page; bundle/evaluation/statistics.py")]


def primary_result(study: Study) -> list[Said]:
    if not study.evaluated:
        return study.not_evaluated()
    return [_of_metric(study, metric) for metric in (PRIMARY, "background_l1") if study.has(metric)]


def performance(study: Study) -> list[Said]:
    if not study.evaluated:
        return study.not_evaluated()
    return [_of_metric(study, metric) for metric in SHOWN if study.has(metric)]


def _of_metric(study: Study, metric: str) -> Said:
    table = study.evidence["intervals"]
    rows = table[table["metric"] == metric].to_dict("records")
    units, note = rows[0]["patients"], rows[0]["note"]
    if all(math.isnan(row["low"]) and row["note"] == note for row in rows):
        what, said = f"no interval ({note})", "; ".join(f"{row['model']} {number(row['mean'])}" for row in rows)
    else:
        what, said = "95 % interval", "; ".join(f"{row['model']} {estimate(row)}" for row in rows)
    heading = _headed(metric, less_is_better(metric))
    return Known(f"{heading}, mean over {units} patient(s), {what}: {said}.", f"{METRICS}: {metric}")


def estimate(row: dict[str, Any], mean: str = "mean") -> str:
    value, low, high = (row[key] for key in (mean, "low", "high"))
    if math.isnan(low) or math.isnan(high):
        return f"{number(value)} (no interval: {row.get('note') or 'too few patients'})"
    return f"{number(value)} ({number(low)} to {number(high)})"


def differences(study: Study) -> list[Said]:
    table = study.evidence.get("paired", pd.DataFrame())
    if not len(table):
        one = study.evaluated and len(study.collection.trained) < 2
        return [Known("One model alone: nothing to compare.", METRICS)] if one else []
    return [
        Known(
            f"{words(str(metric))}, model minus reference, 95 % interval, p after Holm: "
            + "; ".join(_difference(row) for row in rows.to_dict("records"))
            + ".",
            f"{METRICS}: {metric}",
        )
        for metric, rows in table.groupby("metric", sort=False)
    ]


def _difference(row: dict[str, Any]) -> str:
    p_text = f"no p: {row['note']}" if math.isnan(row["p_holm"]) else p_value(row["p_holm"])
    return f"{row['model']} minus {row['reference']} {estimate(row, 'difference')}, {p_text}"


def background(study: Study) -> list[Said]:
    """Whether the background's error rises: the second half of the claim."""
    table = study.evidence.get("equivalence", pd.DataFrame())
    return [
        Known(
            f"Background L1, {row['model']} minus {row['reference']}: {row['difference']:+#.3g}, 90 % interval "
            f"{row['low']:#.3g} to {row['high']:#.3g}, margin {row['margin']:#.2g}: {_not_worse(row)}.",
            f"{METRICS}: background_l1",
        )
        for row in table.to_dict("records")
    ]


def _not_worse(row: dict[str, Any]) -> str:
    if math.isnan(row["p_not_worse"]):
        return f"no test, {row['note']}"
    if row["low"] > row["margin"]:
        return "it rises, by more than the margin"
    shown = "not worse by more than the margin" if row["p_not_worse"] < 0.05 else "that it does not rise is not shown"
    return f"{shown} ({p_value(row['p_not_worse'])})"


FACTS = {
    fact.__name__: fact
    for fact in (
        numbers,
        tested_size,
        evaluation_part,
        external,
        metrics,
        statistics,
        primary_result,
        performance,
        differences,
        background,
    )
}
