"""Which model to take: a choice made on validation data alone."""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .plan import Plan, Run

__all__ = ["CHOICE_FILE", "choose_model"]

CHOICE_FILE = "choice.json"
KEYS = ("val_lesion_l1", "val_loss")  # the error that the masked losses are to lower; the loss that chose the epoch


def choose_model(*folders: str | os.PathLike) -> dict[str, Any]:
    """Choose the gamma, and among gammas and methods the model, with the lowest mean validation error.

    The mean is over the folds, and over the seeds within each fold. The errors stand in the models' cards, as training
    wrote them for its validation part; no file of a test part is read. The error is the lesion L1 where every card has
    it, else the whole image's, and the choice says which. Of equal means the smaller gamma is taken, and a gamma before
    a method. Plans of several folders are chosen from together, on the folds that all of their models have.

    The validation part of fold ``k`` is the test part of fold ``k + 1``: with several folds the choice has seen
    patients who are tested, which ``overlap`` says. ``nested`` has no such patient: it chooses for each fold by that
    fold's own validation part alone.

    Args:
        folders: of one plan each, the ``--output`` of scripts.cross_validate; all on the same list and folds.

    Returns:
        ``key``, ``rule``, ``gamma`` (None where there is nothing to choose, with a ``reason``), and ``values``: a mean
        and the folds' values for each gamma. Where the plans have methods also ``methods``, the same for each of them,
        and ``model``, the folder of the best of all, ``gamma_35`` or a method's; where they have several seeds each
        entry also has ``seeds``, the mean over the folds of each. ``overlap``: folds that are the validation part of
        one run and the test part of another; ``nested``: by fold the folder of the model that it would have chosen.

    Raises:
        ValueError: when a folder holds no plan, plans are on other lists or folds, or have a run of the same gamma or
            method, fold and seed.
    """
    plans = [_plan(folder) for folder in folders]
    runs = {
        plan.folder / run.name: run for plan in plans for run in plan if run.stage == 2 and run.run_id == "training"
    }
    _fit_together(plans, list(runs.values()))
    of_model: dict[str, set[int]] = defaultdict(set)
    for run in runs.values():
        of_model[_folder(run)].add(run.fold)
    shared = set.intersection(*of_model.values()) if of_model else set()
    runs = {place: run for place, run in runs.items() if run.fold in shared}
    several = len({run.seed for run in runs.values()}) > 1
    cards = {place: _validation(place) for place in runs}
    key = next((key for key in KEYS if cards and all(_is_number(card.get(key)) for card in cards.values())), None)
    rule = "lowest mean over the folds' validation parts" + (" and the seeds" if several else "")
    choice: dict[str, Any] = {"key": key, "rule": rule, "gamma": None, "overlap": _overlap(runs.values())}
    if key is None:
        lacking = [runs[place].name for place, card in cards.items() if not _is_number(card.get(KEYS[-1]))]
        reason = f"no validation error of {', '.join(lacking) or 'any run'}"
        return choice | {"reason": "the models share no fold" if of_model and not shared else reason, "values": {}}
    values: dict[str, list[tuple[Run, float]]] = defaultdict(list)
    for place, run in runs.items():
        values[_folder(run)].append((run, float(cards[place][key])))
    errors = {name: _error(own, several) for name, own in values.items()}
    gammas = {run.gamma: name for name, ((run, _), *_) in values.items() if run.method is None}
    of_gamma = {gamma: errors[gammas[gamma]] for gamma in sorted(gammas)}
    methods = {name: error for name, error in errors.items() if name not in gammas.values()}
    choice["gamma"] = min(of_gamma, key=lambda gamma: of_gamma[gamma]["mean"]) if of_gamma else None
    choice |= {} if of_gamma else {"reason": "no run with a gamma of its own"}
    choice["values"] = {f"{gamma:g}": error for gamma, error in of_gamma.items()}
    models = {gammas[gamma]: error for gamma, error in of_gamma.items()} | methods
    if methods:
        choice |= {"methods": methods, "model": min(models, key=lambda name: models[name]["mean"])}
    nested = {fold: min(models, key=lambda name: models[name]["folds"][fold]) for fold in sorted(shared)}
    return choice | {"nested": nested}


def _plan(folder: str | os.PathLike) -> Plan:
    plan = Plan.read(folder)
    if plan is None:
        raise ValueError(f"there is no plan in {folder}: expected the --output of python -m scripts.cross_validate.")
    return plan


def _folder(run: Run) -> str:
    return f"gamma_{run.gamma:g}" if run.method is None else run.method


def _fit_together(plans: Sequence[Plan], runs: Sequence[Run]) -> None:
    """Refuse plans whose validation parts are of other patients, and models that nobody could tell apart."""
    where = ", ".join(str(plan.folder) for plan in plans)
    data = [(plan.protocol.get("stage_2") or {}) for plan in plans]
    keys = ("datalist_hash", "folds_hash")
    problems = [f"the plans of {where} have different values of {key}" for key in keys if _differ(data, key)]
    counted = Counter((_folder(run), run.fold, run.seed) for run in runs)
    twice = dict.fromkeys(model for (model, _, _), count in counted.items() if count > 1)
    problems += [f"{model} stands in several plans with the same fold and seed ({where})" for model in twice]
    if problems:
        raise ValueError(
            f"no model can be chosen: {'; '.join(problems)}. Choose among plans of one list and its folds, in which "
            "each model has a method, gamma or seed of its own."
        )


def _differ(mappings: Sequence[Mapping[str, Any]], key: str) -> bool:
    return len({of[key] for of in mappings if key in of}) > 1


def _overlap(runs: Iterable[Run]) -> list[int]:
    """Folds that are tested by one run and validate another; the last fold validates on the first one."""
    folds = {run.fold: run.overrides.get("folds") for run in runs}
    validated = {fold + 1 if (k := _number_of_folds(path)) is None else (fold + 1) % k for fold, path in folds.items()}
    return sorted(validated & folds.keys())


def _number_of_folds(path: Any) -> int | None:
    try:
        return int(json.loads(Path(path).read_text(encoding="utf-8"))["k"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _error(values: Sequence[tuple[Run, float]], several: bool) -> dict[str, Any]:
    """Mean over the folds of what each has as the mean over its seeds."""
    of_fold: dict[int, list[float]] = defaultdict(list)
    of_seed: dict[int, list[float]] = defaultdict(list)
    for run, value in values:
        of_fold[run.fold].append(value)
        of_seed[run.seed].append(value)
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
