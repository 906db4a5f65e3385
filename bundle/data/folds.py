"""Patient-level folds, stratified by lesion maps: a patient is in one part alone, whatever the fold."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from ..keys import BatchKeys, CaseKeys
from .datalist import case_items, datalist_hash, read_datalist
from .whole_files import write_json

__all__ = ["PARTS", "balance_table", "fold_items", "make_folds", "read_folds", "write_folds"]

PARTS = ("training", "validation", "test")


def make_folds(datalist: Mapping[str, Any], k: int = 10, seed: int = 0) -> dict[str, int]:
    """Assign every patient to one of ``k`` folds with about equal shares of images that have a lesion map.

    Source: arXiv 2505.03018, section on cross-validation; there the unit was the image, here it is the patient.

    Returns:
        patient identifier -> fold number, 0 to k - 1.

    Raises:
        ValueError: when a stratum (images with, images without a map) has fewer patients than ``k``; names the
            largest ``k`` that works.
    """
    cases = datalist["cases"]
    patients = np.array([case[CaseKeys.PATIENT_ID] for case in cases])
    has_seg = np.array([bool(case[BatchKeys.SEG]) for case in cases])
    if k < 3:
        raise ValueError(f"k is {k}: training, validation and test need three folds at least.")
    strata = {
        "with a lesion map": len(set(patients[has_seg])),
        "without a lesion map": len(set(patients[~has_seg])),
    }
    short = {name: count for name, count in strata.items() if 0 < count < k}
    if short:
        largest = min(short.values())
        said = ", ".join(f"{count} patients have images {name}" for name, count in short.items())
        step = f"The largest possible k is {largest}." if largest >= 3 else "Three are needed at least: add patients."
        raise ValueError(f"k is {k}, but only {said}. {step}")
    splitter = StratifiedGroupKFold(n_splits=k, shuffle=True, random_state=seed)
    folds: dict[str, int] = {}
    for fold, (_, test) in enumerate(splitter.split(np.zeros(len(cases)), has_seg, groups=patients)):
        folds.update({str(patient): fold for patient in patients[test]})
    empty = sorted(set(range(k)) - set(folds.values()))
    if empty:
        raise ValueError(
            f"k is {k}, but {len(set(patients))} patients leave fold(s) {empty} empty. Choose a smaller k."
        )
    return dict(sorted(folds.items()))


def write_folds(
    datalist_path: str | os.PathLike,
    output: str | os.PathLike | None = None,
    k: int = 10,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Make the folds of a datalist and write them, by default as ``folds.json`` beside it."""
    datalist_path = Path(datalist_path)
    output = Path(output) if output is not None else datalist_path.with_name("folds.json")
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists already. Choose another --output, or pass --overwrite.")
    datalist = read_datalist(datalist_path)
    folds = {
        "k": k,
        "seed": seed,
        "datalist": datalist["name"],
        "datalist_hash": datalist_hash(datalist),
        "num_cases": len(datalist["cases"]),
        "folds": make_folds(datalist, k, seed),
    }
    return write_json(output, folds)


def _once(problems: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose keys stand once: of a patient who stands twice the reader would keep the last fold."""
    twice = len(pairs) - len({key for key, _ in pairs})
    if twice:
        problems.append(f"{twice} patient(s) or key(s) stand more than once")
    return dict(pairs)


def _fold_problems(folds: Any) -> list[str]:
    """What keeps a file from being folds; without its values, which may be Patient IDs."""
    if not isinstance(folds, dict) or not isinstance(folds.get("folds"), dict) or not folds["folds"]:
        return ["expected an object with k and with the fold of every patient"]
    k, numbers = folds.get("k"), list(folds["folds"].values())
    if type(k) is not int or k < 3:
        return ["expected k, a whole number of 3 or more"]
    wrong = sum(type(number) is not int or not 0 <= number < k for number in numbers)
    if wrong:
        return [f"{wrong} patient(s) have another fold than 0 to {k - 1}"]
    empty = sorted(set(range(k)) - set(numbers))
    return [f"fold(s) {', '.join(map(str, empty))} are empty"] if empty else []


def read_folds(path: str | os.PathLike, datalist: Mapping[str, Any], datalist_path: str | os.PathLike) -> dict:
    """Read ``folds.json`` and hold it against its datalist.

    Raises:
        FileNotFoundError: when there is none, with the command that makes one.
        ValueError: when the datalist has changed since, or a patient has no fold.
    """
    path = Path(path)
    remake = f"python -m scripts.folds {datalist_path} --output {path}"
    if not path.is_file():
        raise FileNotFoundError(f"There are no folds {path}. Make them: {remake}")
    problems: list[str] = []
    try:
        folds = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=partial(_once, problems))
    except (ValueError, OSError) as error:  # its text may quote the file
        raise ValueError(f"{path} holds no folds ({type(error).__name__}). Remake it: {remake} --overwrite") from None
    problems += _fold_problems(folds)
    if problems:
        raise ValueError(f"{path} holds no folds: {'; '.join(problems)}. Remake it: {remake} --overwrite")
    if folds.get("datalist_hash") != datalist_hash(datalist):
        was, now = folds.get("num_cases"), len(datalist["cases"])
        what = f"{was} cases, the datalist has {now}" if was != now else f"another list of {was} cases"
        raise ValueError(f"{path} was made from {what}. Remake it: {remake} --overwrite")
    homeless = sorted({case[CaseKeys.PATIENT_ID] for case in datalist["cases"]} - set(folds["folds"]))
    if homeless:
        raise ValueError(f"{path} gives no fold to patient(s) {', '.join(homeless)}. Remake it: {remake} --overwrite")
    strangers = len(set(folds["folds"]) - {case[CaseKeys.PATIENT_ID] for case in datalist["cases"]})
    if strangers:
        raise ValueError(
            f"{path} gives folds to {strangers} patient(s) that the datalist lacks. Remake it: {remake} --overwrite"
        )
    return folds


def _part_of(fold_of_patient: int, fold: int, k: int) -> str:
    if fold_of_patient == fold:
        return "test"
    return "validation" if fold_of_patient == (fold + 1) % k else "training"


def fold_items(
    datalist: str | os.PathLike, folds: str | os.PathLike, fold: int, part: str, lesions: str = "all"
) -> list[dict[str, Any]]:
    """Items of one part of one fold: test = fold ``fold``, validation = the next one, training = the others.

    Args:
        datalist, folds: the two files.
        fold: 0 to k - 1.
        part: "training", "validation" or "test".
        lesions: "all" keeps every drawn lesion; "malignant" drops the maps of pairs that are not marked malignant.

    Raises:
        ValueError: for an unknown part, a fold out of range, or a patient that stands in two parts.
    """
    if part not in PARTS:
        raise ValueError(f"part is {part!r}, expected one of {PARTS}.")
    if lesions not in ("all", "malignant"):
        raise ValueError(f"lesions is {lesions!r}, expected 'all' or 'malignant'.")
    content = read_datalist(datalist)
    assignment = read_folds(folds, content, datalist)
    k = assignment["k"]
    if not 0 <= fold < k:
        raise ValueError(f"fold is {fold}, but {folds} has folds 0 to {k - 1}.")
    parts: dict[str, list[dict[str, Any]]] = {name: [] for name in PARTS}
    for item in case_items(content, Path(datalist).parent):
        if lesions == "malignant" and not item.get(CaseKeys.MALIGNANT):
            item.pop(BatchKeys.SEG, None)
        parts[_part_of(assignment["folds"][item[CaseKeys.PATIENT_ID]], fold, k)].append(item)
    patients = {name: {item[CaseKeys.PATIENT_ID] for item in items} for name, items in parts.items()}
    shared = set.union(*(patients[a] & patients[b] for a, b in zip(PARTS, PARTS[1:] + PARTS[:1], strict=True)))
    if shared:
        raise ValueError(f"patient(s) {', '.join(sorted(shared))} stand in two parts of fold {fold} of {folds}.")
    return parts[part]


def balance_table(datalist: Mapping[str, Any], folds: Mapping[str, int]) -> pd.DataFrame:
    """Patients, images, images with a lesion map and their share, a row a fold: to be printed and looked at."""
    table = pd.DataFrame(
        {
            "fold": [folds[case[CaseKeys.PATIENT_ID]] for case in datalist["cases"]],
            "patient": [case[CaseKeys.PATIENT_ID] for case in datalist["cases"]],
            "has_seg": [bool(case[BatchKeys.SEG]) for case in datalist["cases"]],
            "malignant": [case.get(CaseKeys.MALIGNANT) is True for case in datalist["cases"]],
        }
    )
    balance = table.groupby("fold").agg(
        patients=("patient", "nunique"),
        images=("patient", "size"),
        with_lesion_map=("has_seg", "sum"),
        malignant=("malignant", "sum"),
    )
    balance["share_with_map"] = (balance["with_lesion_map"] / balance["images"]).round(3)
    return balance
