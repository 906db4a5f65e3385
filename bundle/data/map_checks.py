"""What a lesion map has to be: readable, labels and no grey values, on its image's grid, and not empty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

__all__ = [
    "agreed_place",
    "check_size",
    "fitting_spacing",
    "lesion_of_labels",
    "lesion_of_picture",
    "not_empty",
]


def check_size(path: Path, size: tuple[int, ...], shape: tuple[int, int]) -> None:
    if size != shape[::-1]:
        raise ValueError(
            f"{path} has {size[0]} x {size[1]} pixels: expected {shape[1]} x {shape[0]} as its image. Export it on "
            "that image's grid."
        )


def not_empty(path: Path, lesion: np.ndarray) -> np.ndarray:
    if not lesion.any():
        raise ValueError(f"{path} is empty: expected at least one pixel of lesion. Draw it again, or leave it out.")
    return lesion


def lesion_of_labels(path: Path, values: np.ndarray, max_labels: int) -> np.ndarray:
    """Labels above 0, or probabilities of 0.5 and more; an array of any shape and type gives one of bool.

    Raises:
        ValueError: for values that are neither, and for more than ``max_labels`` of them, as the greys of an image.
    """
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{path} holds {values.dtype} values: expected labels or probabilities. Export a label map.")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    whole = values.dtype.kind != "f" or bool((values == np.rint(values)).all())
    if not (low >= 0 and (whole or high <= 1)):  # also for NaN
        raise ValueError(
            f"{path} holds values from {low:g} to {high:g}: expected whole labels from 0 upwards, or probabilities "
            "from 0 to 1. Export a label map."
        )
    if whole and high > max_labels and (found := len(np.unique(values[values > 0]))) > max_labels:
        raise ValueError(
            f"{path} holds {found} grey values up to {high:g}: expected at most {max_labels} labels. This is an image, "
            "no lesion map: export the segmentation, and leave the image out of the maps' folder."
        )
    return values > 0 if whole else values >= 0.5


def lesion_of_picture(
    path: Path, values: np.ndarray, max_labels: int, rim: int = 8, least_soft: float = 0.7
) -> np.ndarray:
    """As :func:`lesion_of_labels`, but a drawing of one grey with soft rims (H, W) is cut at half of that grey.

    Soft rims come from scaling, smooth brushes and JPEG. On 20 drawn maps of CDD-CESM, scaled or compressed in eight
    ways, 83 % and more of the greys in between lay at a rim; on 20 mammograms 8 % at most.

    Args:
        rim: how far, in pixels along rows and columns, a grey at a rim may lie from black and from the grey drawn with;
            in a picture of less than 256 pixels, where everything lies near a rim, less.
        least_soft: share of the greys in between that has to lie so.
    """
    top = float(values.max()) if values.size else 0.0
    between = (values > 0) & (values < top)
    if top > max_labels and between.any():
        size = 2 * min(rim, max(values.shape) // 32) + 1
        dark, bright = (ndimage.maximum_filter(level, size) for level in (values <= 0.1 * top, values >= 0.9 * top))
        if (dark & bright)[between].mean() >= least_soft:
            return values >= 0.5 * top
    return lesion_of_labels(path, values, max_labels)


def fitting_spacing(
    path: Path, spacings: Sequence[tuple[float, float]], own: np.ndarray, max_ratio: float, max_misfit: float
) -> np.ndarray:
    """The image's spacing (row, column) as the map has it: a whole number or part of the map's own, which goes best."""

    def whole(candidate: np.ndarray) -> np.ndarray:
        ratio = candidate / own
        return np.where(ratio >= 1, np.round(ratio), 1 / np.round(np.maximum(1 / ratio, 1)))

    def misfit(candidate: np.ndarray) -> tuple[float, float]:
        factor = candidate / own / whole(candidate)
        return round(float(np.abs(factor - 1).max()), 3), float(np.abs(np.log(candidate / own)).max())

    spacing = min(map(np.array, spacings), key=misfit, default=own)
    sizes = (
        f"{path} has pixels of {own[1]:g} x {own[0]:g} mm, its image of {spacing[1]:g} x {spacing[0]:g} mm: expected"
    )
    if np.abs(np.log(spacing / own)).max() > math.log(max_ratio):
        raise ValueError(
            f"{sizes} about the same. It was drawn on another copy of the image: save it again on this one."
        )
    if np.abs(spacing / own / whole(spacing) - 1).max() > max_misfit:
        raise ValueError(
            f"{sizes} the same, or a whole number or part of it, within {max_misfit:.1%}. It was drawn on a scaled "
            "copy of the image, or the spacing was changed: save it again on this one, or uncropped."
        )
    return own * whole(spacing)


def agreed_place(path: Path, origin: np.ndarray | None, counted: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """The place (x, y, z) in mm by ``space origin``, or by what Slicer counts where there is none."""
    if origin is None:
        return counted
    if (np.abs(origin - counted)[:2] > pixel).any():
        at, by_count = (f"({place[0]:g}, {place[1]:g}) mm" for place in (origin, counted))
        raise ValueError(
            f"{path} says two places: {at} by space origin, {by_count} by Segmentation_ReferenceImageExtentOffset: "
            "expected one, within a pixel. Save it again from 3D Slicer, or uncropped on its image."
        )
    return origin
