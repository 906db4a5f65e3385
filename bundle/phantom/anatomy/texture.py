"""Random fields that look like breast tissue."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage
from scipy.interpolate import RectBivariateSpline

from .grid import Map

__all__ = ["cell_walls", "power_law_field", "radiate", "smooth_field"]


def power_law_field(
    rng: np.random.Generator,
    shape: tuple[int, int],
    spacing: float,
    exponent: float = 3.0,
    longest: float = 50.0,
    elongation: float = 1.0,
) -> Map:
    """A field of mean 0 and SD 1 whose power falls as frequency ** -exponent; mammograms have about 3.

    Source: Burgess, Jacobson and Judy, Med Phys 28 (2001) 419.

    Args:
        rng: of the field.
        shape: (rows, columns).
        spacing: of the pixels in mm.
        exponent: of the power spectrum.
        longest: wavelength in mm beyond which power no longer rises.
        elongation: how much longer than high the structures are, along a row.
    """
    size = tuple(fft.next_fast_len(n, real=True) for n in shape)
    fy = fft.fftfreq(size[0], spacing).astype(np.float32)[:, None]
    fx = fft.rfftfreq(size[1], spacing).astype(np.float32)[None, :] * np.float32(elongation)
    amplitude = (fy**2 + fx**2 + np.float32(longest**-2)) ** np.float32(-exponent / 4)
    noise = fft.rfft2(rng.standard_normal(size, dtype=np.float32))
    field = fft.irfft2(noise * amplitude, s=size)[: shape[0], : shape[1]]
    return ((field - field.mean()) / field.std()).astype(np.float32)


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], spacing: float, length: float) -> Map:
    """A field of mean 0 and SD 1 with structures of about ``length`` mm: normal knots, a cubic spline between them."""
    knots = [max(5, int(np.ceil(n * spacing / length)) + 4) for n in shape]
    spline = RectBivariateSpline(*(np.arange(n, dtype=float) for n in knots), rng.standard_normal(knots))
    field = spline(*(rng.uniform(1.0, 2.0) + np.arange(n) * (spacing / length) for n in shape))
    return ((field - field.mean()) / max(float(field.std()), 1e-6)).astype(np.float32)


def cell_walls(rng: np.random.Generator, y: Map, x: Map, size: float) -> Map:
    """Distance in mm to the walls of an irregular honeycomb, as of Cooper's ligaments around lobules of fat.

    Each square of a lattice holds one point at random; a wall lies where the two nearest points are equally far
    (Worley, SIGGRAPH 1996, 291).

    Args:
        rng: of the points.
        y, x: places in mm, (rows, columns) both; bend them to bend the walls.
        size: of a cell in mm.
    """
    row, column = np.floor(y / size).astype(np.int32), np.floor(x / size).astype(np.int32)
    row0, column0 = row.min() - 1, column.min() - 1
    points = rng.random((2, row.max() - row0 + 2, column.max() - column0 + 2), dtype=np.float32)
    nearest = np.full(y.shape, np.inf, dtype=np.float32)
    second = nearest.copy()
    inside_y, inside_x = y / np.float32(size) - row, x / np.float32(size) - column
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            py, px = points[:, row - row0 + i, column - column0 + j]
            square = (py + (i - inside_y)) ** 2 + (px + (j - inside_x)) ** 2
            second = np.minimum(second, np.maximum(nearest, square))
            nearest = np.minimum(nearest, square)
    return ((np.sqrt(second) - np.sqrt(nearest)) * np.float32(size / 2)).astype(np.float32)


def radiate(field: Map, y: Map, x: Map, spacing: float, lever: float = 60.0) -> Map:
    """Bend the rows of a field into rays from one point, as ducts run from the nipple.

    Args:
        field: (rows, columns), used periodically.
        y, x: distance of every pixel from the point in mm, across and along the mean direction of the rays.
        spacing: of the pixels in mm.
        lever: the distance in mm from the point at which structures keep their width.
    """
    angle, radius = np.arctan2(y, x), np.hypot(y, x)
    return ndimage.map_coordinates(field, [angle * lever / spacing, radius / spacing], order=1, mode="grid-wrap")
