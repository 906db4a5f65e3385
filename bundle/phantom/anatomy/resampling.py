"""Images on coarser and finer pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .grid import Map

__all__ = ["average", "blur", "interpolate"]


def average(values: NDArray, factor: int) -> Map:
    """Mean over squares of ``factor`` pixels; the shape must be a multiple of it."""
    rows, columns = (n // factor for n in values.shape)
    return values.reshape(rows, factor, columns, factor).mean(axis=(1, 3), dtype=np.float32)


def interpolate(values: Map, rows: NDArray[np.floating], columns: NDArray[np.floating]) -> Map:
    """Linear between pixels, at every crossing of ``rows`` and ``columns`` (in pixels, kept inside the image)."""
    for at in (rows, columns):  # one axis after the other
        at = np.clip(at, 0, len(values) - 1)
        low = np.minimum(at.astype(np.intp), max(len(values) - 2, 0))
        share = (at - low).astype(np.float32)[:, None]
        values = (values[low] * (1 - share) + values[np.minimum(low + 1, len(values) - 1)] * share).T
    return np.ascontiguousarray(values)


def blur(image: Map, sigma: float, spacing: float) -> Map:
    """Gaussian blur of ``sigma`` mm, to 3 of them; a wide one is made on a coarser grid, which nobody can tell."""
    step = max(1, int(sigma / spacing / 3))
    coarse = average(np.pad(image, [(0, -n % step) for n in image.shape], mode="edge"), step) if step > 1 else image
    coarse = ndimage.gaussian_filter(coarse, sigma / spacing / step, mode="nearest", truncate=3.0)
    if step == 1:
        return coarse
    return interpolate(coarse, *((np.arange(n) + 0.5) / step - 0.5 for n in image.shape))
