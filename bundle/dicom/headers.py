"""Side, view, window and pixel size of a mammogram, read from a pydicom dataset (2.4 or 3)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["laterality", "pixel_spacing", "view", "window"]

CLINICAL_VIEW = 0x0045101B  # private, of GE's Senographe
VIEW_CODES = {  # DICOM PS3.16 CID 4014, View for Mammography: SNOMED CT first, then the retired SNOMED-RT codes
    "399162004": "CC",
    "399368009": "MLO",
    "R-10242": "CC",
    "R-10226": "MLO",
}


def laterality(ds: Dataset) -> str:
    """Side of the breast: ``"L"``, ``"R"``, or ``""`` where the file does not say (or says both, ``B``).

    Image Laterality (0020,0062) goes before Laterality (0020,0060), which speaks of the whole series, and before GE's
    private Clinical View.
    """
    for keyword in ("ImageLaterality", "Laterality"):
        side = _text(ds.get(keyword))
        if side in ("L", "R"):
            return side
    return _clinical_view(ds)[0]


def view(ds: Dataset) -> str:
    """Projection: ``"CC"``, ``"MLO"``, another view as the file names it, or ``""`` where the file does not say.

    View Position (0018,5101) goes before View Code Sequence (0054,0220) and before GE's private Clinical View; a code
    other than those of CC and MLO gives its meaning.
    """
    position = _text(ds.get("ViewPosition"))
    if position:
        match = re.fullmatch(r"[LR]?[ _-]*(CC|MLO)", position)  # some write the side along with it
        return match[1] if match else position
    for code in ds.get("ViewCodeSequence") or []:
        value = _text(code.get("CodeValue"))
        named = VIEW_CODES.get(value) or _text(code.get("CodeMeaning")) or value
        if named:
            return named
    return _clinical_view(ds)[1]


def window(ds: Dataset) -> tuple[float, float]:
    """Window centre (0028,1050) and width (0028,1051), in the image's units after rescaling.

    Returns:
        (center, width): the first pair if the file offers several, (NaN, NaN) unless it gives both.
    """
    center, width = (_numbers(ds.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    return (center[0], width[0]) if center and width else (math.nan, math.nan)


def pixel_spacing(ds: Dataset) -> tuple[float, float]:
    """Distance between pixel centres (row, column) in mm; NaN where the file does not say.

    Pixel Spacing (0028,0030), which may be calibrated to the breast, goes before Imager Pixel Spacing (0018,1164), that
    of the detector.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        spacing = _numbers(ds.get(keyword))
        if len(spacing) == 2:
            return spacing[0], spacing[1]
    return math.nan, math.nan


def _clinical_view(ds: Dataset) -> tuple[str, str]:
    """Side and view of GE's private (0045,101B), for instance ``LCC``; two empty texts without it."""
    element = ds.get(CLINICAL_VIEW)
    value = element.value if element is not None else ""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    match = re.fullmatch(r"([LR])\s*([A-Z]+)\W*", text.strip("\0 ").upper())
    return (match[1], match[2]) if match else ("", "")


def _text(value: Any) -> str:
    return str(value).strip().upper() if value is not None else ""


def _numbers(value: Any) -> list[float]:
    if value is None or value == "":
        return []
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        value = [value]
    return [float(number) for number in value if number is not None and number != ""]
