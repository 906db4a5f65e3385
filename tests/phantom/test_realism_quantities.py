"""Quantities of a pair, on images whose answer is known."""

import math

import numpy as np
import pandas as pd
import pytest

from bundle.phantom.realism.quantities import QUANTITIES, interior, linear_r2, measure, spectral_slope, summary


def power_law(exponent: float, seed: int, size: int = 256) -> np.ndarray:
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    phases = np.fft.fft2(np.random.default_rng(seed).standard_normal((size, size)))
    return np.fft.ifft2(phases * frequency ** (-exponent / 2)).real


@pytest.fixture
def breast() -> np.ndarray:
    rows, columns = np.mgrid[:256, :256]
    return np.hypot(rows - 128, columns) < 100


@pytest.fixture
def checkerboard() -> np.ndarray:
    """Mean 0.4 and SD 0.1 over any even number of pixels."""
    return np.where(np.indices((256, 256)).sum(axis=0) % 2, 0.5, 0.3)


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0])
def test_slope_of_a_power_law_is_its_exponent(exponent):
    fields = [power_law(exponent, seed) for seed in range(6)]
    slopes = [spectral_slope(field[top : top + 64, :64]) for field in fields for top in (0, 64, 128)]
    assert np.mean(slopes) == pytest.approx(exponent, abs=0.15)


def test_slope_knows_neither_brightness_nor_contrast():
    field = power_law(2.5, 3, size=64)
    assert spectral_slope(5.0 + 0.1 * field) == pytest.approx(spectral_slope(field), abs=1e-6)
    assert math.isnan(spectral_slope(np.ones((64, 64))))


def test_contrast_area_and_means_by_hand(breast, checkerboard):
    lesion = np.zeros_like(breast)
    lesion[120:130, 40:50] = True
    le = np.where(lesion, 0.7, checkerboard)  # 0.3 above a background of SD 0.1
    des = np.where(lesion, 0.25, 0.5 * checkerboard)  # 0.05 above a background of SD 0.05
    found = measure(le, des, lesion, breast)
    assert found["le_contrast"] == pytest.approx(3.0, abs=0.01)
    assert found["des_contrast"] == pytest.approx(1.0, abs=0.01)
    assert found["lesion_area"] == 100 / breast.sum()
    assert found["des_mean"] == pytest.approx(0.2, abs=0.002)

    whole = measure(checkerboard, 0.2 + 0.5 * checkerboard, np.zeros_like(breast), breast)
    assert whole["le_mean"] == pytest.approx(0.4, abs=1e-3)
    assert whole["le_sd"] == pytest.approx(0.1, abs=1e-3)
    assert whole["des_sd"] == pytest.approx(0.05, abs=1e-3)
    assert whole["correlation"] == pytest.approx(1.0)
    assert all(math.isnan(whole[name]) for name in ("le_contrast", "des_contrast", "lesion_area"))


def test_the_rim_and_the_air_do_not_count(breast, checkerboard):
    lesion = np.zeros_like(breast)
    changed = np.where(interior(breast), checkerboard, 9.0)
    for name, value in measure(changed, changed, lesion, breast).items():
        if not name.endswith("slope"):
            assert value == pytest.approx(measure(checkerboard, checkerboard, lesion, breast)[name], nan_ok=True)
    assert interior(breast)[128, 0]  # the image's edge, where the chest wall is, is no outline
    assert not interior(breast)[128, 95]


@pytest.mark.parametrize(("noise", "r2"), [(0.0, 1.0), (1.0, 0.5), (50.0, 0.0)])
def test_r2_is_the_share_that_le_explains(breast, noise, r2):
    rng = np.random.default_rng(0)
    le = [rng.standard_normal((256, 256)) for _ in range(10)]
    des = [2.0 * image + 0.3 + 2.0 * noise * rng.standard_normal((256, 256)) for image in le]
    patients = [f"P{number // 2}" for number in range(10)]
    assert linear_r2(le, des, [breast] * 10, patients) == pytest.approx(r2, abs=0.04)


def test_r2_is_of_women_it_was_not_fitted_on(breast):
    """One woman of five is bright in LE and DES: whoever has not seen her cannot know."""
    rng = np.random.default_rng(0)
    bright = np.repeat([0.0, 0.0, 0.0, 0.0, 1.0], 2)
    le = [level + 0.1 * rng.standard_normal((256, 256)) for level in bright]
    des = [level + 0.1 * rng.standard_normal((256, 256)) for level in bright]
    assert linear_r2(le, des, [breast] * 10, list("AABBCCDDEE")) < 0.1
    assert linear_r2(le, des, [breast] * 10, list("ABCDEFGHIJ")) > 0.5


def test_r2_needs_five_women(breast):
    image = power_law(3.0, 0)
    assert math.isnan(linear_r2([image] * 4, [image] * 4, [breast] * 4, list("ABCD")))


def test_summary_is_percentiles_and_the_share_without_enhancement():
    table = pd.DataFrame({name: np.arange(11.0) for name in QUANTITIES if name not in ("no_enhancement", "linear_r2")})
    table["des_contrast"] = [-0.5, 0.2, 0.29, 0.3, *np.arange(1.0, 7.0), math.nan]  # a pair without a lesion
    found = summary(table, r2=0.2)
    assert found.loc["le_mean"].tolist() == [1.0, 5.0, 9.0]
    assert found.loc["no_enhancement", "median"] == pytest.approx(3 / 10)
    assert found.loc["linear_r2", "median"] == 0.2
    assert set(found.index) == set(QUANTITIES)


def test_errors_say_what_to_do(breast, checkerboard):
    with pytest.raises(ValueError, match=r"LE, DES, lesion and breast have the shapes .*: expected one for all four"):
        measure(checkerboard, checkerboard[:128], breast, breast)
    with pytest.raises(
        ValueError, match=r"breast of 0 pixels has nothing 8 pixels under its outline.*Look at the pair"
    ):
        measure(checkerboard, checkerboard, breast, np.zeros_like(breast))
