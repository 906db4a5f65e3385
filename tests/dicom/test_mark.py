"""The word SYNTHETIC in the air of an image."""

from __future__ import annotations

import numpy as np
import pytest
from le_objects import breast
from scipy import ndimage

from bundle.dicom.mark import WORD, marked

INK = 3000


def drawn(image):
    rows, columns = np.nonzero(image == INK)
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


@pytest.mark.parametrize("size", [(512, 430), (2850, 2396), (2294, 1916)])
@pytest.mark.parametrize("side", ["left", "right"])
def test_it_is_large_and_lies_in_the_air(size, side):
    pixels = breast(size, side)
    image = marked(pixels, INK)
    top, bottom, left, right = drawn(image)
    assert (pixels[top:bottom, left:right] == 0).all()
    assert (left > size[1] / 2) if side == "left" else (right < size[1] / 2)
    assert 1 / 50 < (bottom - top) / size[0] < 1 / 30
    assert np.array_equal(image != pixels, image == INK)


def test_it_reads_synthetic_and_is_not_mirrored():
    image = marked(breast((512, 430), "right"), INK)
    top, bottom, left, right = drawn(image)
    dot = (bottom - top) // 7
    letters = image[top:bottom:dot, left:right:dot] == INK
    assert (bottom - top, right - left) == (7 * dot, (6 * len(WORD) - 1) * dot)
    first = ["".join("#" if inked else "." for inked in row) for row in letters[:, :5]]
    assert first == [".####", "#....", "#....", ".###.", "....#", "....#", "####."]
    assert ndimage.label(letters, np.ones((3, 3)))[1] == len(WORD)


def test_beside_a_breast_that_reaches_the_upper_edge():
    pixels = breast((512, 430))
    pixels[:120] = 2000
    top, bottom, left, right = drawn(marked(pixels, INK))
    assert top >= 120
    assert (pixels[top:bottom, left:right] == 0).all()


def test_grainy_air_is_air():
    pixels = breast((512, 430))
    pixels += np.random.default_rng(0).integers(0, 4, pixels.shape, np.uint16)
    assert drawn(marked(pixels, INK))[0] < 20


def test_it_is_there_even_where_there_is_no_air():
    image = marked(np.full((512, 430), 2000, np.uint16), INK)
    assert (image == INK).sum() > 500


def test_the_smallest_image():
    assert (marked(np.zeros((9, 55), np.uint16), INK) == INK).any()
    with pytest.raises(
        ValueError, match=r"^an image of 9 x 54 pixels has no room for SYNTHETIC, expected 9 x 55 or more"
    ):
        marked(np.zeros((9, 54), np.uint16), INK)
