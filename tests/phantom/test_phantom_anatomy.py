"""Breasts without X-rays: where tissue, iodine and lesions lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bundle.phantom.anatomy import build_breast, draw_lesion, draw_woman, edge_profile
from bundle.phantom.exam import exam_grid

GRID = exam_grid(192)
MAPS = ("thickness", "gland", "iodine", "lesion", "skin_distance")


def some_woman(seed, malignant=True, enhancing=True, **changes):
    rng = np.random.default_rng(seed)
    woman = draw_woman(rng)
    return replace(woman, lesions=(replace(draw_lesion(rng, woman, malignant, enhancing), laterality="L"),), **changes)


def view_of(woman, laterality="L", view="CC", seed=0):
    return build_breast(np.random.default_rng(seed), woman, laterality, view, GRID)


def test_edge_profile_is_a_quarter_ellipse_then_flat():
    profile = edge_profile(np.array([-1.0, 0.0, 5.0, 25.0, 80.0]), thickness=50.0, radius=25.0)
    assert profile == pytest.approx([0.0, 0.0, 30.0, 50.0, 50.0])  # 50 sqrt(1 - 0.8^2)


@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("seed", range(4))
def test_maps_are_physical(seed, view):
    breast = view_of(some_woman(seed), view=view, seed=seed)
    assert (breast.gland >= 0).all()
    assert (breast.gland <= breast.thickness + 1e-3).all()
    assert (breast.iodine >= 0).all()
    for name in MAPS[1:]:
        assert not getattr(breast, name)[~breast.mask].any(), name
    assert 0.1 < breast.mask.mean() < 0.6
    assert breast.mask[:, -10:].sum() == 0  # air in front of the nipple
    assert breast.thickness.max() < 1.3 * breast.compressed


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_chest_wall_is_left_for_l_and_right_for_r_its_mirror_image(view):
    woman = replace(some_woman(1), lesions=())
    left, right = view_of(woman, "L", view), view_of(woman, "R", view)
    assert left.mask[:, 0].sum() > 0.5 * GRID.rows > left.mask[:, -1].sum() == 0
    for name in MAPS:
        np.testing.assert_array_equal(getattr(right, name), getattr(left, name)[:, ::-1])


def test_mlo_reaches_the_upper_edge_and_cc_does_not():
    woman = some_woman(2)
    assert view_of(woman, view="MLO").mask[0].any()
    assert not view_of(woman, view="CC").mask[[0, -1]].any()


@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("seed", range(6))
def test_lesion_changes_tissue_and_iodine_in_its_map_alone(seed, view):
    woman = some_woman(seed)
    with_lesion, without = view_of(woman, view=view), view_of(replace(woman, lesions=()), view=view)
    lesion = with_lesion.lesion
    assert lesion.any()
    assert not without.lesion.any()
    np.testing.assert_array_equal(with_lesion.thickness, without.thickness)
    np.testing.assert_array_equal(with_lesion.iodine > without.iodine, lesion)
    denser = with_lesion.gland - without.gland
    assert (denser[~lesion] == 0).all()
    assert (denser[lesion] > 0.01).mean() > 0.9


def test_lesion_is_in_one_breast_alone():
    assert not view_of(some_woman(3), "R").lesion.any()


@pytest.mark.parametrize("seed", range(6))
def test_both_views_show_a_lesion_at_the_same_depth_and_of_its_size(seed):
    woman = some_woman(seed, malignant=False)
    lesion = woman.lesions[0]
    for view in ("CC", "MLO"):
        rows, columns = np.nonzero(view_of(woman, view=view).lesion)
        depth = woman.depth - (columns.mean() + 0.5) * GRID.spacing
        assert depth == pytest.approx(lesion.nipple_distance, abs=0.15 * lesion.diameter)
        assert len(rows) * GRID.spacing**2 == pytest.approx(np.pi / 4 * lesion.diameter**2, rel=0.35)


def test_denser_classes_have_more_gland():
    means = []
    for density in "ABCD":
        breasts = [view_of(replace(some_woman(seed), density=density), seed=seed) for seed in range(3)]
        means.append(np.mean([breast.gland.sum() / breast.thickness.sum() for breast in breasts]))
    assert means == sorted(means)
    assert means[3] > 2 * means[0]


def test_background_enhancement_is_no_function_of_gland():
    breast = view_of(replace(some_woman(4), lesions=()))
    inside = breast.skin_distance > 15
    correlation = np.corrcoef(breast.gland[inside], breast.iodine[inside])[0, 1]
    assert 0.2 < correlation < 0.95


def test_density_of_a_lesion_does_not_tell_its_iodine():
    rng = np.random.default_rng(0)
    woman = draw_woman(rng)
    lesions = [draw_lesion(rng, woman, malignant=True, enhancing=True) for _ in range(1000)]
    assert abs(np.corrcoef([x.density for x in lesions], [x.concentration for x in lesions])[0, 1]) < 0.1


@pytest.mark.parametrize("malignant", [True, False])
@pytest.mark.parametrize("enhancing", [True, False])
def test_lesions_are_what_was_asked_for(malignant, enhancing):
    rng = np.random.default_rng(0)
    for _ in range(50):
        lesion = draw_lesion(rng, draw_woman(rng), malignant, enhancing)
        assert (lesion.malignant, lesion.enhancing) == (malignant, enhancing)
        assert set(lesion.truth()) == {"type", "malignant", "enhancing", "diameter_mm"}
        assert lesion.type in (("irregular_mass",) if malignant else ("fibroadenoma", "cyst"))


@pytest.mark.parametrize(("laterality", "view"), [("B", "CC"), ("L", "LM")])
def test_other_sides_and_views_are_refused(laterality, view):
    with pytest.raises(ValueError, match="expected 'L' or 'R' and 'CC' or 'MLO'"):
        view_of(some_woman(0), laterality, view)
