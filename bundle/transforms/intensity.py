"""Contrast stretching: what MONAI lacks is a window that each image brings along; and its quick twins of two steps."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey, convert_to_dst_type

from ..keys import MetaKeys

__all__ = ["ContrastStretchd", "ScaleToUnitd", "percentiles_above"]

METHODS = ("window", "percentile", "none")


class ContrastStretchd(MapTransform):
    """Clip each image to the grey values that its reader would look at (arXiv 2505.03018, preprocessing).

    Only the clipping is done here: the step to [0, 1] is MONAI's ``ScaleIntensityd`` (or ``ScaleIntensityRanged``, to
    keep a fixed window comparable between images). Padding comes before, so its zeros are clipped as well.

    Methods:
        ``"window"``: clip to [c - w/2, c + w/2]. The window is, in this order: the argument; ``item["<key>_window"]``,
            a pair (c, w) of the datalist for files that cannot carry one; the image's own metadata, as DICOM has it.
            An image without any stays as it is.
        ``"percentile"``: clip to two percentiles of the breast, that is of the pixels above ``air``.
        ``"none"``: leave every image as it is.

    Args:
        keys: images, (1, H, W), in the file's units.
        method: one of the above.
        window: (centre, width) for all keys, in the file's units.
        percentiles: low and high, 0 to 100, of ``"percentile"``.
        air: pixels up to this value are padding or air and do not count in ``"percentile"``, in the file's units.
        allow_missing_keys: pass over an item that lacks a key.

    Raises:
        ValueError: for an unknown method, percentiles out of order, a width that is not positive.

    Example:
        ``{"_target_": "bundle.transforms.ContrastStretchd", "keys": ["le", "des"]}``
    """

    def __init__(
        self,
        keys: KeysCollection,
        method: str = "window",
        window: Sequence[float] | None = None,
        percentiles: Sequence[float] = (1.0, 99.0),
        air: float = 0.0,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if method not in METHODS:
            raise ValueError(f"Contrast stretching method {method!r}: expected one of {METHODS}.")
        low, high = percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(f"Percentiles {tuple(percentiles)}: expected 0 <= low < high <= 100.")
        if window is not None:
            if method != "window":
                raise ValueError(f"A fixed window {tuple(window)} was given with method {method!r}: expected 'window'.")
            center, width = window
            _bounds(center, width, "the argument window")
        self.method = method
        self.window = window
        self.percentiles = (float(low), float(high))
        self.air = air

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            bounds = self._clip_bounds(item, key)
            if bounds is not None:
                item[key] = torch.clamp(item[key], *bounds)
        return item

    def _clip_bounds(self, item: Mapping[Hashable, Any], key: Hashable) -> tuple[float, float] | None:
        image = item[key]
        if self.method == "none":
            return None
        if self.method == "percentile":
            low, high = percentiles_above(np.asarray(image), self.air, self.percentiles)
            return (low, high) if low < high else None
        meta = getattr(image, "meta", {})
        if self.window is not None:
            center, width = self.window
        elif item.get(f"{key}_window") is not None:
            center, width = item[f"{key}_window"]
        else:
            center, width = (meta.get(name, math.nan) for name in (MetaKeys.WINDOW_CENTER, MetaKeys.WINDOW_WIDTH))
        if math.isnan(center) or math.isnan(width):
            return None
        return _bounds(center, width, source=f"{key} {meta.get(ImageMetaKey.FILENAME_OR_OBJ, '')}".strip())


def _bounds(center: float, width: float, source: str) -> tuple[float, float]:
    if width <= 0:
        raise ValueError(
            f"The window of {source} has centre {center:g} and width {width:g}: expected a width above 0. "
            "Give a window of your own, or stretch by method 'percentile'."
        )
    return float(center) - float(width) / 2, float(center) + float(width) / 2


def percentiles_above(image: np.ndarray, air: float, percentiles: Sequence[float]) -> list[float]:
    """Percentiles of the pixels above ``air``, NaN where there is none: ``np.percentile`` to the last bit.

    Pixels of whole numbers, in a range of 16 bits, are counted and not sorted, which takes a tenth of the time.

    Args:
        image: of any shape.
        air: in the image's unit.
        percentiles: 0 to 100.
    """
    counted = _counted(image)
    if counted is None:
        breast = image[image > air]
        return (
            [float(value) for value in np.percentile(breast, percentiles)]
            if breast.size
            else [math.nan] * len(percentiles)
        )
    lowest, counts = counted
    up_to = np.cumsum(np.where(np.arange(lowest, lowest + len(counts)) > air, counts, 0))
    if not up_to[-1]:
        return [math.nan] * len(percentiles)
    place = (up_to[-1] - 1) * (np.asarray(percentiles, dtype=float) / 100)  # linear, as numpy's default
    below = np.floor(place).astype(np.intp)
    first, second = (
        lowest + np.searchsorted(up_to, np.minimum(index, up_to[-1] - 1), side="right") for index in (below, below + 1)
    )
    weight, step = place - below, second - first
    return [float(value) for value in np.where(weight >= 0.5, second - step * (1 - weight), first + step * weight)]


def _counted(image: np.ndarray, block: int = 2**17, widest: int = 2**16) -> tuple[int, np.ndarray] | None:
    """The lowest value, and how often it and each whole number above it stands; None for other images."""
    low, high = (float(image.min()), float(image.max())) if image.size else (math.nan, math.nan)
    if not (high - low < widest and abs(low) < 2**24 and low == int(low)):
        return None
    flat, lowest = image.reshape(-1), int(low)
    counts = np.zeros(int(high) - lowest + 1, dtype=np.intp)
    for start in range(0, flat.size, block):  # as much as stays in the cache
        values = flat[start : start + block]
        whole = values.astype(np.intp)
        if not np.array_equal(whole, values):
            return None
        counts += np.bincount(whole - lowest, minlength=len(counts))
    return lowest, counts


class ScaleToUnitd(MapTransform):
    """MONAI's ``ScaleIntensityd(minv=0, maxv=1)`` to the last bit, with half of its passes over the image.

    Args:
        keys: images, any shape, float32; each is brought to [0, 1], a constant one to 0.
        allow_missing_keys: pass over an item that lacks a key.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            image = torch.as_tensor(item[key])
            image = image.as_tensor() if isinstance(image, MetaTensor) else image
            low, high = torch.aminmax(image)
            scaled = (image - low).div_(high - low) if low != high else torch.zeros_like(image)
            item[key] = convert_to_dst_type(scaled, dst=item[key])[0]
        return item
