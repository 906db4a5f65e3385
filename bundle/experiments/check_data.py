"""What is wrong with the images of a run, all of it, before the first epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy import ndimage
from tqdm.auto import tqdm

from ..data.registration import breast_mask
from ..inference.image_folder import image_problem
from ..keys import BatchKeys, CaseKeys
from ..transforms import read_image

__all__ = ["case_problems", "data_problems", "image_problem"]

LARGEST_SIDE = 512  # the breast is found on an image thinned to about this, which is enough to place a map


def _near_breast(le: np.ndarray, margin: float) -> tuple[np.ndarray, int]:
    """The breast and its margin on the thinned image, and by how much it was thinned.

    Otsu on the logarithm keeps the fatty rim that Otsu on the grey values of dense breasts gives to the air. The margin
    is what hand-cropped and then aligned images lose at the chest wall. On the 248 real pairs of CDD-CESM with a map,
    90 % of which had to lie inside, plain Otsu refused 31, the logarithm 2, the logarithm with a margin of 0.02 none.
    """
    step = max(1, max(le.shape) // LARGEST_SIDE)
    thinned = le[::step, ::step]
    breast = breast_mask(thinned - thinned.min())
    if not breast.any():
        return breast, step
    return ndimage.distance_transform_edt(~breast) <= margin * max(breast.shape), step


def _map_problem(le: np.ndarray, seg: np.ndarray, least_inside: float, margin: float) -> str:
    """What is said of a lesion map that leaves the breast, or nothing; a flip that mends it is named."""
    breast, step = _near_breast(le, margin)

    def inside(seg: np.ndarray) -> float:
        rows, columns = (
            np.minimum(at // step, side - 1) for at, side in zip(np.nonzero(seg), breast.shape, strict=True)
        )
        return float(breast[rows, columns].mean())

    share = inside(seg)
    if share >= least_inside:
        return ""
    flipped = {
        "left to right": inside(seg[:, ::-1]),
        "top to bottom": inside(seg[::-1]),
        "both ways": inside(seg[::-1, ::-1]),
    }
    best = max(flipped, key=lambda way: flipped[way])
    hint = (
        f"flipped {best} it would be {flipped[best]:.0%}, so it is probably mirrored"
        if flipped[best] >= least_inside
        else "it may be of another image"
    )
    return f"only {share:.0%} of it lie inside the breast, expected {least_inside:.0%}: {hint}. Correct the file"


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
        wrong = _map_problem(images[BatchKeys.LE], images[BatchKeys.SEG], least_inside, margin)
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
