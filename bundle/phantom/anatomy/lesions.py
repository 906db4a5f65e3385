"""How a lesion is seen in one view: the tissue that it puts in place of fat, its iodine, its specks and its map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .grid import Grid, Map
from .texture import power_law_field, smooth_field
from .tubes import draw_specks, draw_tube, wander
from .woman import Lesion

__all__ = ["LesionMaps", "draw_lesion_maps"]


@dataclass(frozen=True)
class LesionMaps:
    """``gland`` in mm, ``iodine`` in mg/cm2, ``calcium`` in mm of hydroxyapatite and the ``lesion`` itself (bool)."""

    gland: Map
    iodine: Map
    calcium: Map
    lesion: NDArray[np.bool_]


def _ratio(
    rng: np.random.Generator, dx: Map, dy: Map, radius: float, uneven: float, lobed: float, aspect: float
) -> Map:
    """Distance from the centre over that of the border in the same direction: 1 on the border of a star-shaped blob."""
    turn = rng.uniform(0.0, np.pi)
    u = dx * np.cos(turn) + dy * np.sin(turn)
    v = (dy * np.cos(turn) - dx * np.sin(turn)) / aspect
    angle = np.arctan2(v, u)
    border = np.ones_like(angle)
    for order in range(2, 14):
        size = (1.5 * uneven + (lobed if order in (3, 4, 5) else 0.0)) / order**1.1 * rng.standard_normal()
        border += np.float32(size) * np.cos(order * angle + np.float32(rng.uniform(0.0, 2 * np.pi)))
    return (np.hypot(u, v) / (radius * np.clip(border, 0.45, 1.7))).astype(np.float32)


def _mass(
    rng: np.random.Generator,
    lesion: Lesion,
    grid: Grid,
    dx: Map,
    dy: Map,
    center: tuple[float, float],
    thickness: float,
) -> tuple[Map, Map, Map]:
    """(ratio to the border, length of the ray inside, length inside spicules) of what has a border."""
    uneven, lobed = {"spiculated_mass": (0.1, 0.0), "lobulated_mass": (0.07, 0.16)}.get(lesion.type, (0.03, 0.03))
    radius = lesion.diameter / 2
    ratio = _ratio(rng, dx, dy, radius, uneven, lobed, rng.uniform(0.72, 1.0))
    height = 2 * min(0.85 * radius, 0.42 * thickness)
    soft = rng.choice([0.8, 2.5, 5.0]) if lesion.malignant else 0.6  # mm over which the border fades
    chord = height * np.sqrt(np.clip(1.0 - ratio**2, 0.0, 1.0)) * np.clip((1.05 - ratio) * radius / soft, 0.0, 1.0)
    spicules = np.zeros(grid.shape, dtype=np.float32)
    if lesion.type == "spiculated_mass":
        for _ in range(rng.integers(10, 26)):
            angle, reach = rng.uniform(0, 2 * np.pi), radius * rng.uniform(1.2, 2.4)
            start, end = ((center[0] + r * np.cos(angle), center[1] + r * np.sin(angle)) for r in (0.6 * radius, reach))
            path = wander(rng, start, end, bend=0.06 * reach, steps=20)
            draw_tube(spicules, grid, path, np.linspace(rng.uniform(1.2, 2.6), 0.4, 20))
    return ratio, chord.astype(np.float32), spicules


def _non_mass(
    rng: np.random.Generator, lesion: Lesion, gland: Map, grid: Grid, dx: Map, dy: Map, toward: float, thickness: float
) -> tuple[Map, Map]:
    """(ratio to the border, length of the ray inside) of a segment of clumps that points to the nipple."""
    along, across = dx * np.cos(toward) + dy * np.sin(toward), dy * np.cos(toward) - dx * np.sin(toward)
    wide = rng.uniform(0.4, 0.65)
    bend = 0.15 * smooth_field(rng, grid.shape, grid.spacing, 0.4 * lesion.diameter)
    ratio = ((2 * along / lesion.diameter) ** 4 + (2 * across / (wide * lesion.diameter)) ** 4) ** 0.25 * np.exp(bend)
    clumps = power_law_field(rng, grid.shape, grid.spacing, exponent=4.0, longest=20.0) + 2.0 * gland / (
        gland.max() + 1e-6
    )
    inside = np.exp(-(ratio**6)) / (1.0 + np.exp(-1.3 * (clumps - 0.3)))
    return ratio.astype(np.float32), (min(0.5 * thickness, 0.4 * lesion.diameter) * inside).astype(np.float32)


def draw_lesion_maps(
    rng: np.random.Generator,
    lesion: Lesion,
    grid: Grid,
    center: tuple[float, float],
    nipple: tuple[float, float],
    thickness: float,
    gland: Map,
) -> LesionMaps:
    """Draw one lesion in one view.

    Args:
        rng: of its shape.
        lesion: what is drawn.
        grid: of the view.
        center, nipple: (x, y) in mm.
        thickness: of the breast there, in mm.
        gland: the normal gland of the view in mm, which clumps of non-mass enhancement follow.
    """
    y, x = grid.coordinates()
    dx, dy = x - center[0], y - center[1]
    uneven = 0.2 * power_law_field(rng, grid.shape, grid.spacing, exponent=3.8, longest=20.0)
    if lesion.type == "non_mass_enhancement":
        toward = float(np.arctan2(nipple[1] - center[1], nipple[0] - center[0]))
        ratio, chord = _non_mass(rng, lesion, gland, grid, dx, dy, toward, thickness)
        spicules = np.zeros(grid.shape, dtype=np.float32)
    else:
        ratio, chord, spicules = _mass(rng, lesion, grid, dx, dy, center, thickness)
    uptake = np.clip(1.0 + uneven, 0.15, 2.0)
    if lesion.core:  # a rim that takes up, around what does not
        uptake = uptake * (0.25 + 0.9 / (1.0 + np.exp(-(ratio - lesion.core) / 0.06)))
    iodine = np.float32(lesion.concentration / 10) * (chord * uptake + 0.35 * spicules)
    calcium = np.zeros(grid.shape, dtype=np.float32)
    if lesion.calcifications:
        fine = (0.2, 0.6) if lesion.malignant else (0.5, 1.8)
        draw_specks(rng, calcium, grid, center, lesion.diameter / 5, lesion.calcifications, fine)
    tissue = np.float32(lesion.density) * (chord * np.clip(1.0 + 0.5 * uneven, 0.4, 1.5) + 0.7 * spicules)
    return LesionMaps(tissue.astype(np.float32), iodine.astype(np.float32), calcium, ratio < 1.0)
