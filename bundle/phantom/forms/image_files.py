"""Plain image files: 16-bit PNG or NIfTI pairs, their windows in the datalist, for whoever writes a datalist alone."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from ...keys import BatchKeys
from ..case import PhantomCase
from .form import Settings, Written, described, window
from .lesion_map import write_map

__all__ = ["write_nifti_case", "write_png_case"]


def write_png_case(root: Path, case: PhantomCase, settings: Settings) -> Written:
    """Write ``PH0001/PH0001_L_CC_LE.png`` and so on, the stored values in 16 bits."""
    return _write_case(root, case, settings, ".png")


def write_nifti_case(root: Path, case: PhantomCase, settings: Settings) -> Written:
    """Write ``PH0001/PH0001_L_CC_LE.nii.gz`` and so on, uint16 (W, H, 1)."""
    return _write_case(root, case, settings, ".nii.gz")


def _write_case(root: Path, case: PhantomCase, settings: Settings, suffix: str) -> Written:
    entry = described(case, case.case_id, case.patient_id)
    folder = root / case.patient_id
    folder.mkdir(parents=True, exist_ok=True)
    for key in (BatchKeys.LE, BatchKeys.DES, "he"):
        path = folder / f"{case.case_id}_{key.upper()}{suffix}"
        pixels = getattr(case, key)
        if suffix == ".png":
            Image.fromarray(pixels).save(path, compress_level=1)
        else:
            affine = np.diag([-case.breast.spacing, -case.breast.spacing, 1.0, 1.0])
            nibabel.save(nibabel.Nifti1Image(pixels.T[:, :, None], affine), path)
        entry |= {key: path.relative_to(root).as_posix(), f"{key}_window": list(window(case, key))}
    drawn = write_map(folder / case.case_id, case, settings)
    return Written(entry | {BatchKeys.SEG: drawn and drawn.relative_to(root).as_posix()})
