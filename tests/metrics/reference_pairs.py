"""The pairs on which outside implementations of the metrics were recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

REAL = ("P102_R_{}_CC", "P108_L_{}_CC", "P113_L_{}_MLO")  # of CDD-CESM


def real_pairs(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(prediction, target), (192, 192) uint8 each, from the middle of the image: LE for DES, and a smoothed, weaker DES
    for DES.
    """
    pairs = {}
    for name in REAL:
        le = _grey(folder / "Low energy images of CDD-CESM" / f"{name.format('DM')}.jpg")
        des = _grey(folder / "Subtracted images of CDD-CESM" / f"{name.format('CM')}.jpg")
        smooth = np.rint(0.9 * ndimage.gaussian_filter(des.astype(float), 1.5)).astype(np.uint8)
        pairs |= {f"{name.format('CM')}, LE": (le, des), f"{name.format('CM')}, smoothed": (smooth, des)}
    return pairs


def made_pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(prediction, target), uint8, from a seed: they need no data."""
    pairs = {}
    for size in (41, 96):
        generator = np.random.default_rng(size)
        target = ndimage.gaussian_filter(generator.random((size, size)), 1.5)
        target = (target - target.min()) / (target.max() - target.min())
        pred = np.clip(0.2 + 0.6 * target + 0.05 * generator.standard_normal(target.shape), 0, 1)
        pairs[f"made, {size} px"] = (_bits(pred), _bits(target))
    return pairs


def _grey(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"))[160:352, 160:352]


def _bits(image: np.ndarray) -> np.ndarray:
    return np.rint(255 * image).astype(np.uint8)
