"""The tables and figures of a report, each with a heading and a sentence: those of tables stand in exhibits.json."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..agreement import REAL
from ..copying import copying
from ..evidence import CLAIM, evidence
from ..models import CYCLEGAN, SEG_CYCLEGAN, is_of_the_paper, model_name
from ..paper_figures import error_maps, models_panel, triple
from ..plots import bland_altman, metric_against_gamma
from ..seeds import seeds_in_words
from ..statistics import paired_test
from ..tables import FLOORS
from .collect import Collection, Run
from .model_size import model_size
from .pictures import read_grey, read_unit

__all__ = ["Exhibit", "figures", "tables"]

logger = logging.getLogger(__name__)
REAL_DES = "real DES"
OWN_CHOICE = "each fold's own choice"
LAYOUTS = ("paper", "lesion", "breast")
OF_ALL = ("test_parts", "choice", "detectability")  # tables that do not rest on the shared images of the table


class Exhibit(NamedTuple):
    """``name`` is that of a file; ``content`` a table or a figure; a closed one opens on a click.

    ``note`` stands below it; ``headings`` name columns of a table otherwise than by their words.
    """

    name: str
    title: str
    caption: str
    content: Any
    open: bool = True
    note: str = ""
    headings: Mapping[str, str] = {}


def tables(
    collection: Collection, cases: Iterable[Mapping[str, Any]] = (), resamples: int = 2000, seed: int = 0
) -> list[Exhibit]:
    """All tables of :func:`bundle.evaluation.evidence`, and copying of LE, choice of a model, what
    each fold's own choice has on its test part, detectability, where known.

    Args:
        collection: the runs.
        cases: of the datalist, for the strata.
        resamples, seed: of every bootstrap.
    """
    found = evidence(collection.rows, _with_areas(collection, cases), resamples=resamples, seed=seed)
    found |= {"choice": _choice(collection), "detectability": _detectability(collection)}
    found["nested"] = _nested(collection, [CYCLEGAN, *FLOORS.values()], {"resamples": resamples, "seed": seed})
    found["copying"] = copying(collection.shared.table, resamples, seed)
    headings = json.loads(Path(__file__).with_name("exhibits.json").read_text(encoding="utf-8"))
    headings |= {name: {"title": name.replace("_", " ")} for name in found if name not in headings}
    notes = {name: "" if name in OF_ALL else collection.shared.note for name in headings}
    if said := seeds_in_words(collection.table):
        for name in (*LAYOUTS, *(f"{layout}_by_patient" for layout in LAYOUTS), "agreement"):
            notes[name] = f"Each value of an image is the mean over its model's seeds: {said}. {notes[name]}".strip()
    notes["paper"] = f"{model_size(collection)} {notes['paper']}".strip()
    notes["agreement"] = f"{_not_followed(found.get('agreement'), collection.trained)} {notes['agreement']}".strip()
    return [
        Exhibit(
            name,
            heading["title"],
            heading.get("caption", ""),
            found[name],
            heading.get("open", False),
            notes[name],
            heading.get("columns", {}),
        )
        for name, heading in headings.items()
        if len(found.get(name, ()))
    ]


def _with_areas(collection: Collection, cases: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Cases with the area of their lesions from the kept maps, where metrics.csv does not have it (older runs)."""
    of_cases = {str(case["case_id"]): case for case in cases}
    table = collection.table[collection.table["has_seg"]]
    known = table.loc[table["lesion_area"].notna(), "case_id"] if "lesion_area" in table else []
    for case_id in set(table["case_id"]) - set(known):
        path = collection.images.get(case_id, {}).get("seg")
        try:
            area = int(np.count_nonzero(read_grey(path) > 127)) if path else None
        except (ValueError, OSError):  # the report says so where it shows the pictures
            continue
        if area:
            of_cases[case_id] = {"case_id": case_id, **of_cases.get(case_id, {}), "lesion_area": area}
    return list(of_cases.values())


def _not_followed(agreement: pd.DataFrame | None, trained: Iterable[str]) -> str:
    """A plain sentence on the models whose lesion contrast does not rise with the real one."""
    if agreement is None or "slope_low" not in agreement:
        return ""
    flat = agreement[agreement["model"].isin(list(trained)) & (agreement["slope_low"] <= 0)]
    said = [
        f"No sign that the virtual lesion contrast of {row.model} follows the real one: slope {row.slope:.2f}, 95 % "
        f"interval {row.slope_low:.2f} to {row.slope_high:.2f}."
        for row in flat.itertuples()
    ]
    return " ".join(said)


def _choice(collection: Collection) -> pd.DataFrame:
    """A row a gamma or method: its validation error by fold and their mean, and which one was chosen."""
    choice = collection.choice
    values: Mapping[str, Any] = choice.get("values") or {}
    methods: Mapping[str, Any] = choice.get("methods") or {}
    rows = []
    for name, found in {**values, **methods}.items():
        gamma = float(name) if name in values else math.nan
        row: dict[str, Any] = {"model": model_name("cyclegan" if name in values else name, gamma)} if methods else {}
        chosen = choice.get("model") in (f"gamma_{name}", name) if methods else choice.get("gamma") == gamma
        row |= {"gamma": gamma, "validation error": choice.get("key"), "mean": found["mean"]}
        row |= {f"fold {fold}": value for fold, value in found["folds"].items()}
        row |= {f"seed {seed}": value for seed, value in (found.get("seeds") or {}).items()}
        row["chosen"] = "yes" if chosen else ""
        if nested := choice.get("nested"):
            folder = f"gamma_{name}" if name in values else name
            row["chosen of"] = ", ".join(f"fold {fold}" for fold, of_fold in nested.items() if of_fold == folder)
        rows.append(row)
    return pd.DataFrame(rows)


def _nested(collection: Collection, references: Iterable[str], bootstrap: Mapping[str, Any]) -> pd.DataFrame:
    """Test rows of the model that each fold would have chosen by its own validation part, against references."""
    names = {
        int(fold): _name_of(collection, folder) for fold, folder in (collection.choice.get("nested") or {}).items()
    }
    table = collection.shared.table
    own = table[table["model"] == table["fold"].map(names)].assign(model=OWN_CHOICE)
    if own.empty:
        return pd.DataFrame()
    rows = pd.concat([table[table["fold"].isin(own["fold"])], own], ignore_index=True)
    note = "; ".join(f"fold {fold:g}: {names[fold]}" for fold in sorted(own["fold"].unique()))
    parts = [
        paired_test(rows, metric, [OWN_CHOICE], reference, **bootstrap).assign(chosen=note)
        for metric in CLAIM
        if metric in rows and rows[metric].notna().any()
        for reference in references
        if reference in set(rows["model"])
    ]
    return pd.concat(parts, ignore_index=True).drop(columns=["model", "p_holm"]) if parts else pd.DataFrame()


def _name_of(collection: Collection, folder: str) -> str | None:
    """The name that a reader knows the model of a study's folder by; None where it was not judged."""
    own = [run.table for run in collection.runs if folder and run.name.startswith(f"{folder}/")]
    judged = {model_name(*pair) for table in own for pair in zip(table["model"], table["gamma"], strict=True)}
    return next((name for name in collection.trained if name in judged), None)


def _detectability(collection: Collection) -> pd.DataFrame:
    """Lesion Dice and kernel distance of the real DES, every model and the floors: mean and SD (ddof 1) over folds."""
    values = [
        {"name": name, "fold": run.table["fold"].min(), "quantity": quantity, "value": value}
        for run in collection.runs
        for quantity in ("lesion_dice", "kid_random_features")
        for name, value in _of_names(run, quantity).items()
    ]
    if not values:
        return pd.DataFrame()
    # a floor, and the real DES, stand in the runs of every gamma: each fold counts once
    of_folds = pd.DataFrame(values).groupby(["quantity", "name", "fold"], dropna=False)["value"].mean()
    of_folds = pd.concat([_of_shared_folds(of, collection.trained) for _, of in of_folds.groupby("quantity")])
    found = of_folds.groupby(["quantity", "name"]).agg(["mean", "std", "count"])
    rows = []
    for name in (REAL_DES, *collection.models):
        row: dict[str, Any] = {"model": name}
        for quantity, heading, short in (
            ("lesion_dice", "lesion Dice", "Dice"),
            ("kid_random_features", "KID of random features", "KID"),
        ):
            known = (quantity, name) in found.index
            mean, sd, folds = found.loc[(quantity, name)] if known else (float("nan"), float("nan"), 0)
            row |= {heading: mean, f"{short}, SD": sd, f"{short}, folds": int(folds)}
        rows.append(row)
    return pd.DataFrame(rows)


def _of_shared_folds(values: pd.Series, trained: Iterable[str]) -> pd.Series:
    """Values of the folds that every model with a value has, all of them where there is no such fold."""
    models = values[values.index.get_level_values("name").isin(list(trained))]
    judged_by = models.groupby("fold", dropna=False).size()
    shared = judged_by.index[judged_by == models.index.get_level_values("name").nunique()]
    return values[values.index.get_level_values("fold").isin(shared)] if len(shared) else values


def _of_names(run: Run, quantity: str) -> dict[str, float]:
    """Values by the names that a reader knows; what could not be had, or is infinite, is left out."""
    gamma = run.table["gamma"].max()
    found = run.detectability.get(quantity) or {}
    known = {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}
    return {REAL_DES if name == "real" else model_name(name, gamma): value for name, value in known.items()}


def figures(collection: Collection, of_tables: Iterable[Exhibit]) -> list[Exhibit]:
    """Plots of the numbers, then the paper's Figures 1, 3 and 4 of the best, median and worst patient.

    Args:
        collection: the runs.
        of_tables: what :func:`tables` gave.
    """
    found = {exhibit.name: exhibit.content for exhibit in of_tables}
    exhibits = []
    note = collection.shared.note
    if "intervals" in found:
        metrics = [metric for metric in CLAIM if metric in set(found["intervals"]["metric"])][:4]
        names = found["intervals"]["model"]
        swept = found["intervals"][names.map(is_of_the_paper) | names.isin(list(FLOORS.values()))]
        if metrics and swept.dropna(subset="gamma")["gamma"].nunique() > 1:
            figure = metric_against_gamma(swept, metrics)
            exhibits.append(
                Exhibit("gamma", "Metrics against gamma", "Means over patients, 95 % intervals.", figure, note=note)
            )
    if "agreement" in found:
        caption = (
            "Virtual minus real lesion contrast against their mean, a point a patient. Solid: the bias. Dashed: the "
            "limits of agreement, bias ± 1.96 SD, between which some 95 % of patients lie: no interval of the bias."
        )
        figure = bland_altman(collection.shared.table)
        exhibits.append(Exhibit("bland_altman", "Lesion enhancement (Bland-Altman)", caption, figure, note=note))
    return exhibits + [exhibit for row in _exemplary(collection, found) for exhibit in _pictures(collection, row)]


def _exemplary(collection: Collection, found: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Rows of the model whose patients are shown: the one chosen on validation data, else the first Seg-CycleGAN."""
    table = found.get("exemplary")
    if table is None:
        return []
    weighted = [name for name in collection.trained if name.startswith(SEG_CYCLEGAN)]
    choice = collection.choice
    folder = choice.get("model") or ("" if choice.get("gamma") is None else f"gamma_{choice['gamma']:g}")
    model = _name_of(collection, folder) or (weighted or collection.trained)[0]
    return table[table["model"] == model].to_dict("records")


def _pictures(collection: Collection, row: Mapping[str, Any]) -> list[Exhibit]:
    files = collection.images.get(str(row["case_id"]), {})
    virtual = [model for model in collection.trained if model in files]
    if not virtual or not {"le", "des", "seg"} <= files.keys():
        return []
    try:
        images = {key: read_unit(path) for key, path in files.items()}
        drawn: dict[str, Figure] = {
            "triple": triple(images),
            "models": models_panel(images, {model: images[model] for model in virtual}),
            "errors": error_maps(images, {model: images[model] for model in virtual}),
        }
    except (ValueError, OSError) as error:
        logger.warning(f"no figures of {row['case_id']}: {error}")
        return []
    caption = (
        f"{row['case_id']}, the {row['rank']} patient by {str(row['metric']).replace('_', ' ')} of {row['model']} "
        f"(patient's mean {row['value']:.4g}, this image {row['image_value']:.4g})"
    )
    if "seeds" in collection.table:
        caption += "; pictures are of the first seed, values means over the seeds"
    contrast = float(row.get(REAL, math.nan))
    if not math.isnan(contrast):
        caption += f"; real lesion contrast {contrast:+.3f}" + ("" if contrast > 0 else ": the lesion does not enhance")
    titles = {
        "triple": "LE, DES and lesion map",
        "models": "All models, the lesion in the red box",
        "errors": "Absolute error on one scale",
    }
    shown = drawn if row["rank"] == "median" else {key: drawn[key] for key in ("models", "errors")}
    return [Exhibit(f"{row['rank']}_{key}", titles[key], caption, figure) for key, figure in shown.items()]
