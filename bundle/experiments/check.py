"""The check before a run: every problem of its config and its data, at once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist

from ..data.folds import PARTS, fold_items
from ..data.provenance import fold_hash
from ..inference.save import NOTICE
from ..networks.weights import card_problems, read_card
from .check_config import config_problems, stack_problems
from .check_data import data_problems
from .command_line import CommandLine

__all__ = ["check_evaluation", "check_inference", "check_training"]

logger = logging.getLogger(__name__)


def _raise_if(problems: Sequence[str], what: str, command_line: CommandLine | None) -> None:
    if not problems:
        return
    listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(problems, start=1))
    text = f"{what} cannot start, {len(problems)} problem(s):\n{listed}"
    if command_line is None:
        raise ValueError(text)
    # the runner would bury a ValueError under tracebacks of its own; this one is printed and ends the process
    raise SystemExit(text if _world()[0] == 0 else 1)


def _world() -> tuple[int, int]:
    """Rank and number of processes."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _are_paths(*values: Any) -> bool:
    """Whether values can be paths; where they cannot, ``setting_problems`` says so and nothing else needs to."""
    return all(isinstance(value, str | os.PathLike) for value in values)


def _model_problems(settings: Mapping[str, Any]) -> list[str]:
    return card_problems(settings["ckpt_path"]) if _are_paths(settings["ckpt_path"]) else []


def _fold_problems(settings: Mapping[str, Any], parts: Sequence[str]) -> list[str]:
    if not _are_paths(settings["datalist"], settings["folds"]) or not isinstance(settings["fold"], int):
        return []
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
            problems.append(
                f"the {part} part of fold {settings['fold']} has {len(of_part)} pairs, expected one for each of "
                f"{world_size} process(es). Start fewer processes, or make folds with a smaller k."
            )
        items += of_part
    return problems + data_problems(items, settings.get("least_inside", 0.9), settings.get("breast_margin", 0.02))


def check_training(settings: Mapping[str, Any], command_line: CommandLine | None = None) -> None:
    """Check a training: overlays, overrides, root keys, data, and every image of its training and validation parts.

    Args:
        settings: the root keys of the run, resolved.
        command_line: what the runner was called with, if it was.

    Raises:
        ValueError: with every problem; a SystemExit with the same text where the runner's command line is known.
    """
    rank, world_size = _world()
    problems = stack_problems(command_line) + config_problems(settings, command_line, world_size)
    if rank == 0:  # one process reads the images; the others would find the same
        problems += _fold_problems(settings, PARTS[:2])
    if world_size > 1:
        shared = [problems]
        dist.broadcast_object_list(shared)
        problems = shared[0]
    _raise_if(problems, "training", command_line)


def check_evaluation(settings: Mapping[str, Any], command_line: CommandLine | None = None) -> None:
    """Check an evaluation: as for a training, and that the model was not trained on the patients it is tested on.

    Raises:
        ValueError: with every problem; a SystemExit with the same text where the runner's command line is known.
    """
    problems = config_problems({**settings, "resume": False, "init_checkpoint": None}, command_line)
    problems += _model_problems(settings)
    if settings["part"] not in PARTS:
        problems.append(f"part is {settings['part']!r}, expected one of {', '.join(PARTS)}.")
    else:
        problems += _fold_problems(settings, list(dict.fromkeys(["training", settings["part"]])))
    if not problems:
        problems += _training_problems(settings)
    _raise_if(problems, "evaluation", command_line)


def _training_problems(settings: Mapping[str, Any]) -> list[str]:
    """How the training that the model's card tells of forbids the evaluation."""
    problems = []
    card, model = read_card(settings["ckpt_path"]), settings["ckpt_path"]
    here = fold_hash(settings["datalist"], settings["folds"], settings["fold"])
    if card.get("datalist") == here["datalist"] and card.get("datalist_hash") != here["datalist_hash"]:
        logger.warning(
            f"{model} was trained on another version of the list {here['datalist']!r}: nothing tells whether its "
            f"training patients stand in the {settings['part']} part"
        )
    others = [
        training.get("fold", card.get("fold"))
        for training in _trainings(card)
        if training.get("datalist_hash") == here["datalist_hash"] and training.get("data_hash") != here["data_hash"]
    ]
    if others:
        problems.append(
            f"{model} was trained with another split of this list (fold {others[0]}): its training patients "
            f"may stand in the {settings['part']} part of fold {settings['fold']}. "
            f"Pass --fold {others[0]} and the folds of that training."
        )
    if card["image_size"] != settings["image_size"]:
        problems.append(
            f"{model} was trained at {card['image_size']} px, but image_size is {settings['image_size']}. "
            f"Pass --image_size {card['image_size']}."
        )
    return problems


def _trainings(card: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All that a model has seen: its own training, the first stage of a fine-tuned one, the sites of a federation."""
    yield card
    first_stage = [card["init"]] if card.get("init") else []
    for other in [*first_stage, *(card.get("federation") or {}).get("sites", [])]:
        yield from _trainings(other)


def check_inference(settings: Mapping[str, Any], command_line: CommandLine | None = None) -> None:
    """Check an inference: overrides, the model and its card, the folder of images; log which weights it takes.

    Raises:
        ValueError: with every problem; a SystemExit with the same text where the runner's command line is known.
    """
    of_model = {**settings, "num_downsamples": _num_downsamples(settings["ckpt_path"])}
    problems = config_problems(of_model, command_line) + _model_problems(settings)
    if settings.get("save_execute_config", False) is not False:  # the runner has changed it
        problems.insert(0, "--tracking: an inference has no loss and no metric to track. Leave it out.")
    if _are_paths(settings["dataset_dir"]) and not Path(settings["dataset_dir"]).is_dir():
        problems.append(f"there is no folder {settings['dataset_dir']}. Pass --dataset_dir IMAGES.")
    _raise_if(problems, "inference", command_line)
    if _world()[0] == 0:
        logger.info(_about_model(settings["ckpt_path"]))


def _num_downsamples(model: Any) -> int:
    """How often the model's generator halves an image; the paper's 2 where no card says it."""
    try:
        network = read_card(model)["network"]
        return int(network.get("num_downsamples", 2))
    except (AttributeError, KeyError, TypeError, ValueError):  # said by ``card_problems``
        return 2


def _about_model(model: str | os.PathLike) -> str:
    """Which weights an inference takes, whose they are, and what their images are not."""
    card = read_card(model)
    said = [f"weights {model}: {card.get('name', 'without a name')}, sha256 {card['sha256'][:12]}"]
    if "licence" in card:
        said.append(f"licence {card['licence']}")
    if data := card.get("data"):
        said.append("trained on " + ", ".join(data[key] for key in ("name", "licence", "attribution") if data.get(key)))
    return f"{'; '.join(text.rstrip('.') for text in said)}. {card.get('notice', NOTICE).rstrip('.')}."
