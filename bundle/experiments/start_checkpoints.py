"""Checkpoints that the trainings of a study start from, found and checked before the first of them."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from .plan import Run

__all__ = ["FIELDS", "start_checkpoints"]

logger = logging.getLogger(__name__)
FIELDS = ("name", "fold", "seed")
END = 65536  # bytes; the last ones hold the directory of the archive, with the checksum of every tensor
NAMED = 3


def start_checkpoints(template: str, runs: Iterable[tuple[Run, str]], problems: list[str]) -> dict[str, str]:
    """Give each training its ``init_checkpoint``; what is wrong goes to ``problems``.

    A checkpoint of the same list must have been made on the split that the run itself has: else women of its test part
    may have been trained on.

    Args:
        template: a path with ``{name}`` (``gamma_35``, or a method's), ``{fold}`` and ``{seed}``, as far as needed.
        runs: trainings of stage 2, each with the name of its contender.

    Returns:
        checkpoint -> a digest of it, for the plan.
    """
    try:
        unknown = [field for _, field, _, _ in Formatter().parse(template) if field is not None and field not in FIELDS]
    except ValueError as error:
        unknown = [str(error)]
    if unknown:
        allowed = ", ".join(f"{{{field}}}" for field in FIELDS)
        problems.append(f"init_checkpoint {template!r} has {', '.join(map(repr, unknown))}, expected only {allowed}.")
        return {}
    lost: list[Path] = []
    foreign: set[str] = set()
    digests: dict[str, str] = {}
    for run, name in runs:
        path = Path(template.format(name=name, fold=run.fold, seed=run.seed)).resolve()
        run.overrides["init_checkpoint"] = str(path)
        if not path.is_file():
            lost.append(path)
            continue
        digests[str(path)] = _digest(path)
        problems += _leaks(run, path, foreign)
    if lost:
        some = ", ".join(map(str, lost[:NAMED])) + (f" and {len(lost) - NAMED} more" if len(lost) > NAMED else "")
        problems.append(f"init_checkpoint: {len(lost)} checkpoint(s) are not there: {some}. Train them first.")
    if foreign:
        logger.warning(
            f"{len(foreign)} checkpoint(s) to start from were trained on another list: nothing tells whether women of "
            "this study's test parts were among its training patients"
        )
    return digests


def _leaks(run: Run, path: Path, foreign: set[str]) -> list[str]:
    from ..data.provenance import fold_hash, starts
    from ..handlers.training_state import checkpoint_data

    try:
        made_on = checkpoint_data(path) or {}
    except (RuntimeError, EOFError, pickle.UnpicklingError, AttributeError):
        return [f"{path} cannot be read as a checkpoint. Pass the checkpoint.pt that a training wrote."]
    places: Mapping[str, Any] = run.overrides
    here = fold_hash(places["datalist"], places["folds"], run.fold)
    if made_on.get("datalist_hash") != here["datalist_hash"]:
        foreign.add(str(path))
    of_list = [each for each in (made_on, *starts(made_on)) if each.get("datalist_hash") == here["datalist_hash"]]
    if all(each.get("data_hash") == here["data_hash"] for each in of_list):
        return []
    return [
        f"{run.name} cannot start from {path}, which was trained on another split of this list: its training patients "
        "may stand in the run's validation or test part. Use {fold} in --init_checkpoint, and the same folds.json."
    ]


def _digest(path: Path) -> str:
    """SHA-256 of the size and both ends: with the archive's checksums the end tells one checkpoint from another."""
    with open(path, "rb") as file:
        first = file.read(END)
        size = file.seek(0, os.SEEK_END)
        file.seek(-min(END, size), os.SEEK_END)
        return hashlib.sha256(f"{size}".encode() + first + file.read()).hexdigest()
