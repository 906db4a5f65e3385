"""Breasts without X-rays: where tissue, iodine and lesions lie, and what the views of a woman share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bundle.phantom.anatomy import LESION_TYPES, Lesion, Place, build_breast, draw_lesion, draw_woman
from bundle.phantom.case import VIEWS, exam_grid

GRID, COARSE = exam_grid(128), exam_grid(72)
TISSUES = ("gland", "skin", "muscle", "calcium")
MAPS = ("thickness", *TISSUES, "iodine", "lesion", "skin_distance")


def some_woman(seed, malignant=True, enhancing=True, **changes):
    """With a lesion of her left breast."""
    rng = np.random.default_rng(seed)
    woman = draw_woman(rng)
    return replace(woman, lesions=(draw_lesion(rng, woman, malignant, enhancing, "L"),), **changes)


def view_of(woman, laterality="L", view="CC", seed=0, grid=GRID):
    return build_breast(np.random.default_rng(seed), woman, laterality, view, grid)


def gland_volume_share(breast):
    return float(breast.gland.sum() / breast.thickness.sum())


# maps


@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("seed", range(6))
def test_maps_are_physical(seed, view):
    breast = view_of(some_woman(seed), view=view, seed=seed)
    for name in (*MAPS[:-2], "skin_distance"):
        assert getattr(breast, name).min() >= 0, name
        assert getattr(breast, name).dtype == np.float32, name
    tissue = sum(getattr(breast, name) for name in TISSUES)
    assert (tissue - breast.thickness).max() < 1e-4
    np.testing.assert_allclose(tissue + breast.adipose, breast.thickness, atol=1e-4)
    for name in MAPS[1:]:
        assert not getattr(breast, name)[~breast.mask].any(), name
    assert 0.1 < breast.mask.mean() < 0.6
    assert not breast.mask[:, -8:].any()  # air in front of the nipple
    assert breast.thickness.max() < 1.3 * breast.compressed
    assert breast.thickness[breast.skin_distance > 35].min() > 0.85 * breast.compressed
    assert 0 <= breast.gland_share.min() < breast.gland_share.max() <= 1


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_no_more_tissue_than_there_is_room_for(view):
    """Dense tissue, many vessels and two large dense lesions in one place."""
    woman = some_woman(0, density="D", vessels=60)
    lesion = replace(woman.lesions[0], type="round_mass", diameter=70.0, density=1.0, calcifications=60)
    breast = view_of(replace(woman, lesions=(lesion, lesion)), view=view)
    assert (sum(getattr(breast, name) for name in TISSUES) - breast.thickness).max() < 1e-4


def test_skin_lies_around_fat_and_gland_within():
    """1.5 mm below and 1.5 mm above (skin is 1.3-2 mm), all of it at the edge; a layer of fat under it."""
    breast = view_of(some_woman(1, fat=8.0))
    deep, rim = breast.skin_distance > 35, breast.mask & (breast.skin_distance < 1.0)
    assert 1.0 < np.median(breast.skin[deep]) < 4.5
    assert (breast.skin / np.maximum(breast.thickness, 1e-3))[rim].mean() > 0.8
    under = (breast.skin_distance > 2.5) & (breast.skin_distance < 4.5)
    assert breast.gland_share[under].mean() < 0.6 * breast.gland_share[deep & (breast.muscle == 0)].mean()


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_chest_wall_is_left_for_l_and_right_for_r_its_mirror_image(view):
    woman = replace(some_woman(1), lesions=(), lobes=())
    left, right = view_of(woman, "L", view), view_of(woman, "R", view)
    assert left.mask[:, 0].sum() > 0.5 * GRID.rows > left.mask[:, -1].sum() == 0
    for name in MAPS:
        np.testing.assert_array_equal(getattr(right, name), getattr(left, name)[:, ::-1])


@pytest.mark.parametrize("seed", range(4))
def test_mlo_has_muscle_and_reaches_the_upper_edge_and_cc_does_not(seed):
    woman = some_woman(seed)
    mlo, cc = view_of(woman, view="MLO", seed=seed), view_of(woman, view="CC", seed=seed)
    assert mlo.mask[0].any()
    assert not cc.mask[[0, -1]].any()
    rows = (mlo.muscle > 0).sum(axis=1)  # a wedge: wide above, none below
    assert rows[2:10].min() > 5
    assert rows[:20].mean() > 1.2 * rows[40:60].mean()
    assert not rows[int(0.8 * GRID.rows) :].any()
    assert (cc.muscle > 0).mean() < 0.2 * (mlo.muscle > 0).mean()


def test_same_randomness_same_breast():
    one, two = (view_of(some_woman(3), view="MLO", seed=5) for _ in range(2))
    for name in MAPS:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (view_of(some_woman(3), view="MLO", seed=6).gland != one.gland).any()


# what a woman is like


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_denser_classes_have_more_gland(view):
    means = []
    for density in "ABCD":
        women = [replace(some_woman(seed), density=density, lesions=()) for seed in range(5)]
        shares = [gland_volume_share(view_of(woman, view=view, seed=i, grid=COARSE)) for i, woman in enumerate(women)]
        means.append(np.mean(shares))
    assert means == sorted(means)
    assert means[3] > 2 * means[0]


@pytest.fixture(scope="module")
def shares():
    """Glandular volume share of the four views of 15 women, of one density class."""
    women = [replace(draw_woman(np.random.default_rng(seed)), density="C") for seed in range(15)]
    return np.array(
        [
            [gland_volume_share(view_of(woman, *view, seed=10 * seed + i, grid=COARSE)) for i, view in enumerate(VIEWS)]
            for seed, woman in enumerate(women)
        ]
    )


@pytest.mark.parametrize(("one", "other"), [(0, 2), (1, 3), (0, 1), (2, 3)], ids=["L-R CC", "L-R MLO", "L", "R"])
def test_views_of_one_woman_are_more_alike_than_those_of_two(shares, one, other):
    a, b = (shares[:, column] - shares[:, column].mean() for column in (one, other))
    assert np.corrcoef(a, b)[0, 1] > 0.4
    two_women = np.abs(a[:, None] - b)[~np.eye(15, dtype=bool)].mean()
    assert np.abs(a - b).mean() < 0.7 * two_women


def test_vessels_carry_the_womans_blood():
    """mg/ml times mm of vessel, over 10, beyond what the tissue takes up."""
    woman = replace(some_woman(2), lesions=(), vessels=4)
    none, one, two = (view_of(replace(woman, blood=blood)) for blood in (0.0, 1.0, 2.0))
    vessels = 10 * (one.iodine - none.iodine)
    np.testing.assert_allclose(10 * (two.iodine - one.iodine), vessels, atol=1e-4)
    np.testing.assert_array_equal(one.gland, none.gland)
    assert 0.005 < (vessels > 0.1).sum() / one.mask.sum() < 0.3
    assert 0.5 < vessels.max() < 3.5  # mm
    without = replace(woman, vessels=0)
    np.testing.assert_array_equal(
        view_of(replace(without, blood=2.0)).iodine, view_of(replace(without, blood=0.0)).iodine
    )


def test_background_enhancement_follows_the_woman_and_is_no_function_of_gland():
    woman = replace(some_woman(4), lesions=(), vessels=0)
    none, weak, strong = (view_of(replace(woman, enhancement=e)) for e in (0.0, 0.1, 0.2))
    np.testing.assert_allclose(strong.iodine - weak.iodine, weak.iodine - none.iodine, atol=1e-5)
    deep = weak.skin_distance > 15
    taken = (weak.iodine - none.iodine)[deep]
    assert taken.mean() == pytest.approx(0.01 * weak.gland[deep].mean(), rel=0.3)
    assert 0.2 < np.corrcoef(weak.gland[deep], taken)[0, 1] < 0.95


# lesions in place


@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("kind", LESION_TYPES)
def test_lesions_of_all_types_lie_inside_the_breast(kind, view):
    for seed in range(3):
        woman = some_woman(seed)
        woman = replace(woman, lesions=(replace(woman.lesions[0], type=kind, calcifications=8),))
        breast, without = (
            view_of(woman, view=view, seed=seed),
            view_of(replace(woman, lesions=()), view=view, seed=seed),
        )
        assert breast.lesion.any()
        assert breast.mask[breast.lesion].all()
        assert (breast.gland - without.gland)[breast.lesion].mean() > 0
        assert (breast.iodine - without.iodine)[breast.lesion].mean() > 0
        assert breast.iodine.min() >= 0


@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("seed", range(4))
def test_the_rest_of_a_breast_is_equal_with_and_without_a_lesion(seed, view):
    """Lesions are drawn last; spicules reach 2.4 radii."""
    woman = some_woman(seed)
    one, none = view_of(woman, view=view), view_of(replace(woman, lesions=()), view=view)
    assert not none.lesion.any()
    for name in ("thickness", "skin", "muscle", "skin_distance"):
        np.testing.assert_array_equal(getattr(one, name), getattr(none, name))
    y, x = GRID.coordinates()
    rows, columns = np.nonzero(one.lesion)
    center = (rows.mean() + 0.5) * GRID.spacing, (columns.mean() + 0.5) * GRID.spacing
    far = np.hypot(y - center[0], x - center[1]) > 1.6 * woman.lesions[0].diameter + 5
    assert far[one.mask].any()
    for name in ("gland", "calcium", "iodine"):
        np.testing.assert_allclose(getattr(one, name)[far], getattr(none, name)[far], atol=1e-5)


def test_lesion_is_in_one_breast_alone():
    assert not view_of(some_woman(3), "R").lesion.any()
    assert not view_of(some_woman(3), "R", "MLO").lesion.any()


@pytest.mark.parametrize("seed", range(6))
def test_both_views_show_a_lesion_at_the_same_depth_and_at_its_height(seed):
    """Depth behind the nipple, which differs by 3 % from view to view; height from the nipple's row, within 6 mm."""
    woman = draw_woman(np.random.default_rng(seed))
    place = Place(behind=0.5 * woman.depth, lateral=0.3, upper=0.2)
    woman = replace(woman, lesions=(Lesion("round_mass", False, "L", place, 12.0, 0.8, 0.5),))
    for i, (view, nipple) in enumerate((("CC", 0.5), ("MLO", 0.6))):
        rows, columns = np.nonzero(view_of(woman, view=view, seed=2 * seed + i).lesion)
        depth = woman.depth - (columns.mean() + 0.5) * GRID.spacing
        assert depth == pytest.approx(place.behind, abs=0.03 * woman.depth + 1.5)
        above = nipple * GRID.height - (rows.mean() + 0.5) * GRID.spacing
        assert above == pytest.approx(place.above(view) * woman.half_height, abs=8)
        area = len(rows) * GRID.spacing**2
        assert area == pytest.approx(np.pi * 36, rel=0.35)


def test_what_would_lie_outside_is_moved_inside():
    """A place above the breast and one before the nipple."""
    woman = draw_woman(np.random.default_rng(0))
    for place in (Place(0.5 * woman.depth, 1.3, 1.3), Place(-5.0, 0.0, 0.0), Place(2.0 * woman.depth, 0.0, 0.0)):
        lesion = Lesion("round_mass", True, "L", place, 12.0, 0.8, 0.5)
        for view in ("CC", "MLO"):
            breast = view_of(replace(woman, lesions=(lesion,)), view=view)
            assert breast.lesion.sum() * GRID.spacing**2 > 0.4 * np.pi * 36


def test_calcifications_are_seen_in_their_lesion():
    lesion = replace(some_woman(0).lesions[0], type="lobulated_mass", diameter=30.0, density=0.5)
    woman = replace(some_woman(0), lesions=(replace(lesion, calcifications=25),))
    one, none = view_of(woman), view_of(replace(woman, lesions=(replace(lesion, calcifications=0),)))
    more = one.calcium - none.calcium
    assert more.min() >= -1e-6
    assert more[one.lesion].sum() > 0.8 * more.sum() > 0


@pytest.mark.parametrize(("laterality", "view"), [("B", "CC"), ("L", "LM"), ("l", "CC")])
def test_other_sides_and_views_are_refused(laterality, view):
    message = f"laterality '{laterality}' and view '{view}': expected 'L' or 'R' and 'CC' or 'MLO'"
    with pytest.raises(ValueError, match=message):
        view_of(some_woman(0), laterality, view)


def test_gland_share_is_of_the_tissue_on_the_ray():
    breast = view_of(some_woman(0))
    inside = breast.mask
    np.testing.assert_allclose(breast.gland_share[inside], breast.gland[inside] / breast.thickness[inside])
    assert not breast.gland_share[~inside].any()
