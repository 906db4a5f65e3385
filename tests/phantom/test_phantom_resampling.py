"""Coarser and finer pixels: what must not change."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.phantom.anatomy import Breast
from bundle.phantom.anatomy.resampling import average, blur, interpolate
from bundle.phantom.case import exam_grid

MAPS = ("thickness", "gland", "skin", "muscle", "calcium", "iodine", "skin_distance")


def some_breast(shape=(40, 24), spacing=0.5):
    rng = np.random.default_rng(0)
    maps = {name: rng.random(shape, dtype=np.float32) for name in MAPS}
    y, x = np.mgrid[: shape[0], : shape[1]]
    lesion = np.hypot(y - 0.45 * shape[0], x - 0.5 * shape[1]) < 0.3 * shape[1]
    return Breast(**maps, lesion=lesion, compressed=50.0, spacing=spacing)


def test_average_of_squares_worked_out_by_hand():
    values = np.array([[1, 3, 0, 0], [5, 7, 0, 8]], dtype=np.float32)
    assert average(values, 2).tolist() == [[4.0, 2.0]]
    assert average(values > 4, 2).tolist() == [[0.5, 0.25]]


def test_interpolation_is_linear_and_stays_inside():
    values = np.array([[0, 2], [4, 10]], dtype=np.float32)
    got = interpolate(values, np.array([-3.0, 0.0, 0.5]), np.array([0.0, 0.25, 9.0]))
    np.testing.assert_allclose(got, [[0, 0.5, 2], [0, 0.5, 2], [2, 3, 6]])


@pytest.mark.parametrize("spacing", [0.5, 2.0])
@pytest.mark.parametrize("sigma", [1.5, 4.0, 9.0])
def test_blur_of_a_wave_is_known(sigma, spacing):
    """exp(-2 (pi sigma f)^2) of a wave along the columns is left; that of 60 mm here."""
    n = int(240 / spacing)
    x = (np.arange(n) + 0.5) * spacing
    wave = np.tile(np.cos(2 * np.pi * x / 60), (n, 1)).astype(np.float32)
    middle = slice(n // 4, -n // 4)
    expected = np.exp(-2 * (np.pi * sigma / 60) ** 2) * wave
    np.testing.assert_allclose(blur(wave, sigma, spacing)[middle, middle], expected[middle, middle], atol=0.03)


def test_blur_keeps_the_sum_and_what_is_uniform():
    image = np.zeros((101, 90), np.float32)
    image[50, 40] = 1.0
    assert blur(image, 10.0, 1.0).sum() == pytest.approx(1.0, rel=0.02)
    np.testing.assert_allclose(blur(np.full((33, 47), 3.0, np.float32), 10.0, 1.0), 3.0, rtol=1e-5)


@pytest.mark.parametrize("factor", [2, 4])
def test_shrinking_keeps_means_and_the_lesions_area(factor):
    breast = some_breast((160, 96))
    small = breast.shrunk(factor)
    assert small.thickness.shape == (160 // factor, 96 // factor)
    assert (small.spacing, small.compressed) == (0.5 * factor, 50.0)
    for name in MAPS:
        assert getattr(small, name).mean() == pytest.approx(getattr(breast, name).mean(), rel=1e-5), name
        assert getattr(small, name).dtype == np.float32
    assert small.lesion.dtype == bool
    assert small.lesion.sum() * factor**2 == pytest.approx(breast.lesion.sum(), rel=0.05)


def test_enlarging_keeps_means_and_the_lesions_area():
    breast = some_breast()
    large = breast.enlarged((80, 48))
    assert (large.spacing, large.compressed) == (0.25, 50.0)
    for name in MAPS:
        assert getattr(large, name).mean() == pytest.approx(getattr(breast, name).mean(), rel=1e-5), name
        np.testing.assert_allclose(average(getattr(large, name), 2)[1:-1, 1:-1].std(), 0.16, atol=0.1)
    assert large.lesion.dtype == bool
    assert large.lesion.sum() == pytest.approx(4 * breast.lesion.sum(), rel=0.05)


def test_enlarging_does_not_shift():
    """A slope stays on its line: the centre of fine pixel j lies at (j + 0.5) / 2 coarse pixels."""
    breast = some_breast((8, 8))
    slope = np.tile(np.arange(8, dtype=np.float32) + 0.5, (8, 1))
    fine = breast.each(lambda values: slope).enlarged((15, 16)).gland
    assert fine.shape == (15, 16)
    np.testing.assert_allclose(fine[:, 1:-1], np.tile((np.arange(16) + 0.5)[1:-1] / 2, (15, 1)), atol=1e-6)


def test_a_mirror_image_of_a_mirror_image_is_the_breast():
    breast = some_breast()
    mirrored = breast.mirrored()
    np.testing.assert_array_equal(mirrored.gland, breast.gland[:, ::-1])
    np.testing.assert_array_equal(mirrored.mirrored().lesion, breast.lesion)


@pytest.mark.parametrize(("size", "shape"), [(2850, (2850, 2396)), (2294, (2294, 1916))])
def test_native_sizes_have_pixels_of_a_tenth_of_a_millimetre(size, shape):
    assert exam_grid(size).shape == shape
    assert exam_grid(size).spacing == pytest.approx(0.1)


@pytest.mark.parametrize("size", [64, 256, 512])
def test_other_sizes_cover_the_same_detector(size):
    grid = exam_grid(size)
    assert grid.height == pytest.approx(285.0)
    assert grid.columns * grid.spacing == pytest.approx(239.6, abs=0.5 * grid.spacing)
