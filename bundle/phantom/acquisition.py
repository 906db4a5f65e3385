"""From a breast to its LE, DES and HE images: attenuation, motion, scatter, blur, quantum noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .anatomy import Breast, Map, edge_profile
from .anatomy.resampling import blur
from .anatomy.texture import smooth_field
from .presentation import DES_DISPLAY, HE_DISPLAY, LE_DISPLAY, tone
from .recombination import equalise, recombine
from .spectra import RH_AG_34, Beam, DualEnergySpectrum

__all__ = ["Images", "Machine", "Processing", "acquire", "attenuation", "draw_processing", "expose"]


@dataclass(frozen=True)
class Machine:
    """What a mammography system adds to the physics of the breast.

    Attributes:
        dose: as a multiple of the spectrum's quanta; 0 for no noise.
        scatter_le, scatter_he: scattered over primary signal behind 5 cm, after the grid.
        scatter_range: SD of the scatter's spread in mm.
        scatter_removed: the share of it that the machine knows and takes out.
        blur_le, blur_he: SD of the detector's blur in mm.
        smoothing: SD in mm of the noise reduction in DES.
        motion: mean distance in mm that tissue moves between LE and HE.
    """

    dose: float = 1.0
    scatter_le: float = 0.2
    scatter_he: float = 0.3
    scatter_range: float = 22.0
    scatter_removed: float = 0.35
    blur_le: float = 0.075
    blur_he: float = 0.085
    smoothing: float = 0.14
    motion: float = 0.09

    @property
    def scatter_left(self) -> tuple[float, float]:
        """Of LE and HE, behind 5 cm, after the machine took out what it knows."""
        left = 1.0 - self.scatter_removed
        return left * self.scatter_le, left * self.scatter_he


@dataclass(frozen=True)
class Processing:
    """How an exam was made ready for readers.

    Attributes:
        weight: of the subtraction, as a share of the one that cancels gland at 4.5 cm.
        gamma, contrast: of the LE curve; its exponent and the share of the window that it fills.
        outer, inner: shares of the equalised periphery and of what lies under the paddle.
        level: what is added to DES, in mg/cm2.
    """

    weight: float = 0.97
    gamma: float = 1.4
    contrast: float = 0.8
    outer: float = 0.9
    inner: float = 0.25
    level: float = 0.1


class Images(NamedTuple):
    """12 bit, (rows, columns), 0 in air."""

    le: NDArray[np.uint16]
    des: NDArray[np.uint16]
    he: NDArray[np.uint16]


def draw_processing(rng: np.random.Generator) -> Processing:
    """No two exams are shown alike."""
    return Processing(
        weight=rng.uniform(0.935, 0.995),
        gamma=rng.uniform(1.0, 1.8),
        contrast=rng.uniform(0.6, 1.0),
        outer=rng.uniform(0.75, 1.05),
        inner=rng.uniform(0.25, 0.8),
        level=rng.exponential(0.12),
    )


def attenuation(breast: Breast, beam: Beam) -> Map:
    """Beer-Lambert over all energies: -ln of a beam's signal over the open field's, without scatter or noise."""
    return beam.log_attenuation(
        adipose=breast.adipose / 10,
        gland=breast.gland / 10,
        skin=breast.skin / 10,
        muscle=breast.muscle / 10,
        hydroxyapatite=breast.calcium / 10,
        iodine=breast.iodine,
    )


def expose(
    rng: np.random.Generator,
    log_attenuation: Map,
    thickness: Map,
    beam: Beam,
    spacing: float,
    machine: Machine,
    scatter: float,
    sharpness: float,
) -> Map:
    """-ln(signal over the open field's) as a detector reads it.

    Args:
        rng: of the noise.
        log_attenuation: without scatter and noise.
        thickness: in mm, 0 in air, which is not read out.
        beam: for its quanta; a pixel counts in proportion to its area.
        spacing: of the pixels in mm.
        machine: dose and what becomes of scatter.
        scatter: over primary, behind 5 cm.
        sharpness: SD of the detector's blur in mm.
    """
    breast = thickness > 0

    share = thickness * np.float32(scatter / 50)

    def scattered(primary: Map) -> Map:
        return blur(np.where(breast, primary * share, 0), machine.scatter_range, spacing)

    signal = np.exp(-log_attenuation)
    signal += scattered(signal)
    if sharpness > 0.15 * spacing:
        signal = ndimage.gaussian_filter(signal, sharpness / spacing, mode="nearest", truncate=3.0)
    if machine.dose:
        quanta = machine.dose * beam.open_quanta * (spacing / 0.1) ** 2
        counts = rng.poisson(quanta * signal[breast].astype(np.float64))
        signal[breast] = np.maximum(counts, 1) / quanta
    corrected = signal - np.float32(machine.scatter_removed) * scattered(signal / (1 + share))
    return -np.log(np.maximum(corrected, 1e-6))


def _moved(rng: np.random.Generator, image: Map, spacing: float, motion: float) -> Map:
    """An image after the breast has moved, by ``motion`` mm in the mean, differently here and there."""
    amount = np.float32(rng.gamma(0.9, motion / 0.9) / 1.5 / spacing)
    places = []
    for axis, n in enumerate(image.shape):
        shift = smooth_field(rng, image.shape, spacing, 60.0) + np.float32(rng.normal(0.0, 0.7))
        at = np.arange(n, dtype=np.float32)
        places.append((at[:, None] if axis == 0 else at[None, :]) + amount * shift)
    return ndimage.map_coordinates(image, places, order=3, mode="nearest", output=np.float32)


def acquire(
    rng: np.random.Generator,
    breast: Breast,
    spectrum: DualEnergySpectrum = RH_AG_34,
    machine: Machine | None = None,
    processing: Processing | None = None,
) -> Images:
    """Take LE, DES and HE of a breast, stored as for presentation.

    The machine knows the paddle's height and the outline and believes in a round edge of half that height; where the
    breast rolls off or tilts otherwise, thickness stays in the images, most of all in DES.

    Args:
        rng: of motion and noise.
        breast: what lies under the paddle.
        spectrum: of both beams.
        machine, processing: None for the usual ones.
    """
    machine, processing = machine or Machine(), processing or Processing()
    truth = [attenuation(breast, beam) for beam in (spectrum.le, spectrum.he)]
    if machine.motion:
        truth[1] = _moved(rng, truth[1], breast.spacing, machine.motion)
    le = expose(
        rng, truth[0], breast.thickness, spectrum.le, breast.spacing, machine, machine.scatter_le, machine.blur_le
    )
    he = expose(
        rng, truth[1], breast.thickness, spectrum.he, breast.spacing, machine, machine.scatter_he, machine.blur_he
    )
    believed = edge_profile(breast.skin_distance, breast.compressed, breast.compressed / 2)
    iodine = recombine(le, he, believed, spectrum, processing.weight * spectrum.weight, machine.scatter_left)
    if machine.smoothing > 0.15 * breast.spacing:
        iodine = ndimage.gaussian_filter(iodine, machine.smoothing / breast.spacing, mode="nearest", truncate=3.0)
    iodine = equalise(iodine, breast, believed > 0.98 * breast.compressed, processing.outer, processing.inner)
    le_fat, he_fat = (beam.log_attenuation(adipose=believed / 10) for beam in (spectrum.le, spectrum.he))
    mask = breast.mask
    return Images(
        le=LE_DISPLAY.store(processing.contrast * tone(le - le_fat, breast, processing.gamma), mask),
        des=DES_DISPLAY.store(iodine + np.float32(processing.level), mask),
        he=HE_DISPLAY.store(processing.contrast * tone(he - he_fat, breast, processing.gamma), mask),
    )
