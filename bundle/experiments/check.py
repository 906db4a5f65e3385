"""The check before a run: every problem of its config and its data, at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist

from ..data.folds import PARTS, fold_items
from ..data.provenance import fold_hash
from ..networks.weights import card_problems, read_card
from .check_config import override_problems, setting_problems
from .check_data import data_problems
from .command_line import CommandLine

__all__ = ["check_evaluation", "check_inference", "check_training"]

logger = logging.getLogger(__name__)


def _raise_if(problems: Sequence[str], what: str) -> None:
    if problems:
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
        raise ValueError(f"{what} cannot start, {len(problems)} problem(s):\n{listed}")


def _world() -> tuple[int, int]:
    """Rank and number of processes."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _fold_problems(settings: Mapping[str, Any], parts: Sequence[str]) -> list[str]:
    _, world_size = _world()
    problems: list[str] = []
    items: list[Mapping[str, Any]] = []
    for part in parts:
        try:
            of_part = fold_items(
                settings["datalist"], settings["folds"], settings["fold"], part, settings.get("lesions", "all")
            )
        except (OSError, ValueError) as error:
            return [str(error)]
        if len(of_part) < world_size:
            problems.append(f"the {part} part of fold {settings['fold']} has {len(of_part)} pairs, too few.")
        items += of_part
    return problems + data_problems(items, settings.get("least_inside", 0.9))


def check_training(settings: Mapping[str, Any], command_line: CommandLine | None = None) -> None:
    """Check a training: overrides, root keys, datalist, folds, and every image of its training and validation parts.

    Args:
        settings: the root keys of the run, resolved.
        command_line: what the runner was called with, if it was.

    Raises:
        ValueError: with every problem.
    """
    rank, world_size = _world()
    problems = override_problems(command_line) + setting_problems(settings, world_size)
    if rank == 0:  # one process reads the images; the others would find the same
        problems += _fold_problems(settings, PARTS[:2])
    if world_size > 1:
        shared = [problems]
        dist.broadcast_object_list(shared)
        problems = shared[0]
    _raise_if(problems, "training")


def check_evaluation(settings: Mapping[str, Any], command_line: CommandLine | None = None) -> None:
    """Check an evaluation: as for a training, and that the model was not trained on the patients it is tested on.

    Raises:
        ValueError: with every problem.
    """
    problems = override_problems(command_line) + setting_problems(
        {**settings, "resume": False, "init_checkpoint": None}
    )
    model_problems = card_problems(settings["ckpt_path"])
    problems += model_problems
    if settings["part"] not in PARTS:
        problems.append(f"part is {settings['part']!r}, expected one of {', '.join(PARTS)}.")
    else:
        problems += _fold_problems(settings, ["training", settings["part"]])
    if not problems:
        card = read_card(settings["ckpt_path"])
        here = fold_hash(settings["datalist"], settings["folds"], settings["fold"])
        if card.get("datalist_hash") == here["datalist_hash"] and card.get("data_hash") != here["data_hash"]:
            problems.append(
                f"{settings['ckpt_path']} was trained with another split of this list (fold {card.get('fold')}): its "
                f"training patients may stand in the {settings['part']} part of fold {settings['fold']}. "
                f"Pass --fold {card.get('fold')} and the folds of that training."
            )
        if card["image_size"] != settings["image_size"]:
            problems.append(
                f"{settings['ckpt_path']} was trained at {card['image_size']} px, but image_size is "
                f"{settings['image_size']}. Pass --image_size {card['image_size']}."
            )
    _raise_if(problems, "evaluation")


def check_inference(settings: Mapping[str, Any], command_line: CommandLine | None = None) -> None:
    """Check an inference: overrides, the model and its card, the folder of images.

    Raises:
        ValueError: with every problem.
    """
    problems = override_problems(command_line) + setting_problems(settings) + card_problems(settings["ckpt_path"])
    if not Path(settings["dataset_dir"]).is_dir():
        problems.append(f"there is no folder {settings['dataset_dir']}. Pass --dataset_dir IMAGES.")
    _raise_if(problems, "inference")
