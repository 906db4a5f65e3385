"""Every form on disk that this bundle reads, written: one a file, each read back by its own reader."""

from __future__ import annotations

from . import cdd_cesm, dicom_folders, dicom_medium, image_files, ucbm_nrrd
from .dicom_file import SYNTAXES
from .form import PHANTOM, Form, Settings, Written
from .lesion_map import MAPS

__all__ = ["FORMS", "MAPS", "PHANTOM", "SYNTAXES", "Form", "Settings", "Written"]

LABELS = ("nifti", "seg_nrrd", "nrrd", "png")

FORMS = {
    "dicom": Form(dicom_folders.write_case, (*LABELS, "dicom_seg"), dicom=True),
    "dicomdir": Form(dicom_medium.write_case, (*LABELS, "dicom_seg"), dicom=True, read_back=dicom_medium.read_back),
    "cdd_cesm": Form(cdd_cesm.write_case, read_back=cdd_cesm.read_back),
    "ucbm_nrrd": Form(ucbm_nrrd.write_case, ("seg_nrrd", "nifti", "nrrd", "png"), read_back=ucbm_nrrd.read_back),
    "png": Form(image_files.write_png_case, ("png", "nifti", "seg_nrrd", "nrrd")),
    "nifti": Form(image_files.write_nifti_case, LABELS),
}
