"""Which gamma to take: a choice made on validation data alone."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from .plan import Plan

__all__ = ["CHOICE_FILE", "choose_gamma"]

CHOICE_FILE = "choice.json"
KEYS = ("val_lesion_l1", "val_loss")  # the error that the masked losses are to lower; the loss that chose the epoch


def choose_gamma(folder: str | os.PathLike) -> dict[str, Any]:
    """Choose the gamma whose best models have the lowest mean validation error over the folds.

    The errors stand in the models' cards, as training wrote them for its validation part; no file of a test part is
    read. The error is the lesion L1 where every card has it, else the whole image's, and the choice says which.
    Of equal means the smaller gamma is taken.

    Returns:
        ``key``, ``rule``, ``gamma`` (None where there is nothing to choose, with a ``reason``), and ``values``: a mean
        and the folds' values for each gamma.

    Raises:
        ValueError: when the folder holds no plan.
    """
    plan = Plan.read(folder)
    if plan is None:
        raise ValueError(f"there is no plan in {folder}: expected the --output of python -m scripts.cross_validate.")
    cards = {run.name: _validation(Path(folder) / run.name) for run in plan if _is_candidate(run)}
    key = next((key for key in KEYS if cards and all(_is_number(card.get(key)) for card in cards.values())), None)
    choice: dict[str, Any] = {"key": key, "rule": "lowest mean over the folds' validation parts", "gamma": None}
    if key is None:
        lacking = [name for name, card in cards.items() if not _is_number(card.get(KEYS[-1]))]
        return choice | {"reason": f"no validation error of {', '.join(lacking) or 'any run'}", "values": {}}
    of_gamma: dict[float, dict[int, float]] = defaultdict(dict)
    for run in plan:
        if run.name in cards:
            of_gamma[run.gamma][run.fold] = cards[run.name][key]
    means = {gamma: math.fsum(folds.values()) / len(folds) for gamma, folds in of_gamma.items()}
    values = {f"{gamma:g}": {"mean": means[gamma], "folds": of_gamma[gamma]} for gamma in sorted(means)}
    return choice | {"gamma": min(sorted(means), key=lambda gamma: means[gamma]), "values": values}


def _is_candidate(run: Any) -> bool:
    return run.stage == 2 and run.run_id == "training"


def _validation(place: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((place / "models/model.json").read_text(encoding="utf-8"))["validation"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
