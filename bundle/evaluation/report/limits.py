"""What the numbers of a report cannot say, in plain words and with its own counts."""

from __future__ import annotations

import numpy as np

from ..seeds import seeds_in_words
from .collect import Collection, columns_of
from .provenance import data_files

__all__ = ["left_out", "limits"]


def limits(collection: Collection) -> list[str]:
    """Sentences, the gravest first."""
    shared = collection.shared
    table = shared.table[shared.table["model"].isin(collection.trained)]
    cases = table.drop_duplicates("case_id")
    with_lesion = int(cases["has_seg"].sum())
    said = [
        "This is research software, not a medical device. A virtual DES is synthetic: it is computed from the LE "
        "image and was never acquired. It must not be used for diagnosis.",
        "A generator can erase a lesion that enhances and invent one that does not exist. Figures of similarity do not "
        "show this: repairing a small lesion perfectly hardly moves PSNR or SSIM of the whole image. Judge lesion "
        "values and pictures, never the whole-image average alone.",
        f"Tables and figures rest on {len(cases)} images of {cases['patient_id'].nunique()} patients in "
        f"{cases['fold'].nunique()} fold(s); {_of_lesions(with_lesion, len(cases))}. "
        "Images of one patient resemble each other: the patient is the unit of every test.",
        *([shared.note] if shared.note else []),
        *_of_training(collection),
        "No metric here says whether a reader would find a lesion or decide rightly; only a reader study with a "
        "reference standard can.",
        "Images are compared at the model's grid and range, after resizing and contrast stretching: fine "
        "calcifications and absolute contrast uptake are lost before any model sees them.",
        *_of_choice(collection),
        "One data set says little about another scanner, site or population.",
    ]
    if collection.is_phantom():
        said.insert(
            1,
            "The data come from a phantom, drawn by a program. Scores on it show that the software runs; they say "
            "nothing about clinical performance.",
        )
    return said


def _of_lesions(with_lesion: int, images: int) -> str:
    if with_lesion == images:
        return "all of them have a lesion map"
    return f"{with_lesion} images have a lesion map, the others do not" if with_lesion else "none has a lesion map"


def _of_training(collection: Collection) -> list[str]:
    """What tests and intervals hold fixed: the networks as they came out of one training each."""
    seeds = {run.run.get("seed", run.card.get("seed")) for run in collection.runs} - {None}
    listed = f" ({', '.join(map(str, sorted(seeds, key=str)))})" if seeds else ""
    fixed = (
        "The p-values and intervals hold these networks fixed: they say what other patients would change, not what "
        "another training would."
    )
    if said := seeds_in_words(collection.table):
        trained = (
            f"Models were trained with several seeds{listed}, {said}. A value of an image is the mean over its model's "
            "seeds, a finding the share of the seeds that have it; pictures are of the first seed. A mean over seeds "
            "is steadier than a single training, and its correlation with the real contrast usually higher: r is the "
            f"mean of the trainings' own, and the table of seeds says how far they lie apart. {fixed}"
        )
    else:
        trained = (
            f"Every network was trained once, each from one seed{listed}. {fixed} A new seed may turn a small "
            "difference round."
        )
    return [
        trained,
        "Folds share most of their training patients: the SD over the folds is no standard error, and differences must "
        "not be judged by it.",
        "Intervals of fewer than 50 patients are too narrow.",
    ]


def _of_choice(collection: Collection) -> list[str]:
    """Fold ``f`` validates on the test part of fold ``f + 1``: a choice over several folds has seen tested patients."""
    choice = collection.choice
    values = {**(choice.get("values") or {}), **(choice.get("methods") or {})}
    chosen_on = {int(fold) for found in values.values() for fold in found["folds"]}
    tested = set(collection.table["fold"].dropna())
    last = {folds["k"] - 1 for folds in data_files(collection, "folds").values() if folds.get("k")}
    validated = {fold + 1 for fold in chosen_on} | ({0} if chosen_on & last else set())
    overlap = sorted({*(validated & tested), *(choice.get("overlap") or [])})
    what = "model" if "model" in choice else "gamma"
    if choice.get(what) is None or not overlap:
        return []
    subject = "The model" if what == "model" else "Gamma"
    return [
        f"{subject} was chosen on validation parts. No file of a test part was read; but fold(s) "
        f"{', '.join(f'{fold:g}' for fold in overlap)} are the validation part of one run and the test part of another "
        f"and took part in the choice, so the chosen {what} looks a little too good. What each fold chooses by its "
        "own validation part has seen none of its test patients."
    ]


def left_out(collection: Collection) -> list[dict[str, object]]:
    """Values that no average can hold: a row a model and column, with how many are infinite or not defined."""
    rows: list[dict[str, object]] = []
    shared = collection.shared.table
    for name in collection.models:
        table = shared[shared["model"] == name]
        for column in columns_of(table):
            values = table[column].to_numpy(dtype=float)
            infinite, absent = int(np.isinf(values).sum()), int(np.isnan(values).sum())
            if infinite or absent:
                rows.append(
                    {
                        "model": name,
                        "column": column,
                        "images": len(values),
                        "infinite": infinite,
                        "not defined": absent,
                    }
                )
    return rows
