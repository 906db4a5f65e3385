"""From what a detector reads to 12-bit images for presentation in GE-like windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .anatomy import Breast, Map
from .anatomy.resampling import blur

__all__ = ["DES_DISPLAY", "HE_DISPLAY", "LE_DISPLAY", "Display", "tone"]


@dataclass(frozen=True)
class Display:
    """A straight line from a quantity to stored values, and the window they are meant to be seen in.

    The window reaches from ``center - width / 2`` to ``center + width / 2`` (DICOM PS3.3 C.11.2.1.2); ``base`` is where
    0 of the quantity lies in it, ``gain`` what 1 of it adds, both as a share of the width.
    """

    center: float
    width: float
    base: float
    gain: float

    def store(self, quantity: Map, mask: NDArray[np.bool_]) -> NDArray[np.uint16]:
        """12-bit values, 1 to 4095 in the breast and 0 in air."""
        value = self.center - self.width / 2 + self.width * (self.base + self.gain * quantity)
        return np.where(mask, np.clip(np.rint(value), 1, 4095), 0).astype(np.uint16)


# GE's windows; base and gain were set on one half of the real pairs
LE_DISPLAY = Display(center=2360.0, width=900.0, base=0.08, gain=0.85)  # of the tone, 0 to 1
HE_DISPLAY = LE_DISPLAY
DES_DISPLAY = Display(center=2085.0, width=265.0, base=0.155, gain=0.168)  # of iodine in mg/cm2


def tone(
    share: Map, breast: Breast, gamma: float, detail: float = 0.12, ranges: tuple[float, float] = (9.0, 2.0)
) -> Map:
    """An image for presentation, about 0 to 1: fine detail raised, the breast's own range stretched, a gamma curve.

    Args:
        share: what the reading exceeds that of fat by; any scale. Thickness is out of it already (peripheral
            equalisation).
        breast: for its place.
        gamma: exponent of the curve; more is darker.
        detail: how much of what differs from its surroundings is added once more.
        ranges: SD in mm of these surroundings.
    """
    mask, px = breast.mask, breast.spacing
    deep = breast.skin_distance > 0.12 * breast.skin_distance.max()
    middle = np.float32(np.median(share[deep]))
    rim = 0.45 + 0.55 * np.clip(breast.skin_distance / 7.0, 0.0, 1.0)  # skin would outshine what lies behind it
    share = np.where(mask, middle + (share - middle) * rim, 0).astype(np.float32)
    raised = share.copy()
    for sigma in ranges:
        around = blur(share, sigma, px) / np.maximum(blur(mask.astype(np.float32), sigma, px), 0.05)
        raised += np.float32(detail) * (share - around)
    low, high = np.percentile(raised[deep], [1.0, 99.3])
    stretched = np.clip((raised - np.float32(low)) / np.float32(high - low), -0.4, 1.4)
    return np.sign(stretched) * np.abs(stretched) ** np.float32(gamma)
