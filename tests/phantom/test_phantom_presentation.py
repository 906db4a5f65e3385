"""12-bit values worked out by hand, and what a tone curve may and may not do."""

from __future__ import annotations

import numpy as np

from bundle.phantom.anatomy import Breast
from bundle.phantom.presentation import DES_DISPLAY, HE_DISPLAY, LE_DISPLAY, Display, tone


def half_breast(size=80, spacing=1.0):
    """Air right of column 60; the distance to the skin falls along the rows."""
    distance = np.tile(np.maximum(60 - np.arange(size, dtype=np.float32), 0), (size, 1))
    zero = np.zeros_like(distance)
    return Breast(50.0 * (distance > 0), zero, zero, zero, zero, zero, zero > 0, distance, 50.0, spacing)


def share_of(breast, seed=0):
    return np.where(breast.mask, np.random.default_rng(seed).normal(1, 0.2, breast.mask.shape), 0).astype(np.float32)


def test_display_is_a_line_through_the_window_and_air_is_0():
    display = Display(center=2000.0, width=1000.0, base=0.1, gain=0.5)
    quantity = np.array([[0.0, 0.5, 1.0, 100.0, -100.0, 0.5]], dtype=np.float32)
    stored = display.store(quantity, np.array([[True, True, True, True, True, False]]))
    assert stored.tolist() == [[1600, 1850, 2100, 4095, 1, 0]]  # 1500 + 1000 (0.1 + 0.5 q)
    assert stored.dtype == np.uint16


def test_windows_are_those_of_ge():
    assert (LE_DISPLAY.center, LE_DISPLAY.width) == (2360, 900)
    assert (DES_DISPLAY.center, DES_DISPLAY.width) == (2085, 265)
    assert (HE_DISPLAY.center, HE_DISPLAY.width) == (2360, 900)
    assert all(display.gain > 0 for display in (LE_DISPLAY, HE_DISPLAY, DES_DISPLAY))  # denser is higher


def test_gamma_1_without_detail_is_a_straight_line():
    breast = half_breast()
    share = share_of(breast)
    deep = breast.skin_distance > 0.12 * 60
    low, high = np.percentile(share[deep], [1.0, 99.3])  # all of it is 7 mm deep
    got = tone(share, breast, gamma=1.0, detail=0.0)
    expected = np.clip((share - low) / (high - low), -0.4, 1.4)
    inner = breast.skin_distance >= 7  # nearer to the skin all is pulled to the middle
    np.testing.assert_allclose(got[inner], expected[inner], atol=1e-4)
    assert got[breast.mask & ~inner].std() < 0.9 * got[inner].std()


def test_tone_does_not_depend_on_level_and_scale():
    breast = half_breast()
    share = share_of(breast)
    moved = np.where(breast.mask, 3.0 * share - 5.0, 0).astype(np.float32)
    np.testing.assert_allclose(tone(moved, breast, 1.4)[breast.mask], tone(share, breast, 1.4)[breast.mask], atol=2e-3)


def test_a_larger_gamma_is_darker_and_keeps_black_and_white():
    breast = half_breast()
    one, two = (tone(share_of(breast), breast, gamma) for gamma in (1.0, 2.0))
    np.testing.assert_allclose(np.abs(two), one**2, atol=1e-4)
    assert (np.sign(two) == np.sign(one)).all()


def test_detail_raises_what_is_fine_and_leaves_what_is_coarse():
    breast = half_breast(240, 0.5)
    fine, coarse = (np.sin(2 * np.pi * np.arange(240) * 0.5 / length)[:, None] for length in (3.0, 80.0))
    share = np.where(breast.mask, 0.02 * fine + coarse, 0).astype(np.float32)
    plain, raised = (tone(share, breast, 1.0, detail=detail) for detail in (0.0, 1.0))

    def gain(wave):
        before, after = (np.polyfit(wave[20:-20, 0], image[20:-20, 20], 1)[0] for image in (plain, raised))
        return after / before

    assert gain(fine) > 1.3 * gain(coarse)


def test_air_takes_no_part():
    """Neither what lies in air nor how much air there is changes the breast."""
    breast = half_breast()
    share = share_of(breast)
    noisy = np.where(breast.mask, share, 7.0).astype(np.float32)
    np.testing.assert_array_equal(tone(noisy, breast, 1.4)[breast.mask], tone(share, breast, 1.4)[breast.mask])
