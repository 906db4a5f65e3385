"""From a breast to a pair of 12-bit images for presentation: attenuation, quantum noise, subtraction, display."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .anatomy import Breast, edge_profile
from .spectra import RH_AG_34, DualEnergySpectrum
from .texture import Map

__all__ = ["DES_DISPLAY", "HE_DISPLAY", "LE_DISPLAY", "Display", "acquire", "attenuation", "expose", "subtract"]


@dataclass(frozen=True)
class Display:
    """A straight line from a physical quantity to stored values, and the window they are meant to be seen in.

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


LE_DISPLAY = Display(center=2360.0, width=900.0, base=0.1, gain=1.1)  # of the apparent glandular fraction
HE_DISPLAY = Display(center=2360.0, width=900.0, base=0.1, gain=1.1)
DES_DISPLAY = Display(center=2085.0, width=265.0, base=0.21, gain=0.2)  # of iodine in mg/cm2


def attenuation(breast: Breast, spectrum: DualEnergySpectrum) -> tuple[Map, Map]:
    """Beer-Lambert: -ln of the LE and of the HE signal over the open field's, without noise."""
    gland = breast.gland / 10.0
    adipose = breast.thickness / 10.0 - gland
    le = spectrum.adipose_le * adipose + spectrum.gland_le * gland + spectrum.iodine_le * breast.iodine
    he = spectrum.adipose_he * adipose + spectrum.gland_he * gland + spectrum.iodine_he * breast.iodine
    return le, he


def expose(rng: np.random.Generator, log_attenuation: Map, open_quanta: float, spacing: float) -> NDArray[np.float64]:
    """The signal over the open field's, counted in quanta.

    Args:
        rng: of the noise.
        log_attenuation: -ln(signal) without noise.
        open_quanta: per 0.1 mm pixel in the open field.
        spacing: of the pixels in mm; a pixel counts in proportion to its area.
    """
    quanta = open_quanta * (spacing / 0.1) ** 2
    counts = rng.poisson(quanta * np.exp(-log_attenuation.astype(np.float64)))
    return np.maximum(counts, 1) / quanta


def subtract(le_signal: NDArray, he_signal: NDArray, weight: float) -> NDArray:
    """DES = weight * ln(LE signal) - ln(HE signal): iodine is bright."""
    return weight * np.log(le_signal) - np.log(he_signal)


def acquire(
    rng: np.random.Generator,
    breast: Breast,
    spectrum: DualEnergySpectrum = RH_AG_34,
    le_display: Display = LE_DISPLAY,
    des_display: Display = DES_DISPLAY,
    he_display: Display = HE_DISPLAY,
) -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint16]]:
    """Take LE, DES and HE of a breast, stored as for presentation.

    Thickness is taken out of both by what a machine knows, the paddle's height and the outline. Where the breast rolls
    off or tilts otherwise, tissue stays: a few per cent of LE, but as much as 1 mg/cm2 of iodine in DES, the halo and
    the slow shading that readers know.

    Returns:
        LE, DES and HE, (rows, columns), 12 bit.
    """
    le_attenuation, he_attenuation = attenuation(breast, spectrum)
    le_signal = expose(rng, le_attenuation, spectrum.open_le, breast.spacing)
    he_signal = expose(rng, he_attenuation, spectrum.open_he, breast.spacing)

    expected = edge_profile(breast.skin_distance, breast.compressed, breast.compressed / 2) / 10.0  # cm
    gland_contrast = (spectrum.gland_le - spectrum.adipose_le) * breast.compressed / 10.0
    apparent_gland = (-np.log(le_signal) - spectrum.adipose_le * expected) / gland_contrast
    adipose_residue = (spectrum.adipose_he - spectrum.weight * spectrum.adipose_le) * expected
    apparent_iodine = (subtract(le_signal, he_signal, spectrum.weight) - adipose_residue) / spectrum.iodine_des
    he_contrast = (spectrum.gland_he - spectrum.adipose_he) * breast.compressed / 10.0
    he_gland = (-np.log(he_signal) - spectrum.adipose_he * expected) / he_contrast
    mask = breast.mask
    return (
        le_display.store(apparent_gland, mask),
        des_display.store(apparent_iodine, mask),
        he_display.store(he_gland, mask),
    )
