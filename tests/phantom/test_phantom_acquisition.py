"""Attenuation, noise and display of slabs whose numbers can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.phantom.acquisition import DES_DISPLAY, LE_DISPLAY, acquire, attenuation, expose, subtract
from bundle.phantom.anatomy import Breast
from bundle.phantom.spectra import MO_MO_26, RH_AG_34, W_RH_28


def slab(thickness=45.0, fraction=0.5, iodine=0.0, compressed=None, size=64, spacing=0.5):
    """A breast without an edge: ``thickness`` mm everywhere, ``fraction`` of it gland."""
    flat = np.full((size, size), thickness, dtype=np.float32)
    return Breast(
        thickness=flat,
        gland=flat * np.float32(fraction),
        iodine=np.full_like(flat, iodine),
        lesion=np.zeros(flat.shape, dtype=bool),
        skin_distance=np.full_like(flat, 1000.0),
        compressed=compressed or thickness,
        spacing=spacing,
    )


def noise_free_des(breast, spectrum):
    le, he = attenuation(breast, spectrum)
    return subtract(np.exp(-le), np.exp(-he), spectrum.weight)


def test_half_and_half_breast_of_45_mm():
    le, he = attenuation(slab(), RH_AG_34)
    assert le[0, 0] == pytest.approx(2.25 * 0.434 + 2.25 * 0.647, abs=1e-5)  # 2.43225
    assert he[0, 0] == pytest.approx(2.25 * 0.229 + 2.25 * 0.285, abs=1e-5)  # 1.1565


def test_forty_per_cent_more_gland_outweighs_iodine_in_le():
    plain, dense, iodine = (attenuation(slab(**k), RH_AG_34)[0][0, 0] for k in ({}, {"fraction": 0.9}, {"iodine": 1}))
    assert dense - plain == pytest.approx(0.4 * 4.5 * 0.213, abs=1e-5)  # 0.3834
    assert iodine - plain == pytest.approx(0.021, abs=1e-5)


@pytest.mark.parametrize("spectrum", [RH_AG_34, MO_MO_26, W_RH_28], ids=lambda spectrum: spectrum.name)
def test_one_mg_of_iodine_adds_the_tables_value_to_des(spectrum):
    gain = noise_free_des(slab(iodine=1.0), spectrum) - noise_free_des(slab(), spectrum)
    assert gain == pytest.approx(spectrum.iodine_des, abs=1e-5)


def test_subtraction_removes_tissue_but_not_thickness():
    fat, gland, thick = (noise_free_des(slab(t, f), RH_AG_34)[0, 0] for t, f in ((45, 0), (45, 1), (50, 0)))
    assert abs(gland - fat) < 0.25 * RH_AG_34.iodine_des  # what rounding leaves: less than 0.25 mg/cm2
    assert thick - fat == pytest.approx(0.5 * (0.229 - 0.266 * 0.434), abs=1e-5)  # 0.0568, as 3.4 mg/cm2


@pytest.mark.parametrize(("spacing", "quanta"), [(0.1, 8600), (0.2, 4 * 8600)])
def test_noise_is_that_of_the_quanta_in_a_pixel(spacing, quanta):
    log_attenuation = np.full((200, 200), 4.5 * 0.5405, dtype=np.float32)
    signal = expose(np.random.default_rng(0), log_attenuation, RH_AG_34.open_le, spacing)
    assert signal.mean() == pytest.approx(np.exp(-4.5 * 0.5405), rel=1e-3)
    assert signal.std() / signal.mean() == pytest.approx(quanta**-0.5, rel=0.02)


def test_no_pixel_is_without_a_quantum():
    assert expose(np.random.default_rng(0), np.full((4, 4), 50.0, dtype=np.float32), 100.0, 0.1).min() == 0.01


def test_display_is_a_line_through_the_window_and_air_is_0():
    quantity = np.array([[0.0, 0.5, 100.0, -100.0, 0.5]], dtype=np.float32)
    mask = np.array([[True, True, True, True, False]])
    assert LE_DISPLAY.store(quantity, mask).tolist() == [[2000, 2495, 4095, 1, 0]]  # 1910 + 900 (0.1 + 1.1 q)
    assert LE_DISPLAY.store(quantity, mask).dtype == np.uint16


def test_gland_is_bright_in_le_and_iodine_in_des():
    images = {
        name: [image.mean() for image in acquire(np.random.default_rng(0), slab(**changed))]
        for name, changed in {"plain": {}, "gland": {"fraction": 0.9}, "iodine": {"iodine": 1.0}}.items()
    }
    assert images["plain"][0] == pytest.approx(1910 + 900 * (0.1 + 1.1 * 0.5), abs=2)
    assert images["gland"][0] - images["plain"][0] == pytest.approx(900 * 1.1 * 0.4, abs=2)
    assert images["iodine"][1] - images["plain"][1] == pytest.approx(265 * DES_DISPLAY.gain, abs=2)
    assert images["iodine"][0] - images["plain"][0] < 0.1 * (images["gland"][0] - images["plain"][0])


def test_tissue_that_the_machine_does_not_know_of_stays_in_des():
    known, unknown = (acquire(np.random.default_rng(0), slab(46.0, compressed=c))[1].mean() for c in (46.0, 45.0))
    assert unknown - known == pytest.approx(265 * DES_DISPLAY.gain * 0.1 * 0.11356 / 0.0165, abs=2)  # 36 of 265
