"""What an LE object says, must say, or need not say because its image tells it."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .codes import VIEWS, code
from .energy import refusal
from .headers import VIEW_CODES, laterality, view
from .uid import is_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = [
    "breast_side",
    "detector_spacing",
    "image_laterality",
    "lacks",
    "missing_uids",
    "patient_orientation",
    "source_problems",
    "view_code",
    "was_lossy",
]

LOSSY = tuple(f"1.2.840.10008.1.2.4.{last}" for last in (50, 51, 81, 91))  # JPEG, JPEG-LS and JPEG 2000 with loss
# where a row and a column of an image of the left breast lead when its chest wall is on the left and it is not
# mirrored (A anterior, F feet, R right; PS3.3, C.7.6.1.1.1)
ORIENTATIONS = {
    ("CC", "XCCL", "XCCM"): ("A", "R"),
    ("MLO", "LMO"): ("A", "FR"),
    ("ML", "LM"): ("A", "F"),
}
SHORT, LONG = r"[ -\[\]-~]{1,16}", r"[ -\[\]-~]{1,64}"  # of VR SH and LO
OPPOSITE = dict(zip("APRLFH", "PALRHF", strict=True))


def source_problems(le: Dataset, orientation: Collection[str], unreadable: Collection[str] = ()) -> Iterator[str]:
    """Why no derived mammogram can be made of an object: it is refused, or lacks what nobody can make up.

    Args:
        le: its header, legible.
        orientation: what :func:`patient_orientation` says.
        unreadable: keywords that :func:`bundle.dicom.carried.carried` could not read.
    """
    if refused := refusal(le):
        yield f"it is no LE image: {refused}"
        return
    missing = missing_uids(le, "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    known = {
        "Rows": isinstance(le.get("Rows"), int),
        "Columns": isinstance(le.get("Columns"), int),
        "ImagerPixelSpacing": detector_spacing(le),
        "ImageLaterality": image_laterality(le),
        "ViewCodeSequence": view_code(le) is not None,
        "PatientOrientation": orientation,
        "LossyImageCompressionRatio": le.get("LossyImageCompressionRatio") or not was_lossy(le),
    }
    missing += [keyword for keyword, value in known.items() if not value]
    missing += [keyword for keyword in unreadable if keyword not in missing]
    if missing:
        yield lacks(missing)


def lacks(keywords: Collection[str]) -> str:
    """What is said of attributes that are missing, empty or malformed."""
    return (
        f"the LE object lacks {', '.join(keywords)}, or says it wrongly: expected a whole mammogram, whose own values "
        "nobody can make up. Export it again"
    )


def missing_uids(le: Dataset, *keywords: str) -> list[str]:
    """Those of the keywords that hold no UID; a UID with a leading zero is one, because a PACS files by it."""
    return [keyword for keyword in keywords if not is_uid(str(le.get(keyword) or ""))]


def image_laterality(le: Dataset) -> str:
    """L, R, B where both breasts are on the image, or ""."""
    return laterality(le) or ("B" if str(le.get("ImageLaterality")) == "B" else "")


def view_code(le: Dataset) -> Dataset | None:
    """The view as an item of View Code Sequence (0054,0220), with its modifiers.

    The object's own code, in SNOMED CT where it is a retired one, else the code of its View Position; None where
    neither says the view.
    """
    modifiers: list[Dataset] = []
    made = VIEWS.get(view(le))
    for item in le.get("ViewCodeSequence") or []:
        own = _whole_code(item)
        if own:
            made = VIEWS.get(VIEW_CODES.get(own[0], ""), own)
            modifiers = [
                code(*parts) for parts in map(_whole_code, item.get("ViewModifierCodeSequence") or []) if parts
            ]
            break
    if made is None:
        return None
    coded = code(*made)
    coded.ViewModifierCodeSequence = modifiers  # of type 2
    return coded


def _whole_code(item: Any) -> tuple[str, str, str] | None:
    value, scheme, meaning = (item.get(key) for key in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
    parts = tuple(str(part or "") for part in (value, scheme, meaning))
    return parts if all(map(re.fullmatch, (SHORT, SHORT, LONG), parts)) else None  # type: ignore[return-value]


def detector_spacing(le: Dataset) -> tuple[float, float] | None:
    """Imager Pixel Spacing (0018,1164), (row, column) in mm; None where it is missing or malformed."""
    value = le.get("ImagerPixelSpacing")
    try:
        rows, columns = (float(one) for one in value) if value is not None else (math.nan, math.nan)
    except (TypeError, ValueError):
        return None
    return (rows, columns) if 0 < rows < math.inf and 0 < columns < math.inf else None


def was_lossy(le: Dataset) -> bool:
    """Whether its pixels have ever been compressed with loss: then so have those of all that is made of them."""
    syntax = str(getattr(getattr(le, "file_meta", None), "TransferSyntaxUID", ""))
    return str(le.get("LossyImageCompression") or "") == "01" or syntax in LOSSY


def breast_side(pixels: NDArray[np.uint16]) -> str:
    """The side of an image that its breast is at, "left" or "right"; "" where both margins are nearly as bright.

    Args:
        pixels: (H, W), MONOCHROME2: air is dark.
    """
    margin = max(1, pixels.shape[1] // 4)
    left, right = (float(part.mean()) for part in (pixels[:, :margin], pixels[:, -margin:]))
    return (
        "" if abs(left - right) < 0.02 * float(np.ptp(pixels)) or left == right else "left" if left > right else "right"
    )


def patient_orientation(le: Dataset, pixels: NDArray[np.uint16]) -> tuple[str, ...]:
    """Patient Orientation (0020,0020), by which a reading station turns images; () where nothing tells it.

    Where the object does not say it, side and view do, with the side of the image that the chest wall is at: rows lead
    away from it, and columns follow because a mammogram is turned but not mirrored.
    """
    said = le.get("PatientOrientation")
    letters = tuple(map(str, said)) if said and not isinstance(said, str) else ()
    if len(letters) == 2 and all(re.fullmatch("[APRLHF]{1,3}", one) for one in letters):
        return letters
    side, wall = image_laterality(le), breast_side(pixels)
    found = [letters for views, letters in ORIENTATIONS.items() if view(le) in views]
    if not found or side not in ("L", "R") or not wall:
        return ()
    row, column = found[0]
    if side == "R":  # the mirror image, which its chest wall on the right turns back
        column = column.replace("R", "L")
        row = "P"
    if (side == "L") != (wall == "left"):  # turned by 180 degrees
        row, column = ("".join(OPPOSITE[letter] for letter in letters) for letters in (row, column))
    return row, column
