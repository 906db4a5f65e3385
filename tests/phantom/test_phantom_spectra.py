"""Beams against published numbers, Beer-Lambert's limits, and sums worked out in float64."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

import bundle.phantom.spectra as module
from bundle.phantom.spectra import MO_MO_26, RH_AG_34, W_RH_28, Beam
from scripts import spectra as script

ROWS = [RH_AG_34, MO_MO_26, W_RH_28]
BEAMS = [RH_AG_34.le, MO_MO_26.le, W_RH_28.le, RH_AG_34.he, W_RH_28.he]
by_name = pytest.mark.parametrize("beam", BEAMS, ids=lambda beam: beam.name)


def two_bins() -> Beam:
    """Half of the signal at 20 keV, half at 40 keV, in round numbers."""
    half, mu = np.array([0.5, 0.5]), {"adipose": np.array([0.5, 0.2]), "gland": np.array([0.8, 0.3])}
    return Beam("two", 49.0, 30.0, np.array([20.0, 40.0]), half, mu, 1000.0)


def maps(shape=(40, 30)):
    """Tissue in cm, iodine in mg/cm2; the calcification leaves half of the pixels alone."""
    rng = np.random.default_rng(0)
    lengths = {name: rng.uniform(0, 4, shape).astype(np.float32) for name in ("adipose", "gland", "iodine")}
    return lengths | {"hydroxyapatite": np.maximum(rng.uniform(-0.1, 0.1, shape), 0).astype(np.float32)}


def in_float64(beam, lengths):
    path = sum(np.multiply.outer(beam.attenuation[name], length.astype(float)) for name, length in lengths.items())
    return -np.log(np.tensordot(beam.weights, np.exp(-path), axes=1))


@pytest.mark.parametrize(
    ("row", "energies", "le", "he", "weight", "iodine"),
    [
        (RH_AG_34, (19.8, 36.6), (0.434, 0.647), (0.229, 0.285), 0.266, 0.0165),
        (MO_MO_26, (16.2, 36.6), (0.586, 0.916), (0.229, 0.285), 0.171, 0.0167),
        (W_RH_28, (18.7, 37.9), (0.488, 0.743), (0.225, 0.279), 0.211, 0.0167),
    ],
    ids=[row.name for row in ROWS],
)
def test_beams_are_those_of_an_independent_calculation(row, energies, le, he, weight, iodine):
    """Made with spectra in steps of 0.5 keV and differences over 1 mm, so good to about 1 %."""
    assert (row.le.mean_energy, row.he.mean_energy) == pytest.approx(energies, abs=0.15)
    assert [row.le.effective(tissue) for tissue in ("adipose", "gland")] == pytest.approx(le, rel=0.01)
    assert [row.he.effective(tissue) for tissue in ("adipose", "gland")] == pytest.approx(he, rel=0.005)
    assert row.weight == pytest.approx(weight, rel=0.015)
    assert row.iodine_des == pytest.approx(iodine, abs=2e-4)


def test_the_weight_drifts_with_thickness():
    drift = [RH_AG_34.weight_at(thickness) for thickness in (2.0, 4.5, 7.5)]
    assert drift == pytest.approx([0.227, 0.266, 0.293], rel=0.015)
    assert RH_AG_34.weight == drift[1]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_weight_and_iodine_follow_from_exposures(row):
    """A breast of 4.5 cm, once with a little more gland for adipose, once with 0.1 mg/cm2 of iodine."""

    def des(gland, iodine):
        tissue = {"adipose": 4.5 - gland, "gland": gland, "iodine": iodine}
        le, he = (in_float64(beam, {name: np.array(t) for name, t in tissue.items()}) for beam in (row.le, row.he))
        return he - row.weight * le

    assert des(2.2501, 0.0) == pytest.approx(des(2.2499, 0.0), abs=1e-9)
    assert (des(2.25, 0.1) - des(2.25, 0.0)) / 0.1 == pytest.approx(row.iodine_des, rel=0.005)


def test_two_bins_worked_out_by_hand():
    beam = two_bins()
    got = beam.log_attenuation(adipose=np.full(1, 2.0, np.float32), gland=np.full(1, 1.0, np.float32))
    assert got == pytest.approx(-np.log((np.exp(-1.8) + np.exp(-0.7)) / 2), abs=1e-6)  # 1.1054
    assert beam.effective("gland", 0.0) == pytest.approx(0.55)
    # behind 4.5 cm the bins keep exp(-2.925) = 0.05366 and exp(-1.125) = 0.32465
    assert beam.effective("adipose") == pytest.approx((0.5 * 0.05366 + 0.2 * 0.32465) / 0.37831, abs=1e-5)
    assert beam.open_quanta == pytest.approx(1000 / 0.189155, rel=1e-4)


def test_one_energy_attenuates_in_proportion():
    """Beer-Lambert's limit: mu t."""
    mu = {"adipose": np.array([0.5]), "gland": np.array([0.8])}
    beam = replace(two_bins(), energies=np.array([20.0]), weights=np.ones(1), attenuation=mu)
    thickness = np.linspace(0, 10, 50, dtype=np.float32)
    np.testing.assert_allclose(beam.log_attenuation(gland=thickness), 0.8 * thickness, rtol=1e-6, atol=2e-7)
    assert beam.effective("gland", 8.0) == pytest.approx(0.8)


@by_name
def test_a_known_thickness_returns_its_known_attenuation(beam):
    lengths = maps()
    got = beam.log_attenuation(**lengths)
    assert got.shape == (40, 30)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, in_float64(beam, lengths), atol=2e-6)


@by_name
def test_the_table_of_a_beam_fits_together(beam):
    assert beam.weights.sum() == pytest.approx(1)
    assert (np.diff(beam.energies) > 0).all()
    assert beam.energies[-1] < beam.kvp
    assert list(beam.attenuation) == ["adipose", "gland", "skin", "muscle", "hydroxyapatite", "iodine"]
    assert all((np.diff(mu) < 0).all() for name, mu in beam.attenuation.items() if name != "iodine")
    with pytest.raises(ValueError, match="read-only"):
        beam.weights[0] = 1


def test_iodine_jumps_at_its_k_edge():
    beam = RH_AG_34.he
    iodine, below = beam.attenuation["iodine"], np.searchsorted(beam.energies, 33.169) - 1
    assert iodine[below + 1] / iodine[below] > 5
    assert (np.diff(np.delete(iodine, below + 1)[below - 3 : below + 1]) < 0).all()


@by_name
def test_a_beam_hardens(beam):
    thickness = np.linspace(0.5, 9, 18, dtype=np.float32)
    for material in ("adipose", "gland", "muscle"):
        assert (np.diff(beam.log_attenuation(**{material: thickness}) / thickness) < 0).all()
    assert beam.effective("gland", 2.0) > beam.effective("gland") > beam.effective("gland", 7.5)


def test_materials_add_in_each_energy():
    beam, half = RH_AG_34.le, np.full(3, 1.5, np.float32)
    np.testing.assert_allclose(beam.log_attenuation(gland=half + half), beam.log_attenuation(gland=2 * half))
    mixed = replace(beam, attenuation={"both": beam.attenuation["gland"] + beam.attenuation["skin"]})
    np.testing.assert_allclose(beam.log_attenuation(gland=half, skin=half), mixed.log_attenuation(both=half), rtol=1e-6)


def test_scalars_hold_for_every_pixel_and_no_breast_attenuates_nothing():
    beam, gland = RH_AG_34.le, np.linspace(0, 4, 7, dtype=np.float32)
    expected = beam.log_attenuation(gland=gland, skin=np.full_like(gland, 0.3), iodine=np.ones_like(gland))
    np.testing.assert_allclose(beam.log_attenuation(gland=gland, skin=0.3, iodine=1), expected, atol=1e-6)
    assert beam.log_attenuation(gland=4.0, skin=0.3, iodine=1) == pytest.approx(expected[-1], abs=1e-6)
    assert beam.log_attenuation() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(beam.log_attenuation(gland=np.zeros((2, 3))), np.zeros((2, 3)), atol=1e-6)


def test_chunks_do_not_show(monkeypatch):
    lengths = maps()
    lengths["iodine"][:10] = 0  # whole chunks without iodine
    whole = RH_AG_34.he.log_attenuation(**lengths)
    monkeypatch.setattr(module, "CHUNK", 77)
    assert RH_AG_34.he.log_attenuation(**lengths).tobytes() == whole.tobytes()


def test_views_and_other_types_are_read_and_left_as_they_were():
    gland = np.arange(24.0).reshape(4, 6) / 8
    kept = gland.copy()
    flipped = RH_AG_34.le.log_attenuation(gland=gland[:, ::-1])
    np.testing.assert_array_equal(flipped[:, ::-1], RH_AG_34.le.log_attenuation(gland=gland))
    np.testing.assert_array_equal(gland, kept)
    np.testing.assert_allclose(
        RH_AG_34.le.log_attenuation(gland=np.arange(3)), RH_AG_34.le.log_attenuation(gland=np.arange(3.0)), rtol=1e-6
    )


@by_name
def test_the_open_field_leaves_the_quanta_behind_a_breast(beam):
    tissue = beam.log_attenuation(adipose=2.25, gland=2.25)
    assert beam.open_quanta * np.exp(-tissue) == pytest.approx(beam.quanta, rel=1e-5)
    assert beam.quanta == (7200 if beam.kvp == 49 else 8600)


def test_errors_say_what_is_known():
    tissue = np.ones((2, 3), np.float32)
    known = "adipose, gland, skin, muscle, hydroxyapatite, iodine"
    with pytest.raises(ValueError, match=f"^Rh/Ag 34 kVp got bone, fat; it knows {known}. Name one of these."):
        RH_AG_34.le.log_attenuation(gland=tissue, fat=tissue, bone=tissue)
    with pytest.raises(ValueError, match=f"^Rh/Ag 34 kVp got fat; it knows {known}. Name one of these."):
        RH_AG_34.le.effective("fat")
    with pytest.raises(ValueError, match=r"gland \(2, 3\), skin \(3, 2\). Give maps of one shape, or scalars."):
        RH_AG_34.le.log_attenuation(gland=tissue, skin=tissue.T)


@pytest.mark.parametrize("missing", ["spekpy", "xraydb"])
def test_the_script_names_the_extra_that_it_needs(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, "spekpy", None if missing == "spekpy" else sys)
    monkeypatch.setitem(sys.modules, "xraydb", None if missing == "xraydb" else sys)
    with pytest.raises(ImportError, match=rf'{missing} is not installed.*pip install -e "\.\[spectra\]"'):
        script.table()


def test_the_embedded_table_is_what_the_script_makes(tmp_path):
    pytest.importorskip("spekpy", reason="spekpy makes the table; it is in the extra spectra")
    pytest.importorskip("xraydb", reason="xraydb makes the table; it is in the extra spectra")
    script.spectra(str(tmp_path / "spectra.json"))
    made = (tmp_path / "spectra.json").read_text(encoding="utf-8")
    embedded = files("bundle.phantom").joinpath("spectra.json").read_text(encoding="utf-8")
    assert json.loads(made).keys() == json.loads(embedded).keys()
    assert json.loads(made)["sources"] == json.loads(embedded)["sources"]
    for part in ("attenuation", *script.BEAMS):
        new, old = ((c := json.loads(text)) and (c["beams"] | c)[part] for text in (made, embedded))
        assert new.keys() == old.keys()
        for key, value in new.items():
            assert old[key] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-5))
