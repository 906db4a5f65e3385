"""Thin things drawn along a line or as specks: vessels, ducts, spicules, folds of skin, calcifications."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .grid import Grid, Map

__all__ = ["draw_specks", "draw_tube", "wander"]


def wander(
    rng: np.random.Generator, start: tuple[float, float], end: tuple[float, float], bend: float, steps: int = 60
) -> NDArray[np.float64]:
    """A smooth path (steps, 2) of (x, y) in mm that strays from the straight line by about ``bend`` mm."""
    along = np.linspace(0.0, 1.0, steps)[:, None]
    straight = np.array(start) + along * (np.array(end) - np.array(start))
    stray = sum(rng.normal(0.0, bend / k**1.5, 2) * np.sin(np.pi * k * along) for k in range(1, 6))
    return straight + stray


def draw_tube(image: Map, grid: Grid, path: NDArray[np.float64], diameter: NDArray[np.float64]) -> None:
    """Raise ``image`` to the length in mm of rays through a tube along a path; what is thinner than a pixel keeps
    its cross-section.

    Args:
        image: (rows, columns), changed in place; tubes do not add up where they cross.
        grid: of the image.
        path: (n, 2) of (x, y) in mm.
        diameter: (n,) in mm.
    """
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    at = np.linspace(0.0, length[-1], int(length[-1] / (0.5 * grid.spacing)) + 2)
    px = grid.spacing
    for x, y, d in zip(*(np.interp(at, length, v) for v in (path[:, 0], path[:, 1], diameter)), strict=True):
        radius = max(d / 2, 0.75 * px)
        rows = slice(max(int((y - radius) / px), 0), min(int((y + radius) / px) + 2, grid.rows))
        columns = slice(max(int((x - radius) / px), 0), min(int((x + radius) / px) + 2, grid.columns))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        dy = (np.arange(rows.start, rows.stop) + 0.5) * px - y
        dx = (np.arange(columns.start, columns.stop) + 0.5) * px - x
        inside = np.clip(1.0 - (dy[:, None] ** 2 + dx[None] ** 2) / radius**2, 0.0, None)
        part = image[rows, columns]
        np.maximum(part, (d * d / (2 * radius) * np.sqrt(inside)).astype(np.float32), out=part)


def draw_specks(
    rng: np.random.Generator,
    image: Map,
    grid: Grid,
    center: tuple[float, float],
    spread: float,
    number: int,
    diameter: tuple[float, float],
    packing: float = 0.5,
) -> None:
    """Raise ``image`` to the length in mm of mineral in a cluster of specks.

    Args:
        rng: of their places and sizes.
        image: (rows, columns), changed in place.
        grid: of the image.
        center, spread: (x, y) and SD of the cluster in mm.
        number: of specks.
        diameter: smallest and largest, in mm.
        packing: share of a speck that is mineral.
    """
    px = grid.spacing
    for _ in range(number):
        x, y = rng.normal(center, spread)
        size = rng.uniform(*diameter)
        radius = max(size / 2, 0.6 * px)
        row, column, reach = int(y / px), int(x / px), int(radius / px) + 1
        if not (reach <= row < grid.rows - reach and reach <= column < grid.columns - reach):
            continue
        o = np.arange(-reach, reach + 1) * px
        ball = np.sqrt(np.clip(1.0 - (o[:, None] ** 2 + o[None] ** 2) / radius**2, 0.0, None))
        ball *= 2 / 3 * np.pi * (radius / px) ** 2 / ball.sum()  # few pixels sample it badly
        part = image[row - reach : row + reach + 1, column - reach : column + reach + 1]
        peak = packing * size * min(1.0, (size / 2 / radius) ** 2)
        np.maximum(part, (peak * ball).astype(np.float32), out=part)
