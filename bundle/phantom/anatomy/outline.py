"""The outline of a compressed breast, and how its thickness falls off towards it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator
from scipy.spatial import cKDTree

from .grid import Grid, Map
from .woman import Woman

__all__ = ["Outline", "draw_outline", "edge_profile"]


@dataclass(frozen=True)
class Outline:
    """The skin line ``x`` of every row (rows, 1) and the place of the nipple (x, y), in mm."""

    x: Map
    nipple: tuple[float, float]

    def skin_distance(self, grid: Grid) -> Map:
        """Distance of every pixel to the skin line in mm, 0 in air; edges of the image are no skin.

        From pixel to pixel deep inside, from the line itself near it, so that the roll-off has no steps.
        """
        y, x = grid.coordinates()
        mask = x < self.x
        steps = ndimage.distance_transform_edt(np.pad(mask, ((1, 1), (1, 0)), mode="edge"))[1:-1, 1:]
        distance = (grid.spacing * np.maximum(steps - 0.5, 0.0)).astype(np.float32)
        near = mask & (steps < 4)
        fine = np.linspace(-0.5, grid.rows - 0.5, 16 * grid.rows)
        line = np.interp(fine, np.arange(grid.rows), self.x[:, 0])
        shore = np.column_stack([(fine + 0.5) * grid.spacing, line])[line > 0]
        rows, columns = np.nonzero(near)
        distance[near] = cKDTree(shore).query(np.column_stack([y[rows, 0], x[0, columns]]))[0]
        return distance


def edge_profile(distance: Map, thickness: float, radius: float) -> Map:
    """Thickness under a flat paddle: a quarter ellipse from the skin line to ``radius``, all in mm."""
    inward = np.clip(distance / np.float32(radius), 0.0, 1.0)
    return (np.float32(thickness) * np.sqrt(inward * (2.0 - inward))).astype(np.float32)


def draw_outline(rng: np.random.Generator, woman: Woman, view: str, grid: Grid) -> Outline:
    """A CC is a lopsided arch; an MLO narrows towards the axilla and ends in the fold under the breast."""
    y, _ = grid.coordinates()
    nipple_y = grid.height * (0.5 if view == "CC" else 0.6) + rng.uniform(-6.0, 6.0)
    depth = woman.depth * rng.uniform(0.97, 1.03)
    if view == "CC":
        half = min(woman.half_height, nipple_y - 4.0, grid.height - nipple_y - 4.0)
        lopsided = rng.uniform(-0.12, 0.12)
        away = (y - nipple_y) / half
        away = away + np.float32(lopsided) * (1.0 - away**2)
        arch = (1.0 - np.clip(np.abs(away), 0.0, 1.0) ** woman.roundness) ** (1.0 / rng.uniform(1.8, 2.3))
        line = depth * arch / arch.max()
    else:
        bottom = min(nipple_y + woman.half_height * rng.uniform(0.8, 1.0), grid.height - 5.0)
        axilla = depth * rng.uniform(0.38, 0.68)
        below = bottom - nipple_y
        full = 0.5 + 0.12 * (woman.roundness - 2.0)
        knots = {
            -10.0: axilla * rng.uniform(0.85, 1.2),
            0.22 * nipple_y: axilla,
            0.5 * nipple_y: axilla + rng.uniform(0.2, 0.4) * (depth - axilla),
            0.78 * nipple_y: axilla + rng.uniform(0.75, 0.88) * (depth - axilla),
            nipple_y: depth,
            nipple_y + 0.38 * below: (full + 0.4) * depth,
            nipple_y + 0.72 * below: (full + 0.15) * depth,
            bottom - 0.06 * below: (full - 0.22) * depth,
            bottom: rng.uniform(0.06, 0.25) * depth,
            bottom + 1.0: 0.0,
            grid.height + 40.0: 0.0,
        }
        line = np.maximum(PchipInterpolator(list(knots), list(knots.values()))(y), 0.0)
    wobble = np.interp(y[:, 0], np.linspace(0, grid.height, 9), rng.normal(0.0, 1.0, 9))[:, None]
    protruding = woman.nipple * np.exp(-(((y - nipple_y) / rng.uniform(4.0, 6.0)) ** 4))
    skin_line = np.where(line > 0, line + wobble + protruding, 0.0)
    return Outline(
        ndimage.gaussian_filter1d(skin_line, 0.6 / grid.spacing, axis=0).astype(np.float32), (depth, nipple_y)
    )
