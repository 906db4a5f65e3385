"""The images that all trained models were judged on: where a cross-validation is not complete, the rest is cut away."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from .models import models_of

__all__ = ["SharedImages", "shared_images"]


class SharedImages(NamedTuple):
    """What can be compared, and what was left out for it.

    Attributes:
        table: rows of the images that every trained model has, floors cut to them; every row where they share none.
        folds, patients, images: how many were left out altogether.
        note: a sentence on it, empty where every model has every image.
    """

    table: pd.DataFrame
    folds: int = 0
    patients: int = 0
    images: int = 0
    note: str = ""


def shared_images(table: pd.DataFrame) -> SharedImages:
    """Cut a table to the images on which every trained model was judged.

    One model alone shares all of its images. Models that share none keep their rows, each for itself, and the note
    says that they must not be compared.

    Args:
        table: made by ``comparable``.
    """
    models = models_of(table)
    trained = table[table["model"].isin(models)]
    judged_by = trained.groupby("case_id")["model"].nunique()
    shared = judged_by.index[judged_by == len(models)]
    if not models or (len(shared) == len(judged_by) and table["case_id"].isin(shared).all()):
        return SharedImages(table)
    if shared.empty:
        return SharedImages(
            table, note="The models share no image: each row rests on images of its own, so compare no two of them."
        )
    kept = table[table["case_id"].isin(shared)].reset_index(drop=True)
    before, after = _counts(table), _counts(kept)
    folds, patients, images = (all_ - some for all_, some in zip(before, after, strict=True))
    note = (
        f"Only the {after[2]} images of {after[1]} patients in {after[0]} fold(s) that every model was judged on; "
        f"left out: {images} images, {patients} whole patients, {folds} whole fold(s)."
    )
    return SharedImages(kept, folds, patients, images, note)


def _counts(table: pd.DataFrame) -> tuple[int, int, int]:
    return table["fold"].nunique(dropna=False), table["patient_id"].nunique(), table["case_id"].nunique()
