"""One view of one phantom woman: its images and the truth behind them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .acquisition import acquire, draw_processing
from .anatomy import Breast, Grid, Lesion, Woman, build_breast, draw_lesion, draw_satellites, draw_woman

__all__ = ["VIEWS", "PhantomCase", "draw_patient", "exam_grid", "render_case"]

VIEWS = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
# type by type, whether malignant and whether enhancing: some cancers hardly take up contrast agent
CANCER, WEAK_CANCER = (True, True), (True, False)
BENIGN, ENHANCING_BENIGN = (False, False), (False, True)
LESIONS = (CANCER, CANCER, WEAK_CANCER, BENIGN, CANCER, CANCER, ENHANCING_BENIGN, WEAK_CANCER, CANCER, BENIGN)


@dataclass(frozen=True)
class PhantomCase:
    """A pair of images and what is true of it.

    Attributes:
        patient_id: "PH0001" and so on.
        laterality, view: "L" or "R", "CC" or "MLO".
        woman: the traits that her views share.
        lesions: those of this breast.
        breast: the true maps (thickness, gland, iodine, lesions), each (rows, columns).
        le, des, he: 12-bit images, (rows, columns), 0 in air.
    """

    patient_id: str
    laterality: str
    view: str
    woman: Woman
    lesions: tuple[Lesion, ...]
    breast: Breast
    le: NDArray[np.uint16]
    des: NDArray[np.uint16]
    he: NDArray[np.uint16]

    @property
    def case_id(self) -> str:
        return f"{self.patient_id}_{self.laterality}_{self.view}"

    @property
    def malignant(self) -> bool | None:
        """Whether a lesion of this breast is a cancer; None without a lesion."""
        return any(lesion.malignant for lesion in self.lesions) if self.lesions else None


def exam_grid(image_size: int) -> Grid:
    """A GE detector of 285 x 239.6 mm with ``image_size`` rows; 2294 is the small one of 229.4 x 191.6 mm.

    At 2850 x 2396 and 2294 x 1916 pixels of 0.1 mm both have their native size.
    """
    if image_size == 2294:
        return Grid(rows=2294, columns=1916, spacing=0.1)
    return Grid(rows=image_size, columns=round(image_size * 2396 / 2850), spacing=285.0 / image_size)


def _rng(seed: int, patient: int, view: int | None = None) -> np.random.Generator:
    """The randomness of a woman, or of one of her views, whoever else is in the study and wherever it is drawn."""
    # SeedSequence pads with zeros, so [seed, patient] and [seed, patient, 0] would be one stream: views count from 1
    return np.random.default_rng([seed, patient] if view is None else [seed, patient, view + 1])


def draw_patient(seed: int, patient: int, finding: str | None = None) -> Woman:
    """Draw a woman and her lesions.

    Args:
        seed, patient: the same ones give the same woman.
        finding: "malignant" for a cancer, of which a quarter take up next to no contrast agent; None for the mix of a
            study: women 1, 3, 5 ... have a lesion, of the kinds in ``LESIONS`` in turn.

    Raises:
        ValueError: for another finding.
    """
    rng = _rng(seed, patient)
    woman = draw_woman(rng)
    if finding == "malignant":
        malignant, enhancing = True, bool(rng.random() < 0.75)
    elif finding is not None:
        raise ValueError(f"finding is {finding!r}, expected 'malignant' or None.")
    elif patient % 2 == 0:
        return woman
    else:
        malignant, enhancing = LESIONS[patient // 2 % len(LESIONS)]
    lesions = [draw_lesion(rng, woman, malignant, enhancing)]
    if malignant and rng.random() < 0.2:
        lesions += draw_satellites(rng, lesions[0])
    return replace(woman, lesions=tuple(lesions))


def _build(rng: np.random.Generator, woman: Woman, laterality: str, view: str, grid: Grid) -> Breast:
    """Drawn with twice the pixels of a coarse grid and half of a fine one, and averaged or interpolated onto it."""
    if grid.spacing < 0.2:
        half = Grid(-(-grid.rows // 2), -(-grid.columns // 2), 2 * grid.spacing)
        return build_breast(rng, woman, laterality, view, half).enlarged(grid.shape)
    factor = int(np.clip(round(grid.spacing / 0.56), 1, 2))
    fine = Grid(grid.rows * factor, grid.columns * factor, grid.spacing / factor)
    return build_breast(rng, woman, laterality, view, fine).shrunk(factor)


def render_case(seed: int, patient: int, woman: Woman, laterality: str, view: str, grid: Grid) -> PhantomCase:
    """Draw and expose one view; the same arguments give the same bits."""
    if (laterality, view) not in VIEWS:
        raise ValueError(f"laterality {laterality!r} and view {view!r}: expected 'L' or 'R' and 'CC' or 'MLO'.")
    rng = _rng(seed, patient, VIEWS.index((laterality, view)))
    breast = _build(rng, woman, laterality, view, grid)
    le, des, he = acquire(rng, breast, processing=draw_processing(rng))
    lesions = tuple(lesion for lesion in woman.lesions if lesion.laterality == laterality)
    return PhantomCase(f"PH{patient:04d}", laterality, view, woman, lesions, breast, le, des, he)
