"""Lesions one by one on an empty view, and the tubes and specks that are drawn with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bundle.phantom.anatomy import LESION_TYPES, Grid, Lesion, Place, draw_lesion, draw_satellites, draw_woman
from bundle.phantom.anatomy.lesions import draw_lesion_maps
from bundle.phantom.anatomy.tubes import draw_specks, draw_tube, wander

GRID = Grid(240, 240, 0.5)
CENTER = (60.0, 60.0)


def lesion_of(kind, **changes):
    place = Place(behind=50.0, lateral=0.0, upper=0.0)
    return replace(Lesion(kind, True, "L", place, diameter=30.0, density=0.6, concentration=1.0), **changes)


def maps_of(lesion, seed=0):
    gland = np.full(GRID.shape, 5.0, dtype=np.float32)
    return draw_lesion_maps(np.random.default_rng(seed), lesion, GRID, CENTER, (110.0, 60.0), 50.0, gland)


def from_center():
    y, x = GRID.coordinates()
    return np.hypot(y - CENTER[1], x - CENTER[0])


def perimeter(shape):
    """In pixel sides: where a pixel of the shape has a neighbour outside it."""
    return sum(np.count_nonzero(np.diff(shape.astype(int), axis=axis)) for axis in (0, 1))


def drawn(malignant, enhancing, n=60):
    rng = np.random.default_rng(0)
    for _ in range(n):
        yield draw_lesion(rng, draw_woman(rng), malignant, enhancing)


# lesions as they are drawn


@pytest.mark.parametrize("malignant", [True, False])
@pytest.mark.parametrize("enhancing", [True, False])
def test_lesions_are_what_was_asked_for(malignant, enhancing):
    for lesion in drawn(malignant, enhancing):
        assert (lesion.malignant, lesion.enhancing) == (malignant, enhancing)
        assert lesion.type in LESION_TYPES
        assert lesion.type not in (("fibroadenoma", "cyst") if malignant else LESION_TYPES[:4])
        assert lesion.truth()["type"] == lesion.type
        assert lesion.truth()["rim"] == (lesion.core > 0)
        assert malignant or not lesion.core


def test_every_type_occurs_and_a_side_can_be_chosen():
    kinds = {lesion.type for lesion in (*drawn(True, True), *drawn(False, False))}
    assert kinds == set(LESION_TYPES)
    rng = np.random.default_rng(0)
    woman = draw_woman(rng)
    assert {draw_lesion(rng, woman, True, True, "R").laterality for _ in range(20)} == {"R"}
    assert {draw_lesion(rng, woman, True, True).laterality for _ in range(20)} == {"L", "R"}


def test_density_of_a_lesion_does_not_tell_its_iodine():
    """Of one kind: what shows in LE does not show what DES will."""
    lesions = [lesion for lesion in drawn(True, True, 1500) if lesion.type == "spiculated_mass"]
    assert abs(np.corrcoef([x.density for x in lesions], [x.concentration for x in lesions])[0, 1]) < 0.1


def test_benign_lesions_are_smaller_and_weaker():
    cancers, benign = list(drawn(True, True, 300)), list(drawn(False, True, 300))
    assert np.median([x.diameter for x in benign]) < 0.7 * np.median([x.diameter for x in cancers])
    assert np.median([x.concentration for x in benign]) < np.median([x.concentration for x in cancers])


def test_height_over_the_nipple_worked_out_by_hand():
    place = Place(behind=40.0, lateral=0.3, upper=0.1)
    assert place.above("CC") == pytest.approx(0.3)
    assert place.above("MLO") == pytest.approx(0.4 / 2**0.5)


def test_satellites_lie_near_and_are_small():
    cancer = lesion_of("spiculated_mass", core=0.5, calcifications=9)
    near = []
    for seed in range(40):
        satellites = draw_satellites(np.random.default_rng(seed), cancer)
        assert 1 <= len(satellites) <= 2
        for satellite in satellites:
            assert satellite.type == "round_mass"
            assert satellite.diameter < 0.5 * cancer.diameter
            assert (satellite.malignant, satellite.concentration, satellite.laterality) == (True, 1.0, "L")
            assert (satellite.core, satellite.calcifications) == (0.0, 0)
            assert satellite.place.behind >= 10
            near.append(abs(satellite.place.behind - 50) < 40 and abs(satellite.place.lateral) < 0.4)
    assert np.mean(near) > 0.9


# lesions as they are seen


@pytest.mark.parametrize("kind", LESION_TYPES)
def test_every_type_is_drawn_around_its_place_and_of_its_size(kind):
    for seed in range(4):
        maps = maps_of(lesion_of(kind), seed)
        area = maps.lesion.sum() * 0.25
        assert 0.3 < area / (np.pi * 15**2) < 1.2
        rows, columns = np.nonzero(maps.lesion)
        assert np.hypot(rows.mean() / 2 - 60, columns.mean() / 2 - 60) < 6
        assert maps.gland[maps.lesion].mean() > 1
        assert maps.iodine[maps.lesion].mean() > 5 * maps.iodine[~maps.lesion].mean() >= 0
        assert min(maps.gland.min(), maps.iodine.min()) >= 0
        assert maps.gland.max() <= 0.85 * 50 * 1.5
        assert not maps.calcium.any()


@pytest.mark.parametrize("kind", LESION_TYPES)
def test_iodine_follows_concentration_and_gland_density_alone(kind):
    one, strong, dense = (maps_of(lesion_of(kind, **k)) for k in ({}, {"concentration": 2.0}, {"density": 0.9}))
    np.testing.assert_allclose(strong.iodine, 2 * one.iodine, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(strong.gland, one.gland)
    np.testing.assert_allclose(dense.gland, 1.5 * one.gland, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(dense.iodine, one.iodine)


def test_iodine_of_a_mass_is_concentration_times_its_length():
    """Centre of a round mass of 30 mm: at most 25 mm of ray and 1 mg/ml, so 2.5 mg/cm2; uptake varies around it."""
    centers = [maps_of(lesion_of("round_mass"), seed).iodine[from_center() < 3].mean() for seed in range(12)]
    assert np.mean(centers) == pytest.approx(2.4, rel=0.2)


def test_spiculated_masses_have_more_perimeter_for_their_area_than_round_ones():
    ratio = {}
    for kind in ("spiculated_mass", "lobulated_mass", "round_mass"):
        tissues = [maps_of(lesion_of(kind), seed).gland > 0.3 for seed in range(8)]
        ratio[kind] = np.array([perimeter(tissue) / np.sqrt(tissue.sum()) for tissue in tissues])
    assert (ratio["spiculated_mass"] > 1.2 * ratio["round_mass"]).all()
    assert ratio["spiculated_mass"].mean() > 1.2 * ratio["lobulated_mass"].mean()


def test_borders_of_lobulated_masses_are_less_round():
    """Spread of the border's distance from the centre, against a disc's."""

    def spread(kind, seed):
        lesion = maps_of(lesion_of(kind), seed).lesion
        edge = lesion & ~(
            np.roll(lesion, 1, 0) & np.roll(lesion, -1, 0) & np.roll(lesion, 1, 1) & np.roll(lesion, -1, 1)
        )
        return from_center()[edge].std()

    assert np.mean([spread("lobulated_mass", s) - spread("round_mass", s) for s in range(8)]) > 0.5


def test_spicules_reach_beyond_the_map():
    maps = maps_of(lesion_of("spiculated_mass"))
    beyond = ~maps.lesion & (from_center() > 20)
    assert (maps.gland[beyond] > 0.3).any()
    assert (maps.iodine[beyond] > 0.02).any()
    assert (from_center()[maps.gland > 0] < 2.6 * 15 * 1.3).all()


@pytest.mark.parametrize("kind", LESION_TYPES[:3])
def test_a_necrotic_core_has_less_iodine_than_its_rim(kind):
    radius = from_center()
    for seed in range(4):
        rim, plain = (maps_of(lesion_of(kind, core=core), seed) for core in (0.5, 0.0))
        core = radius < 4
        border = rim.lesion & (radius > 9) & (rim.gland > 2)
        share = rim.iodine / np.maximum(rim.gland, 1e-3)  # uptake for its tissue
        assert share[core].mean() < 0.4 * share[border].mean()
        assert rim.iodine[core].max() < rim.iodine[border].max()
        assert rim.iodine[core].mean() < 0.4 * plain.iodine[core].mean()
        np.testing.assert_array_equal(rim.gland, plain.gland)


def test_cysts_and_weak_cancers_have_next_to_no_iodine():
    """0.06 mg/ml at most, twice that in places: no more than 0.5 mg/cm2 through 42 mm, the largest."""
    for malignant in (False, True):
        for seed, lesion in enumerate(drawn(malignant, False, 12)):
            assert maps_of(replace(lesion, calcifications=0), seed).iodine.max() < 0.5
    kinds = {lesion.type for lesion in drawn(False, True)}
    assert "cyst" not in kinds


def test_non_mass_enhancement_points_to_the_nipple():
    """Its longer axis lies along the row of centre and nipple."""
    for seed in range(4):
        rows, columns = np.nonzero(maps_of(lesion_of("non_mass_enhancement"), seed).lesion)
        assert columns.std() > 1.2 * rows.std()


def test_calcifications_of_a_lesion_lie_in_it():
    lesion = lesion_of("round_mass", calcifications=20)
    maps, without = maps_of(lesion), maps_of(replace(lesion, calcifications=0))
    mineral = maps.calcium > 0
    assert mineral.sum() >= 10
    assert (from_center()[mineral] < 30).all()
    np.testing.assert_array_equal(maps.gland, without.gland)
    np.testing.assert_array_equal(maps.iodine, without.iodine)


# tubes and specks


@pytest.mark.parametrize("diameter", [0.3, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("spacing", [0.1, 0.5])
def test_specks_keep_their_volume_whatever_the_pixels(spacing, diameter):
    """Balls, half of them mineral: n / 2 pi / 6 d^3."""
    grid = Grid(int(80 / spacing), int(80 / spacing), spacing)
    calcium = np.zeros(grid.shape, np.float32)
    draw_specks(np.random.default_rng(0), calcium, grid, (40.0, 40.0), 8.0, 6, (diameter, diameter), packing=0.5)
    assert calcium.sum() * spacing**2 == pytest.approx(6 * 0.5 * np.pi / 6 * diameter**3, rel=0.25)


def test_specks_are_as_thick_as_they_are_wide_and_stay_on_the_image():
    grid = Grid(100, 100, 0.1)
    calcium = np.zeros(grid.shape, np.float32)
    draw_specks(np.random.default_rng(0), calcium, grid, (5.0, 5.0), 8.0, 200, (1.0, 1.0), packing=0.4)
    assert calcium.max() == pytest.approx(0.4, rel=0.1)
    assert calcium.min() == 0


@pytest.mark.parametrize("diameter", [0.4, 1.2, 4.0])
@pytest.mark.parametrize("spacing", [0.2, 0.56, 1.11])
def test_tubes_keep_their_cross_section_whatever_the_pixels(spacing, diameter):
    grid = Grid(int(60 / spacing), int(60 / spacing), spacing)
    tube, path = np.zeros(grid.shape, np.float32), np.array([[10.0, 12.0], [50.0, 41.0]])
    draw_tube(tube, grid, path, np.array([diameter, diameter]))
    length = np.hypot(40, 29) + 0.5 * diameter  # its ends are round
    assert tube.sum() * spacing**2 == pytest.approx(length * np.pi / 4 * diameter**2, rel=0.15)


def test_a_ray_through_a_tube_crosses_its_diameter():
    grid = Grid(100, 100, 0.1)
    tube = np.zeros(grid.shape, np.float32)
    draw_tube(tube, grid, np.array([[1.0, 5.0], [9.0, 5.0]]), np.array([2.0, 2.0]))
    assert tube.max() == pytest.approx(2.0, rel=0.01)
    half = tube[56, 50]  # 0.65 mm off the axis: 2 sqrt(1 - 0.65^2)
    assert half == pytest.approx(1.52, rel=0.03)
    assert not tube[:39].any()


def test_a_tube_may_leave_the_image_and_does_not_add_up_where_it_crosses():
    grid = Grid(50, 50, 0.2)
    tube = np.zeros(grid.shape, np.float32)
    for path in ([[-5.0, 5.0], [15.0, 5.0]], [[5.0, -5.0], [5.0, 15.0]], [[30.0, 30.0], [40.0, 40.0]]):
        draw_tube(tube, grid, np.array(path), np.array([1.0, 1.0]))
    assert tube.max() <= 1.0 + 1e-6
    assert tube[25, [0, 49]].min() > 0.9
    assert tube[[0, 49], 25].min() > 0.9


def test_a_path_begins_and_ends_where_it_was_asked_to():
    path = wander(np.random.default_rng(0), (3.0, 4.0), (30.0, 20.0), bend=2.0, steps=40)
    assert path.shape == (40, 2)
    np.testing.assert_allclose(path[[0, -1]], [[3.0, 4.0], [30.0, 20.0]], atol=1e-9)
    straight = wander(np.random.default_rng(0), (3.0, 4.0), (30.0, 20.0), bend=0.0, steps=40)
    assert 0.5 < np.abs(path - straight).max() < 12
