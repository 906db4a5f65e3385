"""Which model to take: a choice made on validation data alone."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .plan import Plan, Run

__all__ = ["CHOICE_FILE", "choose_model"]

CHOICE_FILE = "choice.json"
KEYS = ("val_lesion_l1", "val_loss")  # the error that the masked losses are to lower; the loss that chose the epoch


def choose_model(folder: str | os.PathLike) -> dict[str, Any]:
    """Choose the gamma, and among gammas and methods the model, with the lowest mean validation error.

    The mean is over the folds, and over the seeds within each fold. The errors stand in the models' cards, as training
    wrote them for its validation part; no file of a test part is read. The error is the lesion L1 where every card has
    it, else the whole image's, and the choice says which. Of equal means the smaller gamma is taken, and a gamma before
    a method.

    Returns:
        ``key``, ``rule``, ``gamma`` (None where there is nothing to choose, with a ``reason``), and ``values``: a mean
        and the folds' values for each gamma. Where the plan has methods also ``methods``, the same for each of them,
        and ``model``, the folder of the best of all, ``gamma_35`` or a method's; where it has several seeds each
        entry also has ``seeds``, the mean over the folds of each.

    Raises:
        ValueError: when the folder holds no plan.
    """
    plan = Plan.read(folder)
    if plan is None:
        raise ValueError(f"there is no plan in {folder}: expected the --output of python -m scripts.cross_validate.")
    runs = [run for run in plan if run.stage == 2 and run.run_id == "training"]
    several = len({run.seed for run in runs}) > 1
    cards = {run.name: _validation(Path(folder) / run.name) for run in runs}
    key = next((key for key in KEYS if cards and all(_is_number(card.get(key)) for card in cards.values())), None)
    rule = "lowest mean over the folds' validation parts" + (" and the seeds" if several else "")
    choice: dict[str, Any] = {"key": key, "rule": rule, "gamma": None}
    if key is None:
        lacking = [name for name, card in cards.items() if not _is_number(card.get(KEYS[-1]))]
        return choice | {"reason": f"no validation error of {', '.join(lacking) or 'any run'}", "values": {}}
    values = {run.name: float(cards[run.name][key]) for run in runs}
    of_gamma: dict[float, list[Run]] = defaultdict(list)
    of_method: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.method is None:
            of_gamma[run.gamma].append(run)
        else:
            of_method[run.method].append(run)
    errors = {gamma: _error(of_gamma[gamma], values, several) for gamma in sorted(of_gamma)}
    choice["gamma"] = min(errors, key=lambda gamma: errors[gamma]["mean"]) if errors else None
    choice |= {} if errors else {"reason": "no run with a gamma of its own"}
    choice["values"] = {f"{gamma:g}": error for gamma, error in errors.items()}
    if of_method:
        methods = {method: _error(of, values, several) for method, of in of_method.items()}
        models = {f"gamma_{gamma:g}": error for gamma, error in errors.items()} | methods
        choice |= {"methods": methods, "model": min(models, key=lambda name: models[name]["mean"])}
    return choice


def _error(runs: Sequence[Run], values: Mapping[str, float], several: bool) -> dict[str, Any]:
    """Mean over the folds of what each has as the mean over its seeds."""
    of_fold: dict[int, list[float]] = defaultdict(list)
    of_seed: dict[int, list[float]] = defaultdict(list)
    for run in runs:
        of_fold[run.fold].append(values[run.name])
        of_seed[run.seed].append(values[run.name])
    folds = {fold: _mean(own) for fold, own in of_fold.items()}
    error: dict[str, Any] = {"mean": _mean(list(folds.values())), "folds": folds}
    return error | ({"seeds": {seed: _mean(own) for seed, own in of_seed.items()}} if several else {})


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _validation(place: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((place / "models/model.json").read_text(encoding="utf-8"))["validation"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
