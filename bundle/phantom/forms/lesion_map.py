"""The lesion map of a case in every form that maps are drawn in."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from ..case import PhantomCase
from .dicom_seg import write_dicom_seg
from .form import Settings
from .nrrd_file import write_nrrd

__all__ = ["MAPS", "write_map"]

MAPS = {  # the word of the command line, and how a map's name goes on behind the name of its case
    "nifti": "_SEG.nii.gz",
    "seg_nrrd": ".seg.nrrd",
    "nrrd": "_SEG.nrrd",
    "png": "_SEG.png",
    "dicom_seg": "_SEG.dcm",
}


def write_map(stem: Path, case: PhantomCase, settings: Settings, cropped: bool = False) -> Path | None:
    """Write the lesion map of a case behind the name ``stem``.

    Args:
        stem: the path without what :data:`MAPS` adds.
        case: its lesions.
        settings: ``maps`` is the form.
        cropped: keep the lesions' extent alone in a ``.seg.nrrd``, as 3D Slicer does; only a reader of maps, not of
            images, can place it.

    Returns:
        the map's path, or None for a breast without a lesion.
    """
    lesion = np.asarray(case.breast.lesion) > 0
    if not lesion.any():
        return None
    path = stem.with_name(stem.name + MAPS[settings.maps])
    path.parent.mkdir(parents=True, exist_ok=True)
    spacing = case.breast.spacing
    if settings.maps == "nifti":  # 3D Slicer's form of a map on MG: (W, H, 1), LPS axes, origin 0
        affine = np.diag([-spacing, -spacing, 1.0, 1.0])
        nibabel.save(nibabel.Nifti1Image(lesion.T[:, :, None].astype(np.uint8), affine), path)
    elif settings.maps == "png":
        Image.fromarray(lesion.astype(np.uint8) * 255).save(path)
    elif settings.maps == "dicom_seg":
        write_dicom_seg(path, lesion, case, settings)
    elif settings.maps == "nrrd":
        write_nrrd(path, lesion.astype(np.uint8), spacing)
    else:
        rows, columns = (np.flatnonzero(lesion.any(axis=axis)) for axis in (1, 0))
        top, left = (int(rows[0]), int(columns[0])) if cropped else (0, 0)
        labels = lesion[top : rows[-1] + 1, left : columns[-1] + 1] if cropped else lesion
        height, width = labels.shape
        segment = {
            "Segment0_ID": "Segment_1",
            "Segment0_Name": "lesion",
            "Segment0_LabelValue": "1",
            "Segment0_Layer": "0",
            "Segment0_Extent": f"0 {width - 1} 0 {height - 1} 0 0",
            "Segmentation_MasterRepresentation": "Binary labelmap",
            "Segmentation_ReferenceImageExtentOffset": f"{left} {top} 0",
        }
        write_nrrd(path, labels.astype(np.uint8), spacing, (top, left), segment)
    return path
