"""What is wrong with the images of a run, all of it, before the first epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..keys import BatchKeys, CaseKeys
from ..metrics import breast_mask
from ..transforms import read_image

__all__ = ["case_problems", "data_problems", "image_problem"]

LARGEST_SIDE = 512  # the breast is found on an image thinned to at most this, which is enough to place a map


def image_problem(image: np.ndarray) -> str:
    """Why an image (H, W) cannot be used, or nothing."""
    if not np.isfinite(image).all():
        return f"holds {int((~np.isfinite(image)).sum())} NaN or infinite pixels"
    if image.min() == image.max():
        return f"is constant ({float(image.min()):g} everywhere)"
    return ""


def _inside_breast(le: np.ndarray, seg: np.ndarray) -> float:
    """Share of a map's pixels that lie inside the breast."""
    step = max(1, max(le.shape) // LARGEST_SIDE)
    breast = breast_mask(le[::step, ::step])
    rows, columns = np.nonzero(seg)
    inside = breast[np.minimum(rows // step, breast.shape[0] - 1), np.minimum(columns // step, breast.shape[1] - 1)]
    return float(inside.mean())


def case_problems(item: Mapping[str, Any], least_inside: float = 0.9) -> list[str]:
    """Everything wrong with one pair: files, sizes, pixels, and a map that leaves the breast.

    Args:
        item: a case with the paths ``le``, ``des`` and, where there is one, ``seg``.
        least_inside: share of the map that must lie inside the breast.
    """
    name = item[CaseKeys.CASE_ID]
    images: dict[str, np.ndarray] = {}
    problems = []
    for key in (BatchKeys.LE, BatchKeys.DES, BatchKeys.SEG):
        if key not in item:
            continue
        try:
            images[key], _ = read_image(item[key])
        except (OSError, ValueError) as error:
            problems.append(f"{name}: {key}: {error}")
            continue
        wrong = image_problem(images[key])
        if wrong:
            problems.append(f"{name}: {key} {item[key]} {wrong}.")
    shapes = {key: image.shape for key, image in images.items()}
    if len(set(shapes.values())) > 1:
        said = ", ".join(f"{key} {rows} x {columns}" for key, (rows, columns) in shapes.items())
        problems.append(f"{name}: images of different size ({said}). Prepare the data again with --align translate.")
    elif BatchKeys.SEG in images and BatchKeys.LE in images and not problems:
        inside = _inside_breast(images[BatchKeys.LE], images[BatchKeys.SEG])
        if inside < least_inside:
            problems.append(
                f"{name}: only {inside:.0%} of the lesion map {item[BatchKeys.SEG]} lie inside the breast, expected "
                f"{least_inside:.0%}: is it mirrored or of another image?"
            )
    return problems


def data_problems(items: Sequence[Mapping[str, Any]], least_inside: float = 0.9) -> list[str]:
    """Problems of all cases, in their order; reads every image once, with a progress bar."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda item: case_problems(item, least_inside), items)
        return [
            problem for problems in tqdm(found, total=len(items), desc="checking", unit="pair") for problem in problems
        ]
