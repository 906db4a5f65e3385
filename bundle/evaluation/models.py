"""Whose rows they are: names that a reader knows, one row an image and model, one test part a patient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from .tables import FLOORS, LEADING

__all__ = ["comparable", "model_name", "models_of"]

CYCLEGAN, SEG_CYCLEGAN = "CycleGAN", "Seg-CycleGAN"
REQUIRED = ("case_id", "patient_id", "fold", "model", "gamma")


def model_name(model: str, gamma: float | None = None) -> str:
    """What a reader knows a model as: "CycleGAN", "Seg-CycleGAN g=35", a floor by its description.

    A name that is already a reader's stays as it is; a model of another kind keeps its name and gets its gamma.
    """
    if gamma is None or math.isnan(gamma) or model in FLOORS:
        return {"cyclegan": CYCLEGAN, "seg_cyclegan": SEG_CYCLEGAN}.get(model, FLOORS.get(model, model))
    if model in ("cyclegan", "seg_cyclegan", CYCLEGAN):
        return f"{SEG_CYCLEGAN} g={gamma:g}" if gamma else CYCLEGAN
    suffix = f" g={gamma:g}"
    return model if model.endswith(suffix) else model + suffix


def models_of(table: pd.DataFrame, floors: bool = False) -> list[str]:
    """Names of the models of a ``comparable`` table in their order (gamma rises), without or with the floors."""
    names = list(dict.fromkeys(table["model"]))
    return [name for name in names if floors or name not in FLOORS.values()]


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of all runs' metrics.csv, one below the other, made ready for every function of the evidence.

    Models get their reader's name and stand by rising gamma, floors last; a floor that several runs repeat is kept
    once; ``lesion_contrast_error`` = \\|virtual - real\\| is added where both contrasts are known.

    Args:
        table: the test parts of all folds and gammas, columns as in metrics.csv.

    Returns:
        one row an image and model, sorted by model, fold and case, with a new index.

    Raises:
        ValueError: with everything at once: columns that lack, an image that a model has twice, a floor that differs
            between two runs of a fold, a patient in the test parts of several folds.
    """
    lacking = [column for column in REQUIRED if column not in table]
    if lacking or table.empty:
        what = f"lacks {', '.join(lacking)}" if lacking else "has no rows"
        raise ValueError(
            f"the table of metrics {what}; expected metrics.csv of evaluated test parts, one after another."
        )
    named = table.astype({"case_id": str, "patient_id": str, "gamma": float})
    is_floor = named["model"].isin([*FLOORS, *FLOORS.values()])
    named["gamma"] = named["gamma"].where(~is_floor)
    named["model"] = [model_name(*pair) for pair in zip(named["model"], named["gamma"], strict=True)]
    quantities = [column for column in named.columns if column not in LEADING]
    named[quantities] = named[quantities].astype(float)
    if {"lesion_contrast_real", "lesion_contrast_virtual"} <= set(quantities):
        named["lesion_contrast_error"] = (named["lesion_contrast_virtual"] - named["lesion_contrast_real"]).abs()
    problems = _differing_floors(named[is_floor], quantities)
    named = named[~(is_floor & named.duplicated(["model", "case_id"]))]
    problems += _repeated_images(named) + _patients_of_several_folds(named)
    if problems:
        raise ValueError(f"the table of metrics has {len(problems)} problem(s):\n  " + "\n  ".join(problems))
    floor_rank = {name: rank for rank, name in enumerate(FLOORS.values(), start=1)}
    named["floor_rank"] = named["model"].map(floor_rank).fillna(0)
    named = named.sort_values(["floor_rank", "gamma", "model", "fold", "case_id"], kind="stable", na_position="first")
    return named.drop(columns="floor_rank").reset_index(drop=True)


def _differing_floors(floors: pd.DataFrame, quantities: Sequence[str], tolerance: float = 1e-3) -> list[str]:
    """A floor does not know the model, so that all runs of a fold must agree on it up to rounding."""
    groups = floors.groupby(["model", "case_id"], sort=False)[list(quantities)]
    spread, size = groups.max() - groups.min(), groups.max().abs()
    differing = spread.index[(spread > tolerance * size.clip(lower=tolerance)).any(axis=1)]
    return [
        f"{floor} of case {case!r} differs between runs: evaluate them all on the same images at the same size"
        for floor, case in differing
    ]


def _repeated_images(table: pd.DataFrame) -> list[str]:
    repeated = table[table.duplicated(["model", "case_id"])].drop_duplicates(["model", "case_id"])
    return [
        f"{model} has case {case!r} more than once: give each run its own name or gamma, and one test part each"
        for model, case in zip(repeated["model"], repeated["case_id"], strict=True)
    ]


def _patients_of_several_folds(table: pd.DataFrame) -> list[str]:
    folds = table.groupby("patient_id", sort=False)["fold"].agg(lambda column: sorted(set(column.dropna())))
    return [
        f"patient {patient!r} stands in the test parts of folds {', '.join(f'{fold:g}' for fold in several)}: "
        "all runs must share one folds.json"
        for patient, several in folds.items()
        if len(several) > 1
    ]
