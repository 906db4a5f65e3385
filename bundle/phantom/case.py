"""One view of one phantom woman: its images and the truth behind them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .acquisition import acquire
from .anatomy import Breast, Grid, Lesion, Woman, build_breast, draw_lesion, draw_woman

__all__ = ["VIEWS", "PhantomCase", "draw_patient", "exam_grid", "render_case"]

VIEWS = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
CANCER, WEAK_CANCER = (True, True), (True, False)  # malignant, enhancing; some cancers hardly enhance
BENIGN, ENHANCING_BENIGN = (False, False), (False, True)
LESIONS = (CANCER, CANCER, WEAK_CANCER, BENIGN, CANCER, CANCER, ENHANCING_BENIGN, CANCER, CANCER, BENIGN)


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
    """A GE detector of 285 x 239.6 mm, 2850 x 2396 pixels, sampled with ``image_size`` rows."""
    return Grid(rows=image_size, columns=round(image_size * 2396 / 2850), spacing=285.0 / image_size)


def _rng(seed: int, patient: int, view: int | None = None) -> np.random.Generator:
    """The randomness of a woman, or of one of her views, whoever else is in the study and wherever it is drawn."""
    # SeedSequence pads with zeros, so [seed, patient] and [seed, patient, 0] would be one stream: views count from 1
    return np.random.default_rng([seed, patient] if view is None else [seed, patient, view + 1])


def draw_patient(seed: int, patient: int) -> Woman:
    """Women 1, 3, 5 ... have a lesion, of the kinds in ``LESIONS`` in turn."""
    rng = _rng(seed, patient)
    woman = draw_woman(rng)
    if patient % 2 == 0:
        return woman
    malignant, enhancing = LESIONS[patient // 2 % len(LESIONS)]
    return replace(woman, lesions=(draw_lesion(rng, woman, malignant, enhancing),))


def render_case(seed: int, patient: int, woman: Woman, laterality: str, view: str, grid: Grid) -> PhantomCase:
    """Draw and expose one view; the same arguments give the same bits."""
    rng = _rng(seed, patient, VIEWS.index((laterality, view)))
    breast = build_breast(rng, woman, laterality, view, grid)
    le, des, he = acquire(rng, breast)
    lesions = tuple(lesion for lesion in woman.lesions if lesion.laterality == laterality)
    return PhantomCase(f"PH{patient:04d}", laterality, view, woman, lesions, breast, le, des, he)
