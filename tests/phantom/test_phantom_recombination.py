"""Iodine from two readings: sums worked out in float64, and what equalisation takes and leaves."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.phantom.anatomy import Breast
from bundle.phantom.recombination import calibrate, equalise, recombine
from bundle.phantom.spectra import MO_MO_26, RH_AG_34, W_RH_28

NO_SCATTER = (0.0, 0.0)
spectra = pytest.mark.parametrize("spectrum", [RH_AG_34, MO_MO_26, W_RH_28], ids=lambda spectrum: spectrum.name)


def reading(beam, thickness, gland, iodine=0.0):
    """-ln(signal) behind ``thickness`` mm, summed over all energies in float64."""
    mu = beam.attenuation
    path = thickness / 10 * ((1 - gland) * mu["adipose"] + gland * mu["gland"]) + iodine * mu["iodine"]
    return np.full((1, 1), -np.log(np.sum(beam.weights * np.exp(-path))))


def iodine_seen(spectrum, thickness, believed, gland=0.3, iodine=0.0):
    le, he = (reading(beam, thickness, gland, iodine) for beam in (spectrum.le, spectrum.he))
    return float(recombine(le, he, np.full((1, 1), believed), spectrum, spectrum.weight, NO_SCATTER)[0, 0])


def some_breast(size=100, spacing=1.0):
    """A slab whose distance to the skin falls along the rows, with air behind column 80."""
    distance = np.tile(np.maximum(80 - np.arange(size, dtype=np.float32), 0), (size, 1))
    zero = np.zeros_like(distance)
    return Breast(50.0 * (distance > 0), zero, zero, zero, zero, zero, zero > 0, distance, 50.0, spacing)


@spectra
def test_slabs_are_calibrated_to_their_known_attenuation(spectrum):
    slabs = calibrate(spectrum, 0.2, NO_SCATTER, gland=0.4)
    assert slabs.shape == (121,)
    assert slabs[0] == pytest.approx(0.0, abs=1e-6)
    for thickness in (20, 45, 90):
        le, he = (reading(beam, thickness, 0.4)[0, 0] for beam in (spectrum.le, spectrum.he))
        assert slabs[thickness] == pytest.approx(he - 0.2 * le, abs=5e-6)


def test_calibration_knows_what_scatter_adds():
    """10 and 20 % behind 5 cm brighten LE and HE by ln 1.1 and ln 1.2."""
    change = calibrate(RH_AG_34, 0.25, (0.1, 0.2))[50] - calibrate(RH_AG_34, 0.25, NO_SCATTER)[50]
    assert change == pytest.approx(-np.log(1.2) + 0.25 * np.log(1.1), abs=1e-5)


@spectra
@pytest.mark.parametrize("iodine", [0.5, 1.0, 2.0])
def test_iodine_is_measured_in_mg_per_cm2_at_45_mm(spectrum, iodine):
    assert iodine_seen(spectrum, 45.0, 45.0, iodine=iodine) == pytest.approx(iodine, rel=0.02)


@spectra
def test_a_slab_without_iodine_shows_none(spectrum):
    for thickness in (20.0, 45.0, 90.0):
        assert iodine_seen(spectrum, thickness, thickness) == pytest.approx(0.0, abs=1e-3)


@spectra
def test_a_millimetre_that_the_machine_does_not_know_of_looks_like_iodine(spectrum):
    """0.69, 0.78 and 0.74 mg/cm2 at 4.5 cm."""
    assert iodine_seen(spectrum, 46.0, 45.0) == pytest.approx(0.74, abs=0.06)
    assert iodine_seen(spectrum, 44.0, 45.0) == pytest.approx(-0.74, abs=0.06)


@spectra
def test_gland_cancels_at_45_mm_and_leaves_a_residue_elsewhere(spectrum):
    thin, right, thick = (
        iodine_seen(spectrum, t, t, gland=0.8) - iodine_seen(spectrum, t, t, gland=0.2) for t in (20.0, 45.0, 75.0)
    )
    assert abs(right) < 0.1
    assert thin < -0.2 < 0.2 < thick  # the weight is too large for thin breasts, too small for thick ones


def test_equalisation_takes_out_what_depends_on_the_skins_distance_alone():
    breast = some_breast()
    halo = np.where(breast.mask, 2.0 * np.exp(-breast.skin_distance / 10), 0).astype(np.float32)
    everywhere = np.ones_like(breast.mask)
    flat = equalise(halo, breast, everywhere, outer=1.0, inner=1.0)
    away = breast.skin_distance > 8  # at the skin itself it is blurred
    assert np.abs(flat[away]).max() < 0.1 < np.ptp(halo[away])
    none = equalise(halo, breast, everywhere, outer=0.0, inner=0.0)
    assert np.ptp((none - halo)[breast.mask]) < 1e-5  # only its level changes


def test_equalisation_sets_the_level_to_0_and_leaves_a_lesion():
    breast = some_breast()
    y, x = np.mgrid[:100, :100]
    lesion = np.hypot(y - 50, x - 30) < 8
    iodine = (4.0 + 1.5 * lesion).astype(np.float32)
    got = equalise(iodine, breast, breast.skin_distance > 25, outer=0.9, inner=0.25)
    assert got[lesion].mean() == pytest.approx(1.5, abs=1e-4)
    assert got[breast.mask & ~lesion] == pytest.approx(0.0, abs=1e-4)


def test_shares_are_those_of_roll_off_and_paddle():
    """A slope of the distance: a quarter of it is left outside, three quarters under the paddle, a rim between."""
    breast = some_breast()
    slope = (0.1 * breast.skin_distance).astype(np.float32)
    got = equalise(slope, breast, breast.skin_distance > 30, outer=0.75, inner=0.25)
    middle = got[50]
    assert np.polyfit(breast.skin_distance[50, 5:40], middle[5:40], 1)[0] == pytest.approx(0.075, abs=0.005)
    assert np.polyfit(breast.skin_distance[50, 58:72], middle[58:72], 1)[0] == pytest.approx(0.025, abs=0.005)
