"""Which of the images of a CESM exposure a DICOM object is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["energy", "other_than_le"]

# PS3.3 C.8.11.7.1.4 and what GE writes: the word may stand at any place of Image Type
TOKENS = (("RECOMB", "DES"), ("SUBTRACTION", "DES"), ("HIGH_EN", "HE"), ("LOW_EN", "LE"))
SYNTHETIC_DATA = 0x0008001C


def energy(ds: Dataset) -> str:
    """ "LE", "DES" or "HE" by Image Type (0008,0008); "" where it does not say."""
    image_type = ds.get("ImageType") or []
    if isinstance(image_type, str):  # a single value comes without its list
        image_type = [image_type]
    for token, name in TOKENS:
        if any(str(value).upper().startswith(token) for value in image_type):
            return name
    return ""


def other_than_le(path: str | os.PathLike) -> str:
    """Why a file is known not to be an LE image; "" for an LE image and for a file that does not say.

    Only DICOM says: another modality, several frames (tomosynthesis), FOR PROCESSING, DES, HE, or an image that is
    synthetic itself (0008,001C). A file that cannot be read does not say; the reader tells what is wrong with it.
    """
    import pydicom

    try:
        with open(path, "rb") as file:
            if file.read(132)[128:] != b"DICM":
                return ""
        ds = pydicom.dcmread(path, stop_before_pixels=True)
    except Exception:
        return ""
    modality = str(ds.get("Modality", ""))
    if modality != "MG":
        return f"its modality is {modality or 'not given'}, expected MG"
    if SYNTHETIC_DATA in ds and str(ds[SYNTHETIC_DATA].value).upper() == "YES":
        return "it is synthetic data"
    if str(ds.get("PresentationIntentType", "")).upper() == "FOR PROCESSING":
        return "it is FOR PROCESSING, expected FOR PRESENTATION"
    frames = int(ds.get("NumberOfFrames") or 1)
    if frames > 1:
        return f"it has {frames} frames, as tomosynthesis does"
    kind = energy(ds)
    return f"it is {kind}" if kind in ("DES", "HE") else ""
