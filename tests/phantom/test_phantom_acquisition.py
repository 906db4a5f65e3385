"""The chain from tissue to DES on slabs and on uniform breasts whose numbers can be worked out by hand."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from bundle.phantom.acquisition import Machine, Processing, acquire, attenuation, draw_processing, expose
from bundle.phantom.anatomy import Breast, draw_woman, edge_profile
from bundle.phantom.anatomy.outline import draw_outline
from bundle.phantom.case import exam_grid
from bundle.phantom.recombination import recombine
from bundle.phantom.spectra import MO_MO_26, RH_AG_34, W_RH_28

QUIET = Machine(dose=0.0, motion=0.0, scatter_le=0.2, scatter_he=0.3, scatter_removed=0.35)
PRIMARY = replace(QUIET, scatter_le=0.0, scatter_he=0.0)  # nor scatter
spectra = pytest.mark.parametrize("spectrum", [RH_AG_34, MO_MO_26, W_RH_28], ids=lambda spectrum: spectrum.name)


def of_thickness(thickness, gland, skin_distance, compressed, spacing):
    """A breast of one glandular share, without skin, muscle or iodine."""
    zero = np.zeros_like(thickness)
    return Breast(
        thickness=thickness,
        gland=thickness * np.float32(gland),
        skin=zero,
        muscle=zero,
        calcium=zero,
        iodine=zero,
        lesion=zero > 0,
        skin_distance=skin_distance,
        compressed=compressed,
        spacing=spacing,
    )


def slab(thickness=45.0, gland=0.5, size=64, spacing=0.5):
    """Without an edge."""
    flat = np.full((size, size), thickness, dtype=np.float32)
    return of_thickness(flat, gland, np.full_like(flat, 1000.0), thickness, spacing)


def uniform(view, gland=0.3, thickness=50.0, seed=0):
    """In a real outline, rolling off as the machine believes."""
    grid, rng = exam_grid(160), np.random.default_rng(seed)
    distance = draw_outline(rng, draw_woman(rng), view, grid).skin_distance(grid)
    return of_thickness(edge_profile(distance, thickness, thickness / 2), gland, distance, thickness, grid.spacing)


def read(breast, beam, machine, scatter, sharpness, seed=0):
    truth = attenuation(breast, beam)
    rng = np.random.default_rng(seed)
    return expose(rng, truth, breast.thickness, beam, breast.spacing, machine, scatter, sharpness)


def des_of(breast, spectrum=RH_AG_34, machine=QUIET, believed=None):
    """In mg/cm2, of a machine that knows the thickness."""
    le = read(breast, spectrum.le, machine, machine.scatter_le, machine.blur_le, 1)
    he = read(breast, spectrum.he, machine, machine.scatter_he, machine.blur_he, 2)
    known = breast.thickness if believed is None else believed
    return recombine(le, he, known, spectrum, spectrum.weight, machine.scatter_left)


def from_center(breast):
    n = len(breast.thickness)
    at = (np.arange(n) - (n - 1) / 2) * breast.spacing
    return np.hypot(at[:, None], at[None])


# attenuation


@spectra
def test_known_thicknesses_return_their_known_attenuation(spectrum):
    """The sum over all energies in float64, mm of tissue as cm."""
    mm = {"gland": 12.0, "skin": 3.0, "muscle": 5.0, "calcium": 0.4}
    breast = slab(45.0)
    breast = replace(breast, **{name: np.full_like(breast.gland, t) for name, t in mm.items()}, iodine=breast.skin + 1)
    for beam in (spectrum.le, spectrum.he):
        mu = beam.attenuation
        path = 2.46 * mu["adipose"] + 1.2 * mu["gland"] + 0.3 * mu["skin"] + 0.5 * mu["muscle"]
        path = path + 0.04 * mu["hydroxyapatite"] + 1.0 * mu["iodine"]
        expected = -np.log(np.sum(beam.weights * np.exp(-path)))
        np.testing.assert_allclose(attenuation(breast, beam), expected, atol=1e-5)


def test_half_and_half_breast_of_45_mm_lets_the_tables_quanta_through():
    breast = slab()
    signal = np.exp(-read(breast, RH_AG_34.le, PRIMARY, 0.0, 0.0))
    assert RH_AG_34.le.open_quanta * signal.mean() == pytest.approx(8600, rel=1e-4)


def test_air_attenuates_nothing():
    assert np.abs(attenuation(slab(0.0), RH_AG_34.he)).max() < 1e-6


# iodine


@spectra
@pytest.mark.parametrize("machine", [QUIET, PRIMARY], ids=["scatter", "primary"])
def test_doubling_iodine_doubles_its_signal(spectrum, machine):
    """A disc of 12 mm in 4.5 cm against what surrounds it: within 5 %, measured 0.5 %."""
    breast = slab()
    disc, core = from_center(breast) < 6, from_center(breast) < 4
    ring = (from_center(breast) > 9) & (from_center(breast) < 14)

    def signal(iodine):
        des = des_of(replace(breast, iodine=disc * np.float32(iodine)), spectrum, machine)
        return des[core].mean() - des[ring].mean()

    assert signal(0.0) == pytest.approx(0.0, abs=1e-5)
    one = signal(1.0)
    assert one / signal(0.5) == pytest.approx(2, rel=0.05)
    assert signal(2.0) / one == pytest.approx(2, rel=0.05)
    assert one == pytest.approx(1.0, rel=0.01) if machine is PRIMARY else 0.75 < one < 1.0  # scatter veils it


# the flat DES of a uniform breast


@pytest.mark.parametrize("view", ["CC", "MLO"])
@spectra
def test_without_iodine_noise_and_scatter_des_is_flat(spectrum, view):
    """Of the glandular share that the machine was calibrated with: below 0.005 mg/cm2 up to the skin."""
    breast = uniform(view)
    assert np.abs(des_of(breast, spectrum, PRIMARY)[breast.mask]).max() < 0.005


@pytest.mark.parametrize(("gland", "level", "at_skin"), [(0.1, 0.055, 0.22), (0.5, 0.031, -0.27), (1.0, 0.438, -1.15)])
def test_another_glandular_share_is_flat_under_the_paddle_and_drifts_in_the_roll_off(gland, level, at_skin):
    """As w suits 4.5 cm alone; in mg/cm2, measured behind 5 cm."""
    breast = uniform("CC", gland)
    des = des_of(breast, machine=PRIMARY)
    paddle, skin = breast.skin_distance > 25, breast.mask & (breast.skin_distance < 3)
    assert np.ptp(des[paddle]) < 0.005
    assert np.median(des[paddle]) == pytest.approx(level, abs=0.02)
    assert np.median(des[skin]) - level == pytest.approx(at_skin, rel=0.15)


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_scatter_leaves_a_residue_that_grows_towards_the_skin(view):
    """Behind 5 cm measured: 1.4 mg/cm2 off its level under the paddle at most, 2.7 in the roll-off and at the skin."""
    breast = uniform(view)
    des = des_of(breast)
    paddle, skin = breast.skin_distance > 25, breast.mask & (breast.skin_distance <= 3)
    level = np.median(des[paddle])
    under, rolling, rim = (np.abs(des - level)[k].max() for k in (paddle, breast.mask & ~paddle & ~skin, skin))
    assert under < min(rolling, rim)
    assert under < 1.6
    assert max(rolling, rim) < 3.3


@spectra
def test_a_millimetre_believed_away_looks_like_iodine(spectrum):
    """0.69-0.78 mg/cm2 under the paddle, less where the breast is thin, never more."""
    breast = uniform("MLO")
    wrong = des_of(breast, spectrum, PRIMARY, believed=breast.thickness - 1)
    paddle = breast.skin_distance > 25
    assert wrong[paddle].mean() == pytest.approx(0.74, abs=0.06)
    rolling = wrong[(breast.skin_distance > 3) & ~paddle]
    assert 0.5 < rolling.min() < rolling.max() < 0.8


def test_a_rounder_edge_than_believed_shows_as_a_dark_rim():
    """An edge of 27.5 mm where 25 mm are believed: up to 1 mg/cm2 missing, none of it under the paddle."""
    breast = uniform("CC")
    true = replace(breast, thickness=edge_profile(breast.skin_distance, 50.0, 27.5))
    true = replace(true, gland=true.thickness * np.float32(0.3))
    des = des_of(true, machine=PRIMARY, believed=breast.thickness)
    rim = (breast.skin_distance > 3) & (breast.skin_distance < 20)
    assert -1.1 < des[rim].min() < des[rim].max() < -0.3
    np.testing.assert_allclose(des[breast.skin_distance > 30], 0.0, atol=0.005)


# noise


def test_noise_falls_with_the_square_root_of_dose():
    breast = slab(size=200, spacing=0.1)
    for dose in (1.0, 4.0, 16.0):
        machine = replace(PRIMARY, dose=dose)
        reading = read(breast, RH_AG_34.le, machine, 0.0, machine.blur_le)
        assert reading.std() == pytest.approx((8600 * dose) ** -0.5, rel=0.03)
        # sqrt(0.266^2 / 8600 + 1 / 7200) / 0.0165 = 0.735 mg/cm2 at dose 1
        assert des_of(breast, machine=machine).std() == pytest.approx(0.735 * dose**-0.5, rel=0.03)


@pytest.mark.parametrize("spacing", [0.1, 0.2, 0.4])
def test_noise_falls_with_the_side_of_a_pixel(spacing):
    machine = replace(PRIMARY, dose=1.0)
    reading = read(slab(size=200, spacing=spacing), RH_AG_34.he, machine, 0.0, machine.blur_he)
    assert reading.std() == pytest.approx(7200**-0.5 * 0.1 / spacing, rel=0.03)


def test_noise_adds_no_bias_and_none_in_air():
    breast = slab(size=200)
    breast.thickness[:, 100:] = 0
    breast.gland[:, 100:] = 0
    clean, noisy = (read(breast, RH_AG_34.le, replace(PRIMARY, dose=dose), 0.0, 0.0) for dose in (0.0, 1.0))
    assert noisy[:, :100].mean() == pytest.approx(clean[:, :100].mean(), abs=2e-4)
    np.testing.assert_array_equal(noisy[:, 100:], clean[:, 100:])


def test_no_reading_is_without_a_quantum():
    dark = np.full((4, 4), 50.0, dtype=np.float32)
    machine = replace(PRIMARY, dose=1.0)
    reading = expose(np.random.default_rng(0), dark, dark, RH_AG_34.le, 0.1, machine, 0.0, 0.0)
    assert np.isfinite(reading).all()
    np.testing.assert_allclose(reading, min(np.log(RH_AG_34.le.open_quanta), np.log(1e6)), rtol=1e-5)


# scatter


def test_no_scatter_no_change():
    breast = uniform("CC")
    np.testing.assert_allclose(
        read(breast, RH_AG_34.le, PRIMARY, 0.0, 0.0), attenuation(breast, RH_AG_34.le), atol=2e-6
    )


def test_scatter_of_a_fifth_adds_a_fifth_behind_5_cm():
    """And in proportion to thickness: two fifths behind 10 cm."""
    for thickness, ratio in ((50.0, 0.2), (100.0, 0.4)):
        breast = slab(thickness)
        machine = replace(QUIET, scatter_removed=0.0)
        brighter = attenuation(breast, RH_AG_34.le) - read(breast, RH_AG_34.le, machine, 0.2, 0.0)
        np.testing.assert_allclose(brighter, np.log(1 + ratio), atol=1e-4)


def test_scatter_falls_on_air_too_and_reaches_far():
    breast = uniform("CC")
    air = read(breast, RH_AG_34.le, replace(QUIET, scatter_removed=0.0), 0.2, 0.0)[~breast.mask]
    assert (air <= 1e-6).all()
    assert air.min() < -0.002


@pytest.mark.parametrize("ratio", [0.2, 0.3])
def test_a_machine_that_removes_scatter_gets_nearly_the_primary_back(ratio):
    """What it takes out was measured with the scatter in it: ratio squared too much, less at the edges."""
    breast = uniform("MLO")
    primary = attenuation(breast, RH_AG_34.he)
    left, removed = (
        read(breast, RH_AG_34.he, replace(QUIET, scatter_removed=share), ratio, 0.0) - primary for share in (0.0, 1.0)
    )
    inside = breast.skin_distance > 3
    assert np.abs(removed[inside]).max() < 1.3 * ratio**2
    assert np.median(np.abs(removed[inside])) < 0.5 * np.median(np.abs(left[inside]))
    halfway = read(breast, RH_AG_34.he, replace(QUIET, scatter_removed=0.5), ratio, 0.0) - primary
    assert (left[inside] < halfway[inside]).all()
    assert (halfway[inside] < removed[inside]).all()


# motion, and the images


def with_gland(breast):
    """Strands of more and less gland, 6 mm wide, in the upper half of the detector."""
    rows = np.arange(len(breast.thickness)) * breast.spacing
    strands = 0.25 * np.sign(np.sin(2 * np.pi * rows / 12)) * (rows < rows[-1] / 2)
    return replace(breast, gland=breast.gland * (1 + strands[:, None]).astype(np.float32))


def images_of(breast, motion, seed=0):
    return acquire(np.random.default_rng(seed), breast, machine=replace(PRIMARY, motion=motion))


def test_without_motion_and_noise_there_is_no_chance():
    breast = with_gland(uniform("CC"))
    for one, two in zip(images_of(breast, 0.0, 1), images_of(breast, 0.0, 2), strict=True):
        np.testing.assert_array_equal(one, two)


def test_motion_shows_in_des_where_le_has_structure():
    breast = with_gland(uniform("CC"))
    still, moved = images_of(breast, 0.0), images_of(breast, 0.6)
    np.testing.assert_array_equal(moved.le, still.le)
    change = np.abs(moved.des.astype(float) - still.des.astype(float))
    rows = np.arange(len(change))[:, None] / len(change)
    paddle = breast.skin_distance > 32
    strands, plain = paddle & (rows < 0.45), paddle & (rows > 0.55)
    assert change[strands].std() > 5 * max(change[plain].std(), 0.1)


def test_images_are_12_bit_and_0_in_air():
    breast = with_gland(uniform("MLO"))
    images = acquire(np.random.default_rng(0), breast)
    for image in images:
        assert image.dtype == np.uint16
        assert image.shape == breast.thickness.shape
        np.testing.assert_array_equal(image > 0, breast.mask)
        assert image.max() < 4096


@spectra
def test_gland_is_bright_in_le_and_he_and_iodine_in_des(spectrum):
    breast = with_gland(uniform("CC"))
    y, x = np.mgrid[: len(breast.thickness), : breast.thickness.shape[1]] * breast.spacing
    disc = (np.hypot(y - 200, x - 30) < 8) & breast.mask
    around = (np.hypot(y - 200, x - 30) < 16) & breast.mask & ~disc

    def contrasts(changed):
        images = acquire(np.random.default_rng(0), changed, spectrum, PRIMARY, Processing(weight=1.0))
        return [float(image[disc].mean() - image[around].mean()) for image in images]

    plain = contrasts(breast)
    gland = contrasts(replace(breast, gland=breast.gland + 0.15 * breast.thickness * disc))
    iodine = contrasts(replace(breast, iodine=breast.iodine + disc.astype(np.float32)))
    assert gland[0] - plain[0] > 30
    assert gland[2] - plain[2] > 30
    assert iodine[1] - plain[1] > 25
    assert iodine[1] - plain[1] > 5 * abs(gland[1] - plain[1])
    assert iodine[0] - plain[0] < 0.25 * (gland[0] - plain[0])


def test_no_two_exams_are_shown_alike():
    rng = np.random.default_rng(0)
    drawn = [draw_processing(rng) for _ in range(50)]
    for field in fields(drawn[0]):
        assert len({getattr(processing, field.name) for processing in drawn}) == 50, field.name
    assert draw_processing(np.random.default_rng(0)) == drawn[0]
    assert all(processing.gamma > 0 and processing.level >= 0 for processing in drawn)
    assert all(0 <= p.inner < p.outer for p in drawn)


def test_quarter_of_what_a_machine_does_not_know_of_scatter():
    assert Machine(scatter_le=0.2, scatter_he=0.4, scatter_removed=0.75).scatter_left == pytest.approx((0.05, 0.1))
