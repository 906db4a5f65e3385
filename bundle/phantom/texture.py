"""Random fields that look like breast tissue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

__all__ = ["Map", "power_law_field", "radiate"]

Map = NDArray[np.float32]


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
    fy = fft.fftfreq(shape[0], spacing)[:, None]
    fx = fft.rfftfreq(shape[1], spacing)[None, :] * elongation
    amplitude = (fy**2 + fx**2 + longest**-2) ** (-exponent / 4)
    noise = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    field = fft.irfft2(noise * amplitude.astype(np.float32), s=shape)
    return ((field - field.mean()) / field.std()).astype(np.float32)


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
