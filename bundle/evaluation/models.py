"""Whose rows they are: names that a reader knows, one row an image and model, one test part a patient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from .tables import DESCRIBING, FLOORS

__all__ = ["METHODS", "comparable", "is_of_the_paper", "model_name", "models_of", "named"]

CYCLEGAN, SEG_CYCLEGAN = "CycleGAN", "Seg-CycleGAN"
# root key `method` of an overlay -> what a reader knows it as, in the order of the tables
METHODS = {
    "paired": "CycleGAN + paired L1",
    "structural": "CycleGAN + structural similarity",
    "gamma_by_area": "Seg-CycleGAN, g by lesion area",
    "gamma_by_ratio": "Seg-CycleGAN, g by ratio",
    "gamma_by_dual": "Seg-CycleGAN, g by dual ascent",
    "lesion_discriminator_concatenate": "CycleGAN, discriminators see the map",
    "lesion_discriminator_weight": "CycleGAN, adversarial loss weighted in lesions",
    "lesion_discriminator_crops": "CycleGAN, discriminator of lesion crops",
    "resize": "CycleGAN, resize-convolution",
    "pool_decay": "CycleGAN, pool and decay",
    "averaged": "CycleGAN, averaged weights",
    "lesion_weighted": "CycleGAN, lesion pixels weighted",
    "resnet_l1": "ResNet, L1",
    "unet_l1": "U-Net, L1",
    "autoencoder": "autoencoder, L1",
    "pix2pix": "Pix2Pix (ResNet, LSGAN)",
}
REQUIRED = ("case_id", "patient_id", "fold", "model", "gamma")


def model_name(model: str, gamma: float | None = None) -> str:
    """What a reader knows a model as: "CycleGAN", "Seg-CycleGAN g=35", "U-Net, L1", a floor by its description.

    A name that is already a reader's stays as it is; a method of another kind keeps its name, and gets its gamma where
    that is above 0. A stack ``paired+averaged`` is named by its methods.
    """
    if model in FLOORS:
        return FLOORS[model]
    known_gamma = gamma is not None and not math.isnan(gamma)
    if model in ("cyclegan", "seg_cyclegan", CYCLEGAN):
        bare = SEG_CYCLEGAN if model == "seg_cyclegan" and not known_gamma else CYCLEGAN
        return f"{SEG_CYCLEGAN} g={gamma:g}" if known_gamma and gamma else bare
    stack = model.split("+")
    others = [_bare(METHODS[method]).removeprefix(CYCLEGAN) for method in stack[1:] if method in METHODS]
    name = "".join([METHODS[stack[0]], *others]) if set(stack) <= METHODS.keys() else model
    if not known_gamma or not gamma or name in FLOORS.values():
        return name
    suffix = f" g={gamma:g}"
    if name.endswith(suffix):
        return name
    return (f"{SEG_CYCLEGAN}{name.removeprefix(CYCLEGAN)}" if name.startswith(CYCLEGAN) else name) + suffix


def _bare(name: str) -> str:
    return name.removeprefix("Seg-")


def is_of_the_paper(name: str) -> bool:
    """Whether a reader's name is that of the paper's own method, at any gamma."""
    return name == CYCLEGAN or name.startswith(f"{SEG_CYCLEGAN} g=")


def models_of(table: pd.DataFrame, floors: bool = False) -> list[str]:
    """Names of the models of a ``comparable`` table in their order, without or with the floors.

    The paper's stand first by rising gamma, and whatever nobody has named; then the methods in the order of
    ``METHODS``.
    """
    names = list(dict.fromkeys(table["model"]))
    return [name for name in names if floors or name not in FLOORS.values()]


def named(table: pd.DataFrame) -> pd.DataFrame:
    """Rows with the reader's names, quantities as numbers, ``lesion_contrast_error`` where both contrasts are known.

    Raises:
        ValueError: for columns that lack, or no rows.
    """
    lacking = [column for column in REQUIRED if column not in table]
    if lacking or table.empty:
        what = f"lacks {', '.join(lacking)}" if lacking else "has no rows"
        raise ValueError(
            f"the table of metrics {what}; expected metrics.csv of evaluated test parts, one after another."
        )
    rows = table.astype({"case_id": str, "patient_id": str, "gamma": float})
    is_floor = rows["model"].isin([*FLOORS, *FLOORS.values()])
    rows["gamma"] = rows["gamma"].where(~is_floor)
    rows["model"] = [model_name(*pair) for pair in zip(rows["model"], rows["gamma"], strict=True)]
    quantities = _quantities(rows)
    rows[quantities] = rows[quantities].astype(float)
    contrasts = {"lesion_contrast_real", "lesion_contrast_virtual"} <= set(quantities)
    if contrasts and "lesion_contrast_error" not in quantities:  # that of a mean over seeds is no error of its contrast
        rows["lesion_contrast_error"] = (rows["lesion_contrast_virtual"] - rows["lesion_contrast_real"]).abs()
    return rows


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of all runs' metrics.csv, one below the other, made ready for every function of the evidence.

    Models get their reader's name and stand in the order of :func:`models_of`, floors last; of a floor that several
    runs repeat the row with the most known columns is kept (older runs lack some); ``lesion_contrast_error`` =
    \\|virtual - real\\| is added where both contrasts are known. Where a model was trained with several seeds, the row
    of an image holds the mean over them of each column (of values of that image: a finding becomes the share of the
    seeds that have it), and ``seeds`` says of how many.

    Args:
        table: the test parts of all folds and models, columns as in metrics.csv, and ``seed`` where there are several.

    Returns:
        one row an image and model, sorted by model, fold and case, with a new index; ``seeds`` where any model has
        several.

    Raises:
        ValueError: with everything at once: columns that lack, an image that a model has twice with one seed, a floor
            that differs between two runs of a fold, a patient in the test parts of several folds.
    """
    rows = named(table).reset_index(drop=True)
    quantities = _quantities(rows)
    is_floor = rows["model"].isin(list(FLOORS.values()))
    problems = _differing_floors(rows[is_floor], quantities)
    known = rows.loc[is_floor, quantities].notna().sum(axis=1).sort_values(ascending=False, kind="stable")
    kept = rows.loc[known.index].drop_duplicates(["model", "case_id"]).index
    rows = rows[~is_floor | rows.index.isin(kept)]
    problems += _repeated_images(rows) + _patients_of_several_folds(rows)
    if problems:
        raise ValueError(f"the table of metrics has {len(problems)} problem(s):\n  " + "\n  ".join(problems))
    rows = _means_over_seeds(rows, quantities)
    rows["rank"] = rows["model"].map({name: _rank(name) for name in rows["model"].unique()})
    rows = rows.sort_values(["rank", "gamma", "model", "fold", "case_id"], kind="stable", na_position="first")
    return rows.drop(columns="rank").reset_index(drop=True)


def _quantities(table: pd.DataFrame) -> list[str]:
    return [column for column in table.columns if column not in DESCRIBING]


def _rank(name: str) -> int:
    """Where a model stands: the paper's and unknown ones, known methods in their order, floors."""
    known = list(METHODS.values())
    if name in FLOORS.values():
        return len(known) + 1 + list(FLOORS.values()).index(name)
    return 1 + max((place for place, method in enumerate(known) if _bare(name).startswith(_bare(method))), default=-1)


def _means_over_seeds(table: pd.DataFrame, quantities: Sequence[str]) -> pd.DataFrame:
    keys = ["model", "case_id"]
    alone = table.drop(columns="seed", errors="ignore")
    if not table.duplicated(keys).any():
        return alone
    means = table.groupby(keys, sort=False)[list(quantities)].mean()
    trained = table[~table["model"].isin(list(FLOORS.values()))]  # a floor has no seed
    seeds = trained.groupby(keys, sort=False).size().rename("seeds")
    first = alone.drop(columns=list(quantities)).drop_duplicates(keys)
    joined = first.merge(means.join(seeds), left_on=keys, right_index=True, how="left", validate="one_to_one")
    return joined[[*alone.columns, "seeds"]]


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
    keys = ["model", "case_id"]
    repeated = table[table.duplicated([*keys, *({"seed"} & set(table.columns))])].drop_duplicates(keys)
    return [
        f"{model} has case {case!r} more than once: give each run its own name, gamma or seed, and one test part each"
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
