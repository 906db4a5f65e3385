"""Hand-drawn lesions: regions of the VGG Image Annotator (VIA) as CSV, drawn as binary maps.

VIA: Dutta and Zisserman, "The VIA annotation software for images, audio and video", ACM Multimedia 2019. One row is one
region, its shape a JSON object in ``region_shape_attributes``; coordinates are pixels, x to the right and y down.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from skimage import draw

__all__ = ["SHAPES", "draw_region", "draw_regions", "excess", "image_stem", "read_regions", "shape_counts"]

Region = Mapping[str, Any]

SHAPES = {
    "polygon": ("all_points_x", "all_points_y"),
    "polyline": ("all_points_x", "all_points_y"),
    "ellipse": ("cx", "cy", "rx", "ry"),
    "circle": ("cx", "cy", "r"),
    "point": ("cx", "cy"),
}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def image_stem(name: str) -> str:
    """Name of an image without folder, suffix and stray blanks: ``"P4_L_DM_MLO .jpg"`` is ``"P4_L_DM_MLO"``."""
    path = PurePath(name.strip())
    return (path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name).strip()


def _numbers(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(
        isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) for number in values
    )


def _problem(region: Any) -> str | None:
    if not isinstance(region, dict) or region.get("name") not in SHAPES:
        return f"shape {region.get('name') if isinstance(region, dict) else region!r}, expected one of {tuple(SHAPES)}"
    keys = SHAPES[region["name"]]
    bad = [key for key in keys if not _numbers(region.get(key))]
    if bad:
        return f"{region['name']} needs numbers in {', '.join(bad)}"
    if "all_points_x" in keys and len(region["all_points_x"]) != len(region["all_points_y"]):
        return f"{len(region['all_points_x'])} x against {len(region['all_points_y'])} y coordinates"
    return None


def read_regions(path: str | os.PathLike) -> dict[str, list[Region]]:
    """Read a VIA region file.

    Returns:
        image stem -> its regions, each the JSON object of its row. Rows of images without a region are left out.

    Raises:
        ValueError: when columns are missing, or with every row that cannot be read.
    """
    path = Path(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = {str(name).lstrip("#"): name for name in reader.fieldnames or ()}
        missing = [name for name in ("filename", "region_shape_attributes") if name not in columns]
        if missing:
            raise ValueError(f"{path} is no VIA region file: it lacks the column(s) {', '.join(missing)}.")
        regions: dict[str, list[Region]] = {}
        problems = []
        for row in reader:
            text = row[columns["region_shape_attributes"]] or "{}"
            try:
                region = json.loads(text)
            except json.JSONDecodeError:
                problems.append(f"line {reader.line_num}: no JSON object: {text[:60]}")
                continue
            if region == {}:
                continue
            problem = _problem(region)
            if problem:
                problems.append(f"line {reader.line_num}: {problem}")
            else:
                regions.setdefault(image_stem(row[columns["filename"]]), []).append(region)
    if problems:
        raise ValueError(f"{path} has {len(problems)} problem(s):\n  " + "\n  ".join(problems))
    return regions


def shape_counts(regions: Mapping[str, Iterable[Region]]) -> Counter[str]:
    """How many regions there are of each shape, over all images."""
    return Counter(region["name"] for drawn in regions.values() for region in drawn)


def _box(region: Region) -> tuple[float, float, float, float]:
    """Smallest and largest x, smallest and largest y of a region, in pixels."""
    if "all_points_x" in region:
        x, y = region["all_points_x"], region["all_points_y"]
        return min(x), max(x), min(y), max(y)
    rx, ry = region.get("rx", region.get("r", 0)), region.get("ry", region.get("r", 0))
    return region["cx"] - rx, region["cx"] + rx, region["cy"] - ry, region["cy"] + ry


def excess(regions: Iterable[Region], shape: tuple[int, int]) -> float:
    """How far regions reach beyond an image (rows, columns), as a share of that side; 0 when all lie inside.

    A hand that slips gives a per cent or two; more says that the regions were drawn on an image of another size.
    """
    rows, columns = shape
    beyond = [0.0]
    for region in regions:
        left, right, top, bottom = _box(region)
        beyond += [-left / columns, (right - columns) / columns, -top / rows, (bottom - rows) / rows]
    return max(beyond)


def draw_region(region: Region, shape: tuple[int, int], point_radius: float = 15.0) -> np.ndarray:
    """Draw one region; what lies outside the image is cut off.

    A polyline is closed and filled; a point becomes a disc of ``point_radius`` pixels (15 pixels of 0.1 mm: a spot of 3
    mm across). Every pixel centre on an outline belongs to the lesion.

    Returns:
        (H, W) bool.
    """
    lesion = np.zeros(shape, bool)
    if "all_points_x" in region:
        lesion[draw.polygon(region["all_points_y"], region["all_points_x"], shape)] = True
        return lesion
    rx = region.get("rx", region.get("r", point_radius))
    ry = region.get("ry", region.get("r", point_radius))
    # the half pixel keeps the end points of both axes, and one pixel of a shape without extent
    lesion[draw.ellipse(region["cy"], region["cx"], ry + 0.5, rx + 0.5, shape)] = True
    return lesion


def draw_regions(regions: Iterable[Region], shape: tuple[int, int], point_radius: float = 15.0) -> np.ndarray:
    """Union of all regions of an image, (H, W) bool; see ``draw_region``."""
    lesion = np.zeros(shape, bool)
    for region in regions:
        lesion |= draw_region(region, shape, point_radius)
    return lesion
