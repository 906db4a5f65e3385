"""Random fields: their spectrum, their direction, and walls worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.phantom.anatomy.texture import cell_walls, power_law_field, radiate, smooth_field


class Centred:
    """Randomness that puts the point of every square in its middle."""

    def random(self, size, dtype):
        return np.full(size, 0.5, dtype)


def places(size=200, spacing=0.1):
    y, x = (np.mgrid[:size, :size].astype(np.float32) + np.float32(0.5)) * np.float32(spacing)
    return y, x


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


def test_power_stops_rising_at_the_longest_wavelength():
    """At 200 mm, a wavelength of 100 mm has the power of one of 20 mm where 10 mm is the longest."""
    power = np.zeros((200, 200))
    for seed in range(40):
        power += np.abs(np.fft.fft2(power_law_field(np.random.default_rng(seed), (200, 200), 1.0, longest=10.0))) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(200, 1.0)] * 2))
    low, high = (power[np.abs(frequency - f) < 0.004].mean() for f in (0.01, 0.05))
    assert low / high == pytest.approx((1.25 / 1.01) ** 1.5, rel=0.25)  # (0.05^2 + 0.1^2) / (0.01^2 + 0.1^2), 3 / 2


@pytest.mark.parametrize("shape", [(64, 54), (128, 108), (65, 33)])
@pytest.mark.parametrize("draw", [power_law_field, lambda *args: smooth_field(*args, 20.0)], ids=["power", "smooth"])
def test_field_has_mean_0_and_sd_1_whatever_the_grid(draw, shape):
    field = draw(np.random.default_rng(1), shape, 285 / shape[0])
    assert field.shape == shape
    assert field.dtype == np.float32
    assert abs(field.mean()) < 1e-4
    assert field.std() == pytest.approx(1, abs=1e-4)


def test_elongation_draws_structures_out_along_the_rows():
    field = power_law_field(np.random.default_rng(2), (128, 128), 1.0, elongation=3.0)
    assert np.abs(np.diff(field, axis=0)).mean() > 1.5 * np.abs(np.diff(field, axis=1)).mean()


def test_smooth_field_changes_over_its_length():
    steep = [
        np.abs(np.diff(smooth_field(np.random.default_rng(0), (200, 200), 1.0, n), axis=0)).mean() for n in (8, 32)
    ]
    assert steep[0] / steep[1] == pytest.approx(4, rel=0.3)


def test_smooth_field_is_the_same_on_finer_pixels():
    coarse, fine = (smooth_field(np.random.default_rng(3), (n, n), 120 / n, 15.0) for n in (60, 120))
    np.testing.assert_allclose(fine[::2, ::2], coarse, atol=0.05)


def test_walls_of_a_square_lattice_lie_between_its_points():
    """Squares of 4 mm with a point in each middle: on a row of points, 2 mm at a point and 0 halfway to the next."""
    x = np.array([[8.0, 9.0, 10.0, 11.0, 12.0]], dtype=np.float32)
    walls = cell_walls(Centred(), np.full_like(x, 10.0), x, 4.0)
    np.testing.assert_allclose(walls, [[0.0, 1.0, 2.0, 1.0, 0.0]], atol=1e-6)


def test_walls_are_thin_and_never_negative():
    walls = cell_walls(np.random.default_rng(0), *places(), 5.0)
    assert walls.dtype == np.float32
    assert 0 <= walls.min() < 0.02
    assert walls.max() < 5.0


@pytest.mark.parametrize("seed", range(3))
def test_distance_to_the_walls_is_continuous(seed):
    """It changes by 1 mm a mm at most; a second point that lies two squares away may be missed, rarely."""
    walls = cell_walls(np.random.default_rng(seed), *places(400), 5.0)
    near = (walls[1:] < 1.0) & (walls[:-1] < 1.0)  # where strands are drawn
    steps = np.abs(np.diff(walls, axis=0))[near]
    assert (steps > 0.1 * 1.01).mean() < 1e-3
    assert steps.max() < 0.3


def test_cells_grow_with_their_size():
    y, x = places()
    small, large = (cell_walls(np.random.default_rng(0), k * y, k * x, k * 3.0) for k in (1, 2))
    np.testing.assert_allclose(large, 2 * small, atol=1e-5)  # the same picture, twice as large
    means = [cell_walls(np.random.default_rng(0), *places(400), size).mean() for size in (2.0, 4.0)]
    assert means[1] / means[0] == pytest.approx(2, rel=0.1)


def test_rays_are_constant_along_a_line_through_their_point():
    field = np.repeat(np.sin(np.arange(64, dtype=np.float32))[:, None], 64, axis=1)  # each row one value
    y, x = np.array([[1.0], [2.0], [3.0]], dtype=np.float32), np.array([[10.0, 20.0, 30.0]], dtype=np.float32)
    bent = radiate(field, y, x, spacing=1.0)
    assert bent[0, 0] == pytest.approx(bent[1, 1], abs=1e-5) == pytest.approx(bent[2, 2], abs=1e-5)
    assert bent[0, 0] != pytest.approx(bent[2, 0], abs=1e-2)
