"""What a machine makes of the two readings: the iodine that it sees, with what stays of thickness and scatter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .anatomy import Breast, Map
from .anatomy.resampling import blur
from .spectra import DualEnergySpectrum

__all__ = ["calibrate", "equalise", "recombine"]

STEP = 2.0  # mm, of the distance to the skin


def calibrate(
    spectrum: DualEnergySpectrum, weight: float, scatter: tuple[float, float], gland: float = 0.3
) -> NDArray[np.float32]:
    """DES of slabs of 0, 1, 2 ... 120 mm without iodine, as a machine is calibrated with.

    Args:
        spectrum: of both beams.
        weight: w of the subtraction.
        scatter: what is left of scatter over primary behind 5 cm, LE and HE; in proportion to thickness.
        gland: glandular share of the slabs.
    """
    cm = np.arange(121, dtype=np.float32) / 10
    le, he = (
        beam.log_attenuation(adipose=cm * (1 - gland), gland=cm * gland) - np.log1p(share * cm / 5)
        for beam, share in zip((spectrum.le, spectrum.he), scatter, strict=True)
    )
    return (he - weight * le).astype(np.float32)


def recombine(
    le: Map, he: Map, thickness: Map, spectrum: DualEnergySpectrum, weight: float, scatter: tuple[float, float]
) -> Map:
    """Iodine in mg/cm2 as a machine sees it: weighted subtraction, minus what a slab of the same thickness would show.

    ``w ln(LE) - ln(HE)`` takes gland against fat out at 4.5 cm and leaves thickness in: 1 mm of it looks like
    0.7 mg/cm2.

    Args:
        le, he: -ln(signal), (rows, columns).
        thickness: that the machine believes in, mm.
        spectrum: of both beams.
        weight: w; that of the spectrum takes gland out at 4.5 cm, a smaller one leaves some of it bright.
        scatter: see :func:`calibrate`.
    """
    slabs = calibrate(spectrum, weight, scatter)
    expected = np.interp(thickness, np.arange(len(slabs)), slabs)
    return ((he - weight * le - expected) / spectrum.iodine_des).astype(np.float32)


def equalise(iodine: Map, breast: Breast, flat: NDArray[np.bool_], outer: float, inner: float) -> Map:
    """DES after what depends on the distance to the skin alone was taken out, and its level set to 0.

    Nearly all of it (``outer``, a share) where the breast rolls off the paddle, less (``inner``) under the paddle: the
    border between both is the rim that readers know as the breast within the breast.

    Args:
        iodine: as of :func:`recombine`.
        breast: for the distance.
        flat: where the machine believes in a flat paddle.
        outer, inner: shares.
    """
    deep = breast.skin_distance > 0.25 * breast.skin_distance.max()
    iodine = iodine - np.median(iodine[deep])
    steps = (breast.skin_distance / STEP).astype(np.int32)
    bins = np.arange(steps.max() + 1)
    curve = ndimage.median(iodine, np.where(breast.mask, steps + 1, 0), bins + 1)
    curve = ndimage.gaussian_filter1d(curve, 1.0, mode="nearest")
    share = outer + (inner - outer) * blur(flat.astype(np.float32), 0.8, breast.spacing)
    return (iodine - share * np.interp(breast.skin_distance, STEP * (bins + 0.5), curve)).astype(np.float32)
