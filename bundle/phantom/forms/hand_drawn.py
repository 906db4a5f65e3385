"""Lesion maps as the regions that a radiologist draws in the VGG Image Annotator, the inverse of ``draw_regions``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours

from ...data.lesion_maps import draw_region
from ...data.registration import overlap

__all__ = ["trace"]


def trace(lesion: NDArray[np.bool_], least_overlap: float = 0.9) -> list[dict[str, Any]]:
    """One region for each connected part of a map.

    Args:
        lesion: (H, W).
        least_overlap: Dice from which on a circle, else an ellipse, is good enough; the rest are polygons, with their
            holes filled, half a pixel beside the outline at most.
    """
    parts, count = ndimage.label(lesion, np.ones((3, 3)))
    return [_region(parts == number, least_overlap) for number in range(1, count + 1)]


def _region(part: NDArray[np.bool_], least_overlap: float) -> dict[str, Any]:
    rows, columns = np.nonzero(part)
    cx, cy = round(float(columns.mean()), 1), round(float(rows.mean()), 1)
    radius = round(float(np.sqrt(rows.size / np.pi)) - 0.5, 1)  # VIA's shapes end at pixel centres
    # an ellipse's standard deviation is half its semi-axis
    rx, ry = (round(max(2 * float(axis.std()) - 0.5, 0.0), 1) for axis in (columns, rows))
    for region in (
        {"name": "circle", "cx": cx, "cy": cy, "r": radius},
        {"name": "ellipse", "cx": cx, "cy": cy, "rx": rx, "ry": ry},
    ):
        if overlap(part, draw_region(region, part.shape)) >= least_overlap:
            return region
    filled = np.pad(ndimage.binary_fill_holes(part), 1).astype(float)
    outline = max(find_contours(filled, 0.5), key=len) - 1
    points = np.round(approximate_polygon(outline, 0.5)[:-1], 1)
    return {"name": "polygon", "all_points_x": points[:, 1].tolist(), "all_points_y": points[:, 0].tolist()}
