"""The default form: a folder of MG DICOM files a woman, the lesion map of a breast beside its images."""

from __future__ import annotations

from pathlib import Path

from ...keys import BatchKeys
from ..case import PhantomCase
from .dicom_file import write_images
from .form import Settings, Written, described
from .lesion_map import write_map

__all__ = ["write_case"]


def write_case(root: Path, case: PhantomCase, settings: Settings) -> Written:
    """Write ``PH0001/PH0001_L_CC_LE.dcm``, ``_DES.dcm``, ``_HE.dcm`` and the map; training reads all as they are."""
    stem = root / case.patient_id / case.case_id
    files = {**write_images(stem, case, settings), BatchKeys.SEG: write_map(stem, case, settings)}
    entry = described(case, case.case_id, case.patient_id)
    return Written(entry | {key: path and path.relative_to(root).as_posix() for key, path in files.items()})
