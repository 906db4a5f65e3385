"""What is wrong with one image, or with a lesion map on it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import ndimage

from ..keys import MetaKeys
from .registration import breast_mask

__all__ = ["image_problem", "map_problem", "share_in_breast"]

LARGEST_SIDE = 512  # the breast is found on an image thinned to about this, which is enough to place a map


def image_problem(image: np.ndarray, meta: Mapping[str, Any] | None = None) -> str:
    """Why an image (H, W) with the reader's metadata cannot be used, or nothing."""
    broken = int((~np.isfinite(image)).sum())
    if broken:
        return f"holds {broken} NaN or infinite pixels"
    if image.min() == image.max():
        return f"is constant ({float(image.min()):g} everywhere)"
    center, width = ((meta or {}).get(key, math.nan) for key in (MetaKeys.WINDOW_CENTER, MetaKeys.WINDOW_WIDTH))
    if math.isnan(center) or math.isnan(width):
        return ""
    if width <= 0:
        return f"has a window of width {width:g}, expected one above 0"
    if image.max() <= center - width / 2 or image.min() >= center + width / 2:
        return (
            f"lies outside its window (centre {center:g}, width {width:g}; pixels {float(image.min()):g} to "
            f"{float(image.max()):g})"
        )
    return ""


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


def share_in_breast(le: np.ndarray, seg: np.ndarray, margin: float = 0.02) -> float:
    """The share of a lesion map that :func:`map_problem` holds against ``least_inside``; NaN for an empty map.

    Args:
        le, seg, margin: see there.
    """
    return _inside(seg, *_near_breast(le, margin)) if np.any(seg) else math.nan


def _inside(seg: np.ndarray, breast: np.ndarray, step: int) -> float:
    rows, columns = (np.minimum(at // step, side - 1) for at, side in zip(np.nonzero(seg), breast.shape, strict=True))
    return float(breast[rows, columns].mean())


def map_problem(
    le: np.ndarray, seg: np.ndarray, least_inside: float = 0.9, margin: float = 0.02, most_covered: float = 0.7
) -> str:
    """What is said of a lesion map that leaves or fills the breast, or nothing; a flip that mends it is named.

    Args:
        le, seg: the LE image and the map on its grid, (H, W) each.
        least_inside: share of the map that must lie inside the breast.
        margin: how far from the breast a map still counts as inside, as a share of the image's longer side.
        most_covered: share of the breast and its margin that a map may cover; the largest of the 496 maps of CDD-CESM
            covers 0.62, nine in ten less than 0.27 of the breast.
    """
    breast, step = _near_breast(le, margin)
    covered = float((seg[::step, ::step] > 0)[breast].mean()) if breast.any() else 0.0
    if covered > most_covered:
        return (
            f"covers {covered:.0%} of the breast, expected {most_covered:.0%} at most: it is probably an image or the "
            "outline of the breast. Correct the file"
        )

    share = _inside(seg, breast, step)
    if share >= least_inside:
        return ""
    flipped = {
        "left to right": _inside(seg[:, ::-1], breast, step),
        "top to bottom": _inside(seg[::-1], breast, step),
        "both ways": _inside(seg[::-1, ::-1], breast, step),
    }
    best = max(flipped, key=lambda way: flipped[way])
    hint = (
        f"flipped {best} it would be {flipped[best]:.0%}, so it is probably mirrored"
        if flipped[best] >= least_inside
        else "it may be of another image"
    )
    return f"only {share:.0%} of it lie inside the breast, expected {least_inside:.0%}: {hint}. Correct the file"
