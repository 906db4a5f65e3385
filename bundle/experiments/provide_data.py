"""The default data of a run: a phantom that is made where it is missing."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import torch.distributed as dist

from ..data.folds import write_folds
from ..phantom.exam import write_study

__all__ = ["keep_former_evaluation", "keep_former_run", "provide_phantom"]

logger = logging.getLogger(__name__)
RUN_FILES = ("model.pt", "model.json", "checkpoint.pt")
OUTPUT_FILES = ("run.json", "panels")  # each run logs to a TensorBoard folder of its own
EVALUATION_FILES = ("metrics.csv", "summary.md", "panel.png", "evaluation.json", "images", "detectability.json")


def _is_first() -> bool:
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def _wait() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def provide_phantom(
    dataset_dir: str | os.PathLike,
    default_dir: str | os.PathLike,
    patients: int = 20,
    seed: int = 0,
    image_size: int = 512,
) -> None:
    """Make the phantom study, or its missing folds, when ``dataset_dir`` is the default place; rank 0 alone does it.

    Any other folder is the user's: where it is missing, the check before the run says so.
    """
    path = Path(dataset_dir)
    if path.resolve() == Path(default_dir).resolve() and not (path / "folds.json").is_file() and _is_first():
        if not (path / "datalist.json").is_file():
            logger.info(f"there is no study in {path}: making the phantom study ({patients} women, seed {seed})")
            write_study(path, patients=patients, seed=seed, image_size=image_size)
        logger.info(f"making {write_folds(path / 'datalist.json', k=10, seed=seed)}")
    _wait()


def keep_former_run(ckpt_dir: str | os.PathLike, resume: bool, output_dir: str | os.PathLike | None = None) -> None:
    """Move the files of an earlier training aside, so that a new one overwrites nothing; a resume leaves them."""
    if not resume:
        _move_aside(Path(ckpt_dir), RUN_FILES)
        if output_dir is not None:
            _move_aside(Path(output_dir), OUTPUT_FILES)
    _wait()


def keep_former_evaluation(output_dir: str | os.PathLike) -> None:
    """Move the files of an earlier evaluation aside."""
    _move_aside(Path(output_dir), EVALUATION_FILES)
    _wait()


def _move_aside(folder: Path, names: Sequence[str]) -> None:
    found = [folder / name for name in names if (folder / name).exists()]
    if found and _is_first():
        number = 1
        while (folder / f"former_{number}").exists():
            number += 1
        (folder / f"former_{number}").mkdir()
        for path in found:
            os.replace(path, folder / f"former_{number}" / path.name)
        logger.info(f"{folder} held an earlier run: its files are now in {folder / f'former_{number}'}")
