"""What an experiment left on disk, gathered for its report: one table, the images, the records, and what is odd."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..models import comparable, model_name, models_of
from ..shared_images import SharedImages, shared_images
from ..tables import DESCRIBING, FLOORS, LEADING

__all__ = ["Collection", "Run", "collect", "find_evaluations", "method_of", "seed_of", "to_json_number"]

PASSED_OVER = ("pretrain", "report")  # another data set than the comparison's, and what is written here
TEXTS = ("case_id", "patient_id", "laterality", "view", "model", "has_seg")
IMAGES = ("le", "des", "seg")
VIRTUAL = "virtual_des"
EVALUATE = "python -m monai.bundle run evaluating --config_file \"['configs/train.json','configs/evaluate.json']\""


class Run(NamedTuple):
    """One training with its evaluation: a folder ``eval`` with its records; ``table`` is empty for stage 1.

    ``detectability`` is that of ``detectability.json``, empty where it was not asked for.
    """

    name: str
    folder: Path
    table: pd.DataFrame
    run: dict[str, Any]
    evaluation: dict[str, Any]
    card: dict[str, Any]
    detectability: dict[str, Any]


@dataclass(frozen=True)
class Collection:
    """All that a report is made of.

    Attributes:
        runs: evaluations, in the order of their folders.
        pretraining: stage 1, if it is there.
        table: metrics.csv of all runs, as :func:`..models.comparable` makes it: a row an image and model.
        models: their names, floors last.
        images: case_id -> key (``le des seg`` or a model's name) -> file.
        plan: plan.json, or an empty mapping.
        choice: choice.json, the gamma or method chosen on validation data, or an empty mapping.
        notes: what a reader must know of the runs themselves: what is missing, what does not fit together.
    """

    runs: list[Run]
    pretraining: list[Run]
    table: pd.DataFrame
    models: list[str]
    images: dict[str, dict[str, Path]]
    plan: dict[str, Any] = field(default_factory=dict)
    choice: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def trained(self) -> list[str]:
        """Names of the models that are no floors."""
        return [name for name in self.models if name not in FLOORS.values()]

    @property
    def rows(self) -> pd.DataFrame:
        """metrics.csv of all runs as they are, one below the other, each with its ``seed``."""
        return _rows(self.runs)

    @cached_property
    def shared(self) -> SharedImages:
        """The rows that tables and figures rest on: of the images that every trained model was judged on."""
        return shared_images(self.table)

    def source(self) -> str:
        """Names of the data sets whose images were judged."""
        names = {str(run.evaluation.get("provenance", {}).get("datalist", "")) for run in self.runs}
        return ", ".join(sorted(names - {""})) or "data of unknown name"

    def is_phantom(self) -> bool:
        return any("phantom" in run.evaluation.get("provenance", {}).get("datalist", "").lower() for run in self.runs)


def _rows(runs: Sequence[Run]) -> pd.DataFrame:
    return pd.concat([run.table.assign(seed=seed_of(run)) for run in runs], ignore_index=True)


def seed_of(run: Run) -> float:
    """The seed of a training, from its own record or else the model's card; NaN where neither says."""
    found = [seed for record in (run.run, run.card) if isinstance(seed := record.get("seed"), int)]
    return float(found[0]) if found else math.nan


def method_of(run: Run) -> str | None:
    """The root key ``method`` of the training; None is the paper's."""
    return run.card.get("method")


def to_json_number(value: Any, digits: int = 6) -> float | str | None:
    """A number that JSON can hold: None for NaN, ``inf`` as text."""
    number = float(value)
    if math.isnan(number):
        return None
    return float(f"{number:.{digits}g}") if math.isfinite(number) else ("inf" if number > 0 else "-inf")


def find_evaluations(roots: Sequence[Path]) -> list[Path]:
    """Every ``metrics.csv`` at or below the folders, but for pre-training, earlier runs and reports."""
    found: dict[Path, None] = {}
    for root in roots:
        for path in sorted(root.rglob("metrics.csv")):
            parts = path.relative_to(root).parts[:-1]
            if not any(part in PASSED_OVER or part.startswith((".", "former_")) for part in parts):
                found[path.resolve()] = None
    return list(found)


def read_record(path: Path, notes: list[str]) -> dict[str, Any]:
    """A JSON object, or an empty one and a note that says what to do."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        notes.append(
            f"{_short(path)} is missing: copy it from where the run was made, its provenance is not known here."
        )
    except (ValueError, OSError) as error:
        notes.append(f"{_short(path)} cannot be read ({error}): copy it again from where the run was made.")
    else:
        if isinstance(content, dict):
            return content
        notes.append(f"{_short(path)} is no JSON object: copy it again from where the run was made.")
    return {}


def read_metrics(path: Path) -> pd.DataFrame:
    """metrics.csv with its texts as texts (a patient ``007`` stays one) and its numbers as numbers.

    Raises:
        ValueError: with what is wrong with the file and what to do.
    """
    remake = f"Remake it: {EVALUATE}"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{path} cannot be read ({error}). {remake}") from error
    missing = [column for column in LEADING if column not in table.columns]
    if missing or table.empty:
        what = f"lacks the columns {', '.join(missing)}" if missing else "has no rows"
        raise ValueError(f"{path} {what}. {remake}")
    try:
        for column in table.columns.difference(TEXTS):
            table[column] = [float(text or "nan") for text in table[column]]
    except ValueError as error:
        raise ValueError(f"{path}, column {column}: {error}; expected a number or nothing. {remake}") from error
    table["has_seg"] = table["has_seg"].isin(["True", "true", "1"])
    return table


def collect(runs: str | os.PathLike | Sequence[str | os.PathLike]) -> Collection:
    """Gather the evaluations at or below one folder or several.

    Raises:
        FileNotFoundError: when a folder is not there or nothing was evaluated.
        ValueError: all files that cannot be used, or all that keeps their rows from being compared.
    """
    roots = [Path(runs)] if isinstance(runs, (str, os.PathLike)) else [Path(root) for root in runs]
    absent = [str(root) for root in roots if not root.is_dir()]
    if absent or not roots:
        raise FileNotFoundError(
            f"there is no folder {', '.join(absent) or '(none was given)'}: pass the one of the runs."
        )
    paths = find_evaluations(roots)
    if not paths:
        raise FileNotFoundError(
            f"no metrics.csv at or below {', '.join(map(str, roots))}: evaluate a model first ({EVALUATE}), or pass "
            "another folder."
        )
    notes: list[str] = []
    problems: list[str] = []
    collected = []
    for path in paths:
        try:
            table = read_metrics(path)
        except ValueError as error:
            problems.append(str(error))
            continue
        collected.append(_run(path.parent, table, notes))
    if problems:
        raise ValueError("\n".join(problems))
    pretraining = [
        _run(folder, pd.DataFrame(), notes, evaluated=False)
        for root in roots
        for folder in (root / "pretrain" / "eval", *sorted((root / "pretrain").glob("*/eval")))
        if folder.is_dir()
    ]
    collected.sort(key=_place)
    table = comparable(_rows(collected))
    notes += _oddities(table, models_of(table))
    plan, choice = (_only(roots, name, notes) for name in ("plan.json", "choice.json"))
    images = _images(collected, table, notes)
    return Collection(collected, pretraining, table, models_of(table, floors=True), images, plan, choice, notes)


def _place(run: Run) -> tuple[float | str, ...]:
    """Runs stand by gamma (those without one last), fold and seed."""
    numbers = (run.table["gamma"].max(), run.table["fold"].min(), seed_of(run))
    return (*(math.inf if math.isnan(number) else number for number in numbers), run.name)


def _only(roots: Sequence[Path], name: str, notes: list[str]) -> dict[str, Any]:
    """The record of the one folder that has it; of several experiments none speaks for all."""
    found = [read_record(root / name, notes) for root in roots if (root / name).is_file()]
    return found[0] if len(found) == 1 else {}


def _short(path: Path, parts: int = 4) -> str:
    """The end of a path, which names the run without naming the machine."""
    return "/".join(path.parts[-parts:])


def _run(folder: Path, table: pd.DataFrame, notes: list[str], evaluated: bool = True) -> Run:
    models = folder.parent / "models"
    evaluation = read_record(folder / "evaluation.json", notes) if evaluated else {}
    # a folder that holds the evaluation alone has the card inside evaluation.json
    card = read_record(models / "model.json", notes) if models.is_dir() or not evaluation.get("model") else {}
    of_detector = folder / "detectability.json"
    detectability = read_record(of_detector, notes) if evaluated and of_detector.is_file() else {}
    place = folder.parent if folder.name == "eval" else folder
    name = place.name
    while place.name.startswith(("fold_", "seed_")) or (place.parent.name == "pretrain" and not evaluated):
        place = place.parent
        name = f"{place.name}/{name}"
    record = read_record(folder / "run.json", notes)
    return Run(name, folder, table, record, evaluation, card or evaluation.get("model", {}), detectability)


def _oddities(table: pd.DataFrame, trained: Sequence[str]) -> list[str]:
    """What does not keep a table from being read, and yet must be known to whom reads it."""
    notes = []
    if len(trained) == table["model"].nunique():
        notes.append("No run has floors: without them nobody can tell whether a model is any good.")
    cases = {name: set(table.loc[table["model"] == name, "case_id"]) for name in trained}
    if any(of_model != next(iter(cases.values())) for of_model in cases.values()):
        counts = ", ".join(f"{name} {len(of_model)}" for name, of_model in cases.items())
        cut = shared_images(table).note
        notes.append(f"The models were not judged on the same images ({counts}). Tables and figures: {_lower(cut)}")
    return notes


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _images(runs: Sequence[Run], table: pd.DataFrame, notes: list[str]) -> dict[str, dict[str, Path]]:
    """Files of the images that were kept; what is missing is noted once a run."""
    found: dict[str, dict[str, Path]] = {str(case_id): {} for case_id in table["case_id"].unique()}
    for run in runs:
        folder = run.folder / "images"
        rows = run.table[~run.table["model"].isin(list(FLOORS))]
        if not folder.is_dir():
            notes.append(f"{run.name} kept no images: evaluate it again with --keep_images True to see them here.")
            continue
        there = set(os.listdir(folder))
        missing = 0
        for case_id, model, gamma in zip(rows["case_id"], rows["model"], rows["gamma"], strict=True):
            files = {key: f"{case_id}_{key}.png" for key in IMAGES}
            files[model_name(model, gamma)] = f"{case_id}_{VIRTUAL}.png"
            present = {key: folder / name for key, name in files.items() if name in there}
            missing += len(files) - len(present)
            found[case_id] = {**present, **found[case_id]}
        if missing:
            notes.append(f"{run.name} lacks {missing} image file(s): evaluate it again with --keep_images True.")
    return found


def columns_of(table: pd.DataFrame) -> list[str]:
    """The measured columns of a table, in their order."""
    return [column for column in table.columns if column not in DESCRIBING]
