"""Small images in the forms that arrive at an inference."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from bundle.phantom import write_study


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Path:
    """One woman, four pairs of 64 x 54 pixels in DICOM, two of them with a lesion map; not to be changed."""
    return write_study(tmp_path_factory.mktemp("phantom") / "study", patients=1, image_size=64, num_workers=1).parent


@pytest.fixture
def breast():
    """(48, 30) uint8 left breast: chest wall at the left edge, air on the right, smooth, brighter towards the top."""
    rows, columns = np.mgrid[:48, :30]
    depth = 1 - (columns / 24) ** 2 - ((rows - 22) / 20) ** 2
    return np.where(depth > 0, 60 + 120 * depth + 60 * (47 - rows) / 47, 0).astype(np.uint8)


@pytest.fixture
def write(breast):
    """Write an image, by default a left breast, in the form that the name asks for."""

    def make(path, image=breast, affine=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith((".nii", ".nii.gz")):
            affine = np.diag([-0.1, -0.1, 1.0, 1.0]) if affine is None else affine
            nibabel.save(nibabel.Nifti1Image(image.T[..., None], affine), path)
        else:
            Image.fromarray(image).save(path)
        return path

    return make


@pytest.fixture
def write_dicom(phantom):
    """Write a phantom's LE with other header entries, or without some (None)."""

    def make(path, **entries):
        ds = pydicom.dcmread(phantom / "PH0001/PH0001_L_CC_LE.dcm")
        for keyword, value in entries.items():
            setattr(ds, keyword, value)
            if value is None:
                delattr(ds, keyword)
        path.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(path)
        return path

    return make
