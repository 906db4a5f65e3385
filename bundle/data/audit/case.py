"""What an audit measures of one pair: small numbers, never pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...keys import BatchKeys, CaseKeys, MetaKeys
from ..image_check import image_problem, map_problem, share_in_breast
from ..images import read_image
from ..registration import register
from . import pixels
from .header import Header, read_header

__all__ = ["CaseRecord", "ImageRecord", "image_window", "measure_case"]


@dataclass
class ImageRecord:
    """Of one LE or DES image; ``window`` (centre, width) is that of the datalist, else of the file.

    ``hash`` is that of the exact pixels, ``look`` what stays of them in another format or size.
    """

    header: Header = field(default_factory=Header)
    problem: str = ""
    shape: tuple[int, int] | None = None
    window: tuple[float, float] | None = None
    hash: str = ""
    look: np.ndarray | None = field(default=None, repr=False, compare=False)
    clipped: tuple[float, float] = (0.0, 0.0)
    letters: int = 0


@dataclass
class CaseRecord:
    """Of one pair. Shift (rows down, columns right) in pixels, that of DES onto LE; NaN where it could not be measured.

    ``lesions`` are the pixels of each lesion, as drawn and at the size of training; ``inside`` is the share of the map
    that lies in the breast as ``map_problem`` counts it, ``map_values`` how many values the map holds, ``contrast`` the
    lesion's in DES, ``mirrored`` see ``mirrored_contrast``, ``wall`` see ``wall_share``.
    """

    images: dict[str, ImageRecord] = field(default_factory=dict)
    problem: str = ""
    map_problem: str = ""
    shift: tuple[float, float] = (math.nan, math.nan)
    shift_share: float = math.nan
    overlap: float = math.nan
    overlap_aligned: float = math.nan
    wall: float = math.nan
    lesions: list[tuple[int, int]] = field(default_factory=list)
    inside: float = math.nan
    map_values: int = 0
    contrast: float = math.nan
    mirrored: dict[str, float] = field(default_factory=dict)


def image_window(item: Mapping[str, Any], key: str, meta: Mapping[str, Any]) -> tuple[float, float] | None:
    """(centre, width) that training would stretch an image by: that of the datalist before that of the file."""
    center, width = item.get(f"{key}_window") or (meta[MetaKeys.WINDOW_CENTER], meta[MetaKeys.WINDOW_WIDTH])
    return None if math.isnan(center) or math.isnan(width) else (float(center), float(width))


def measure_case(item: Mapping[str, Any], image_size: int = 256, working_size: int = 512) -> CaseRecord:
    """Read the files of one pair and measure them.

    Args:
        item: of ``case_items``: absolute paths.
        image_size: side in pixels of the images that training sees.
        working_size: longest side in pixels at which the breast is looked at.
    """
    case = CaseRecord()
    images: dict[str, np.ndarray] = {}
    breasts: dict[str, np.ndarray] = {}
    for key in (BatchKeys.LE, BatchKeys.DES):
        record = case.images[key] = ImageRecord()
        try:  # apart: a header still names the woman when the pixels cannot be read
            record.header = read_header(item[key])
        except OSError as error:
            record.header = Header(problem=f"the file cannot be opened ({type(error).__name__})")
        try:
            image, meta = read_image(item[key])
            window = record.window = image_window(item, key, meta)
            center, width = window or (math.nan, math.nan)
            record.problem = image_problem(image, {MetaKeys.WINDOW_CENTER: center, MetaKeys.WINDOW_WIDTH: width})
        except FileNotFoundError:
            record.problem = "is missing"
            continue
        except (ValueError, OSError) as error:
            record.problem = str(error).replace(f"{Path(item[key])} ", "").replace(item[key], "the file")
            continue
        record.shape = (image.shape[0], image.shape[1])
        if record.problem:
            continue
        record.hash = pixels.pixel_hash(image)
        step = math.ceil(max(image.shape) / working_size)
        images[key] = pixels.stretched(image, window)
        small, breasts[key] = pixels.working_breast(images[key], step)
        record.clipped = pixels.clipped(images[key], breasts[key], step)
        record.letters = pixels.letters_in_air(small, breasts[key])
        record.look = pixels.look(small, breasts[key])
    if len(images) == 2:
        _measure_pair(case, images, breasts, item[CaseKeys.LATERALITY], working_size)
    if item.get(BatchKeys.SEG):
        _measure_map(case, item, images, breasts, image_size, working_size)
    return case


def _measure_pair(
    case: CaseRecord,
    images: Mapping[str, np.ndarray],
    breasts: Mapping[str, np.ndarray],
    laterality: str,
    working_size: int,
) -> None:
    le, des = BatchKeys.LE, BatchKeys.DES
    try:
        found = register(images[le], images[des], working_size=working_size)
    except ValueError as error:  # no breast is found
        case.problem = str(error)
        return
    case.shift, case.overlap, case.overlap_aligned = found.transform.shift, found.overlap_before, found.overlap
    case.shift_share = math.hypot(*found.transform.shift) / max(*images[le].shape, *images[des].shape)
    case.wall = sum(pixels.wall_share(breasts[key], laterality) for key in (le, des)) / 2


def _measure_map(
    case: CaseRecord,
    item: Mapping[str, Any],
    images: Mapping[str, np.ndarray],
    breasts: Mapping[str, np.ndarray],
    image_size: int,
    working_size: int,
) -> None:
    path = item[BatchKeys.SEG]
    try:
        drawn = read_image(path)[0]
    except FileNotFoundError:
        case.map_problem = "is missing"
        return
    except (ValueError, OSError) as error:
        case.map_problem = str(error).replace(f"{Path(path)} ", "").replace(path, "the file")
        return
    broken = int((~np.isfinite(drawn)).sum())
    if broken:
        case.map_problem = f"holds {broken} NaN or infinite pixels"
        return
    seg, case.map_values = drawn > 0, len(np.unique(drawn))
    shapes = {key: image.shape for key, image in images.items()}
    unlike = [key for key, shape in shapes.items() if shape != seg.shape]
    if not seg.any():
        case.map_problem = "is empty: a pair without a lesion has no map (seg: null)"
        return
    if unlike:
        key = unlike[0]
        case.map_problem = f"is of {_size(seg.shape)}, {key.upper()} of {_size(shapes[key])}"
        return
    case.lesions = pixels.lesion_sizes(seg, item[CaseKeys.LATERALITY], image_size)
    if BatchKeys.LE in images:
        case.map_problem = map_problem(images[BatchKeys.LE], seg)
        case.inside = share_in_breast(images[BatchKeys.LE], seg)
        if BatchKeys.DES in images:
            breast = _full(breasts[BatchKeys.LE], seg.shape, working_size)
            case.contrast = pixels.contrast(images[BatchKeys.DES], seg, breast)
            case.mirrored = pixels.mirrored_contrast(images[BatchKeys.DES], seg, breast)


def _full(breast: np.ndarray, shape: tuple[int, ...], working_size: int) -> np.ndarray:
    """The breast of the working size, on the grid of the image."""
    step = math.ceil(max(shape) / working_size)
    breast = np.kron(breast, np.ones((step, step), bool))
    return np.pad(breast, [(0, full - part) for full, part in zip(shape, breast.shape, strict=True)], mode="edge")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)
