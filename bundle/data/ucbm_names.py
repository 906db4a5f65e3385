"""File names of the research form of CESM@UCBM, taken apart: ``P96_76_RMLO_LOW_ENERGY.nrrd``."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["IMAGE", "INDEXED", "MAP", "PairName", "is_image_name", "parse_name"]

PAIR = r"P(\d+)_(\d+)_([LR])([A-Z]+?)"
IMAGE = re.compile(PAIR + r"_(LOW_ENERGY|RECOMBINED)", re.IGNORECASE)
INDEXED = re.compile(PAIR + r"(?:_(LOW_ENERGY|RECOMBINED))?", re.IGNORECASE)
MAP = re.compile(
    PAIR + r"(?:_(LOW_ENERGY|RECOMBINED))?(?:[ ._-]*(?:seg|mask|map|lesion|label)[a-z]*)*[ ._-]*\d*", re.IGNORECASE
)
SUFFIX = re.compile(r"(?:\.seg)?\.(?:nrrd|nii|nii\.gz|png|dcm)$", re.IGNORECASE)


class PairName(NamedTuple):
    """What the names of an LE and a DES image of one exposure share."""

    patient: int
    number: int
    laterality: str
    view: str

    def __str__(self) -> str:
        return f"P{self.patient}_{self.number}_{self.laterality}{self.view}"


def parse_name(pattern: re.Pattern[str], file: str) -> tuple[PairName, str] | None:
    """The pair that a file name stands for, and "LOW_ENERGY", "RECOMBINED" or ""; None for a name of another kind."""
    match = pattern.fullmatch(SUFFIX.sub("", file))
    if match is None:
        return None
    patient, number, side, view, kind = match.groups()
    return PairName(int(patient), int(number), side.upper(), view.upper()), (kind or "").upper()


def is_image_name(file: str) -> bool:
    """Whether a file is named as an image of the data set: ``P96_76_RMLO_RECOMBINED.nrrd``, but no ``.seg.nrrd``."""
    name = file.lower()
    plain_nrrd = name.endswith(".nrrd") and not name.endswith(".seg.nrrd")
    return plain_nrrd and parse_name(IMAGE, file) is not None
