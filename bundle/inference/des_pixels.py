"""From a virtual DES in [0, 1] to the 12-bit pixels and the window of a DES image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["HIGHEST", "des_pixels"]

HIGHEST = 4095  # of 12 bits
BLOCK = 2**17  # pixels at a time, which stay in the cache


def des_pixels(
    virtual: np.ndarray,
    window: Sequence[float] | None = None,
    air: np.ndarray | None = None,
    air_value: float = 0.0,
) -> tuple[np.ndarray, tuple[float, float]]:
    """Stored values of a virtual DES, and the window in which they look as the network made them.

    The network was trained on DES images that were stretched from their own window to [0, 1]; this is the way back:
    0 becomes the window's lower end, 1 its upper end. Where that needs more than 12 bits, values and window are scaled
    down together. Without a window the whole range of 12 bits is used.

    Args:
        virtual: (H, W) in [0, 1].
        window: (centre, width) of the DES images of the training, in their stored values: the card's median.
        air: (H, W), true where the LE image has its constant background.
        air_value: the LE image's value there; it is kept, unless it would be brighter than black in this window.

    Returns:
        pixels: (H, W) uint16, 0 to 4095.
        window: (centre, width).

    Raises:
        ValueError: for a shape other than (H, W), pixels that are not finite, or a window that has no room in 12 bits.
    """
    if virtual.ndim != 2:
        raise ValueError(f"a virtual DES has shape {virtual.shape}, expected (H, W).")
    if virtual.size and not np.isfinite([virtual.min(), virtual.max()]).all():  # a NaN is both
        raise ValueError("the virtual DES holds NaN or infinite pixels: the model's weights are broken.")
    center, width = window or ((HIGHEST + 1) / 2, HIGHEST + 1.0)
    low, high = center - width / 2, center + width / 2
    if window is None:
        low, high = 0.0, float(HIGHEST)
    if width <= 0 or high <= 0:
        raise ValueError(f"the DES window (centre {center:g}, width {width:g}) has no values above 0: give another.")
    scale = min(1.0, HIGHEST / high)
    pixels = np.empty(virtual.shape, dtype=np.uint16)
    rows = max(1, BLOCK // max(1, virtual.shape[1]))
    for start in range(0, len(virtual), rows):
        values = np.clip(virtual[start : start + rows], 0.0, 1.0)
        values *= high - low
        values += low
        values *= scale
        np.rint(values, out=values)
        np.clip(values, 0, HIGHEST, out=values)
        pixels[start : start + rows] = values
    if air is not None:
        pixels[air] = int(np.clip(min(air_value, low * scale), 0, HIGHEST))
    return pixels, (center * scale, width * scale)
