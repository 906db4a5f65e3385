"""Glandular tissue: lobes, the walls of the lobules of fat between them, ducts towards the nipple."""

from __future__ import annotations

import numpy as np

from .grid import Grid, Map
from .outline import Outline
from .texture import cell_walls, power_law_field, radiate, smooth_field
from .woman import Woman

__all__ = ["gland_fraction"]

THRESHOLD = {"A": 1.55, "B": 1.0, "C": 0.45, "D": -0.1}  # how much lobe it takes to be gland, by ACR class
LEVER = 60.0  # mm from the nipple at which what runs towards it keeps its width
PEAK = {"A": 0.5, "B": 0.55, "C": 0.62, "D": 0.72}  # glandular share where there is nothing else


def _lobes(woman: Woman, laterality: str, view: str, outline: Outline, y: Map, x: Map) -> Map:
    """How much lobe a ray crosses: the cone behind the nipple and what the woman has besides."""
    nipple_x, nipple_y = outline.nipple
    behind, above = nipple_x - x, nipple_y - y
    cone = np.exp(
        -((above / (0.62 * woman.half_height)) ** 2) - ((behind - 0.45 * woman.depth) / (0.5 * woman.depth)) ** 2
    )
    total = 1.1 * cone
    for lobe in woman.lobes:
        if lobe.laterality == laterality:
            off = above - lobe.place.above(view) * woman.half_height
            total = total + lobe.amount * np.exp(-(off**2 + (behind - lobe.place.behind) ** 2) / lobe.size**2)
    return total.astype(np.float32)


def gland_fraction(
    rng: np.random.Generator,
    woman: Woman,
    laterality: str,
    view: str,
    outline: Outline,
    skin_distance: Map,
    grid: Grid,
    sheets: int = 4,
) -> Map:
    """Glandular share of the tissue under the skin, [0, 1], (rows, columns).

    Sheets of tissue lie one over another, each with lobes and walls of its own; that gives a mammogram its look of
    overlap.
    """
    y, x = grid.coordinates()
    shape, px = grid.shape, grid.spacing
    lobes = _lobes(woman, laterality, view, outline, y, x)
    threshold, peak = THRESHOLD[woman.density], PEAK[woman.density]
    coarse = power_law_field(rng, shape, px, exponent=3.4, longest=60.0)
    share = np.zeros(shape, dtype=np.float32)
    for _ in range(sheets):
        dy = y - outline.nipple[1] + np.float32(rng.normal(0.0, 15.0))
        dx = outline.nipple[0] + np.float32(rng.uniform(-5.0, 40.0)) - x
        radius, across = np.hypot(dx, dy), np.float32(LEVER) * np.arctan2(dy, dx)
        fine = power_law_field(rng, shape, px, exponent=3.6, longest=30.0)
        fibres = radiate(power_law_field(rng, shape, px, exponent=3.3, longest=13.0, elongation=4.0), dy, dx, px, LEVER)
        warp_y, warp_x = (
            2.5 * smooth_field(rng, shape, px, 20.0) + 0.8 * smooth_field(rng, shape, px, 5.0) for _ in "yx"
        )
        size = woman.cells * rng.uniform(0.5, 1.4)
        walls = cell_walls(rng, across + warp_y, rng.uniform(0.25, 0.75) * radius + warp_x, size)
        present = np.clip(0.6 + 0.4 * smooth_field(rng, shape, px, 6.0) + 0.25 * (lobes - 0.6), 0.05, 1.4)
        strands = present * np.exp(-((walls / rng.uniform(0.3, 0.7)) ** 2))
        lines = np.clip(1.0 - 1.6 * np.abs(fibres), 0.0, 1.0) ** 1.5
        lobules = 1.0 / (1.0 + np.exp(-1.8 * (1.2 * lobes + 0.45 * coarse + 0.3 * fine - 0.5 - threshold)))
        share += lobules * peak * np.clip(0.7 + 0.1 * fine + 0.17 * fibres, 0.1, 1.5)
        share += woman.strands * (1.0 - 0.35 * lobules) * (0.56 * strands + 0.12 * lines * np.clip(lobes, 0.6, 1.0))
    fat = woman.fat * (1.0 + 0.25 * smooth_field(rng, shape, px, 30.0))
    beneath_fat = 1.0 / (1.0 + np.exp(-(skin_distance - fat) / 1.6))
    return np.clip(share / sheets * (0.22 + 0.78 * beneath_fat), 0.0, 0.97).astype(np.float32)
