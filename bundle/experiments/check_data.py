"""What is wrong with the images of a run, all of it, before the first epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..data.image_check import image_problem, map_problem
from ..data.images import read_image
from ..keys import BatchKeys, CaseKeys

__all__ = ["case_problems", "data_problems"]


def case_problems(item: Mapping[str, Any], least_inside: float = 0.9, margin: float = 0.02) -> list[str]:
    """Everything wrong with one pair: files, sizes, pixels, and a map that leaves the breast.

    Args:
        item: a case with the paths ``le``, ``des`` and, where there is one, ``seg``.
        least_inside: share of the map that must lie inside the breast.
        margin: how far from the breast a map still counts as inside, as a share of the image's longer side.
    """
    name = item[CaseKeys.CASE_ID]
    images: dict[str, np.ndarray] = {}
    problems = []
    for key in (BatchKeys.LE, BatchKeys.DES, BatchKeys.SEG):
        if key not in item:
            continue
        try:
            images[key], meta = read_image(item[key])
        except (OSError, ValueError) as error:
            problems.append(f"{name}: {key}: {error}")
            continue
        wrong = image_problem(images[key], meta)
        if wrong and key == BatchKeys.SEG:
            wrong += ': a pair without a lesion has "seg": null in the datalist'
        if wrong:
            problems.append(f"{name}: {key} {item[key]} {wrong}.")
    shapes = {key: image.shape for key, image in images.items()}
    if len(set(shapes.values())) > 1:
        said = ", ".join(f"{key} {rows} x {columns}" for key, (rows, columns) in shapes.items())
        problems.append(
            f"{name}: images of different size ({said}), expected one grid. Prepare the data again with "
            "--align translate."
        )
    elif BatchKeys.SEG in images and BatchKeys.LE in images and not problems:
        wrong = map_problem(images[BatchKeys.LE], images[BatchKeys.SEG], least_inside, margin)
        if wrong:
            problems.append(
                f'{name}: seg {item[BatchKeys.SEG]}: {wrong}, or take it out of the datalist ("seg": null).'
            )
    return problems


def data_problems(items: Sequence[Mapping[str, Any]], least_inside: float = 0.9, margin: float = 0.02) -> list[str]:
    """Problems of all cases, in their order; reads every image once, with a progress bar."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda item: case_problems(item, least_inside, margin), items)
        return [
            problem for problems in tqdm(found, total=len(items), desc="checking", unit="pair") for problem in problems
        ]
