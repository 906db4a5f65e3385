"""From [0, 1] to 12-bit pixels and a window, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.inference.des_pixels import des_pixels

VIRTUAL = np.array([[0.0, 0.25, 0.5, 1.0]])


def test_the_window_of_the_training_is_undone():
    pixels, window = des_pixels(VIRTUAL, (2000, 800))
    assert pixels.tolist() == [[1600, 1800, 2000, 2400]]
    assert pixels.dtype == np.uint16
    assert window == (2000, 800)


def test_without_a_window_all_12_bits_are_used():
    pixels, window = des_pixels(VIRTUAL)
    assert pixels.tolist() == [[0, 1024, 2048, 4095]]
    assert window == (2048, 4096)


def test_a_window_of_more_than_12_bits_is_scaled_down_with_its_values():
    pixels, window = des_pixels(VIRTUAL, (4095, 8190))
    assert pixels.tolist() == [[0, 1024, 2048, 4095]]
    assert window == (2047.5, 4095)


def test_values_below_zero_are_cut():
    pixels, window = des_pixels(VIRTUAL, (100, 400))
    assert pixels.tolist() == [[0, 0, 100, 300]]
    assert window == (100, 400)


@pytest.mark.parametrize(("air_value", "expected"), [(0, 0), (37, 37), (3000, 1600)])
def test_air_keeps_its_value_and_is_never_brighter_than_black(air_value, expected):
    air = np.array([[True, False, False, True]])
    pixels, _ = des_pixels(VIRTUAL, (2000, 800), air, air_value)
    assert pixels.tolist() == [[expected, 1800, 2000, expected]]


def test_values_out_of_range_are_cut():
    assert des_pixels(np.array([[-0.5, 1.5]]))[0].tolist() == [[0, 4095]]


@pytest.mark.parametrize(
    ("virtual", "window", "said"),
    [
        (np.zeros((1, 2, 2)), None, "shape"),
        (np.array([[np.nan]]), None, "NaN or infinite"),
        (np.zeros((2, 2)), (-500, 200), "no values above 0"),
        (np.zeros((2, 2)), (500, 0), "no values above 0"),
    ],
)
def test_what_cannot_be_stored_is_refused(virtual, window, said):
    with pytest.raises(ValueError, match=said):
        des_pixels(virtual, window)


@pytest.mark.parametrize("window", [None, (2000.5, 800.25), (4095, 8190), (100, 400)])
def test_in_blocks_as_in_one_piece(window):
    """The formula over the whole image, and the loop that keeps to the cache, give the same pixels."""
    virtual = np.random.default_rng(0).normal(0.5, 0.4, size=(1000, 377)).astype(np.float32)
    center, width = window or (2047.5, 4095)
    low, high = center - width / 2, center + width / 2
    values = (low + np.clip(virtual, 0.0, 1.0) * (high - low)) * min(1.0, 4095 / high)
    assert np.array_equal(des_pixels(virtual, window)[0], np.clip(np.rint(values), 0, 4095).astype(np.uint16))
