"""Small pictures of one pair for the audit page: LE, DES, and the edges of both in one."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from ...keys import BatchKeys
from ..images import read_image
from .case import image_window
from .pixels import stretched

__all__ = ["draw_case"]

Picture = dict[str, Any]


def draw_case(item: Mapping[str, Any], side: int = 320, quality: int = 80) -> list[Picture]:
    """LE, DES (the lesion's outline on both) and the edges of both, cropped to what is not black.

    Args:
        item: of ``case_items``: absolute paths.
        side: longest side of a picture in pixels.
        quality: of the JPEG, 1 to 95.

    Returns:
        mappings with ``name``, ``src`` (a data URI), ``width``, ``height``; what cannot be read is left out.
    """
    images = {}
    for key in (BatchKeys.LE, BatchKeys.DES):
        try:
            image, meta = read_image(item[key])
            images[key] = stretched(np.nan_to_num(image), image_window(item, key, meta))
        except (ValueError, OSError):
            continue
    if not images:
        return []
    shape = tuple(np.max([image.shape for image in images.values()], axis=0))
    images = {key: _padded(image, shape) for key, image in images.items()}
    seg = _lesion(item, shape)
    box = _content(images.values())
    size = _size(tuple(side.stop - side.start for side in box), side)
    small = {key: _shrunk(image[box], size) for key, image in images.items()}
    outline = (
        _outline(_shrunk(seg[box].astype(np.float32), size) >= 0.5) if seg is not None and seg[box].any() else None
    )
    pictures = []
    for key, image in small.items():
        grey = np.repeat(np.rint(255 * image).astype(np.uint8)[..., None], 3, axis=2)
        if outline is not None:
            grey[outline] = (255, 176, 0)
        pictures.append(_picture(key.upper(), grey, quality))
    if len(small) == 2:
        le, des = (_edges(image) for image in small.values())
        pictures.append(_picture("edges", np.stack([le, des, des], axis=2), quality))
    return pictures


def _padded(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.pad(image, [(0, full - part) for full, part in zip(shape, image.shape, strict=True)])


def _lesion(item: Mapping[str, Any], shape: tuple[int, ...]) -> np.ndarray | None:
    if not item.get(BatchKeys.SEG):
        return None
    try:
        seg = read_image(item[BatchKeys.SEG])[0] > 0
    except (ValueError, OSError):
        return None
    return _padded(seg, shape) if all(part <= full for part, full in zip(seg.shape, shape, strict=True)) else None


def _content(images: Any, dark: float = 0.04) -> tuple[slice, slice]:
    """The box of what is brighter than ``dark`` in any image, so that no pixel of the page is spent on air."""
    bright = np.any([ndimage.uniform_filter(image, 3) > dark for image in images], axis=0)
    if not bright.any():
        return slice(0, bright.shape[0]), slice(0, bright.shape[1])
    found = [np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0)]
    rows, columns = (slice(int(places[0]), int(places[-1]) + 1) for places in found)
    return rows, columns


def _size(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    scale = side / max(shape)
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _shrunk(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    resample = Image.Resampling.BOX if size[0] <= image.shape[0] else Image.Resampling.BILINEAR
    return np.clip(np.asarray(Image.fromarray(image.astype(np.float32)).resize(size[::-1], resample)), 0, 1)


def _outline(seg: np.ndarray) -> np.ndarray:
    """A line of two pixels around a map, one pixel away from it."""
    return ndimage.binary_dilation(seg, iterations=3) & ~ndimage.binary_dilation(seg, iterations=1)


def _edges(image: np.ndarray, sigma: float = 1.5) -> np.ndarray:
    """Gradient magnitude of the logarithm, as registration compares it, 0 to 255."""
    edges = ndimage.gaussian_gradient_magnitude(np.log1p(255 * image), sigma)
    top = float(np.percentile(edges, 99.5)) or math.inf
    return np.rint(255 * np.clip(edges / top, 0, 1) ** 0.7).astype(np.uint8)


def _picture(name: str, pixels: np.ndarray, quality: int) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    src = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"name": name, "src": src, "width": pixels.shape[1], "height": pixels.shape[0]}
