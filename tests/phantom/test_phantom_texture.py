"""Random fields: their spectrum and their direction."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.phantom.texture import power_law_field, radiate


@pytest.mark.parametrize("exponent", [2.0, 3.0])
def test_power_falls_with_the_exponent(exponent):
    size, spacing = 256, 0.5
    rng = np.random.default_rng(0)
    power = np.zeros((size, size))
    for _ in range(4):
        power += np.abs(np.fft.fft2(power_law_field(rng, (size, size), spacing, exponent=exponent))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size, spacing), np.fft.fftfreq(size, spacing)))
    fitted = (frequency > 0.1) & (frequency < 0.8)
    slope = np.polyfit(np.log(frequency[fitted]), np.log(power[fitted]), 1)[0]
    assert -slope == pytest.approx(exponent, abs=0.1)


def test_field_has_mean_0_and_sd_1_whatever_the_grid():
    for shape in ((64, 54), (128, 108), (65, 33)):
        field = power_law_field(np.random.default_rng(1), shape, 285 / shape[0])
        assert field.shape == shape
        assert field.dtype == np.float32
        assert abs(field.mean()) < 1e-4
        assert field.std() == pytest.approx(1, abs=1e-4)


def test_elongation_draws_structures_out_along_the_rows():
    field = power_law_field(np.random.default_rng(2), (128, 128), 1.0, elongation=3.0)
    assert np.abs(np.diff(field, axis=0)).mean() > 1.5 * np.abs(np.diff(field, axis=1)).mean()


def test_rays_are_constant_along_a_line_through_their_point():
    field = np.repeat(np.sin(np.arange(64, dtype=np.float32))[:, None], 64, axis=1)  # each row one value
    y, x = np.array([[1.0], [2.0], [3.0]], dtype=np.float32), np.array([[10.0, 20.0, 30.0]], dtype=np.float32)
    bent = radiate(field, y, x, spacing=1.0)
    assert bent[0, 0] == pytest.approx(bent[1, 1], abs=1e-5) == pytest.approx(bent[2, 2], abs=1e-5)
    assert bent[0, 0] != pytest.approx(bent[2, 0], abs=1e-2)
