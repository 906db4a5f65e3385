"""The grid that a virtual DES was made at, as its header says it."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from bundle.dicom.derivation import derivation_text
from bundle.dicom.synthesis import Synthesis


def text(spacing, image_size=None, sides=(2850, 2396)):
    le = Dataset()
    le.Rows, le.Columns = sides
    le.ImagerPixelSpacing = [spacing, spacing]
    return derivation_text(le, Synthesis("Seg-CycleGAN", "0.1.0", "a" * 64, image_size))


@pytest.mark.parametrize("spacing", [0.094, 0.0940909, 0.05, 0.065, 0.07, 0.1])
def test_the_native_grid_is_never_enlarged(spacing):
    for side in range(2300, 2900, 7):
        said = text(spacing, sides=(side, side - 100))
        assert f"made at the native {side} x {side - 100} pixels of {spacing:.3g} mm. Made by" in said
        assert "enlarged" not in text(spacing, image_size=side, sides=(side, side - 100))


def test_a_coarser_grid_is():
    said = text(0.094, image_size=1024)
    assert "made at 1024 x 1024 pixels of 0.262 mm and enlarged to 2850 x 2396 pixels of 0.094 mm" in said
