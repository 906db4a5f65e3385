"""A finding of an audit, and the limits from where on a measure is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...keys import BatchKeys
from .case import CaseRecord

__all__ = ["IMAGES", "LEVELS", "PREPARE", "Case", "Finding", "Limits"]

LEVELS = ("error", "warning", "information")
IMAGES = (BatchKeys.LE, BatchKeys.DES)
PREPARE = "python -m scripts.prepare"


@dataclass(frozen=True)
class Limits:
    """From where on a measure is a finding; the values leave 248 aligned pairs of CDD-CESM and the phantom alone.

    Attributes:
        shift: residual shift of DES, a share of the longer side. Largest on aligned real pairs 0.006, on the phantom 0.
        overlap: least Dice of the breast masks. Smallest on aligned real pairs 0.898, on the phantom 0.98.
        doubtful_overlap: below it the pair is worth a look; two aligned real pairs are, one of them of unequal zoom.
        clipped: share of the breast at an end of the window; the four real pairs beyond it are visibly saturated.
        flat: the same share, beyond which training would see a silhouette; largest on real pairs 0.27.
        wall: least share of the outer strips at the chest wall; smallest on real pairs 0.57.
        letters: length of a line of letters in the air; longest on real pairs 1.
        contrast: lesion contrast in DES below which a lesion does not enhance.
        mirrored: share of the maps whose mirror image has more contrast in DES. 0.23 left to right and 0.09 top to
            bottom on 60 real maps; 0.77 and 0.91 once all were mirrored so.
        fewest_maps: how many mirror images must lie in their breast before that share says anything.
        gain: contrast that the mirror image of a single map gains; 2 of 60 real maps do.
        alike: correlation of two images of different pairs, tiny. Largest between real pairs 0.94, between those of 80
            phantoms 0.99; of real images with themselves as a JPEG of quality 75, at half the size, or padded
            0.997, 0.996 and 0.991 at least.
        same: the same for images of two patients, from where on it is an error.
    """

    shift: float = 0.01
    overlap: float = 0.85
    doubtful_overlap: float = 0.92
    clipped: float = 0.1
    flat: float = 0.5
    wall: float = 0.45
    letters: int = 3
    contrast: float = 0.3
    mirrored: float = 0.6
    fewest_maps: int = 8
    gain: float = 1.0
    alike: float = 0.99
    same: float = 0.995


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: ``level`` "error", "warning" or "information", in one line, with its remedy.

    ``where`` are (case, detail) pairs; a case is named by its label, which holds no identity.
    """

    level: str
    kind: str
    message: str
    remedy: str
    where: tuple[tuple[str, str], ...] = ()

    @property
    def case_ids(self) -> list[str]:
        return list(dict.fromkeys(label for label, _ in self.where))


Case = tuple[str, Mapping[str, Any], CaseRecord]  # label, entry of the datalist, measures
