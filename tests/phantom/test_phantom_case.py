"""Cases: who has what, and the same arguments give the same bytes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest

from bundle.phantom.anatomy import Grid, draw_lesion, draw_woman
from bundle.phantom.case import LESIONS, VIEWS, draw_patient, exam_grid, render_case

GRID = exam_grid(64)


def render(seed=0, patient=1, view=("L", "CC"), grid=GRID):
    return render_case(seed, patient, draw_patient(seed, patient), *view, grid)


def bytes_of(case):
    maps = [np.asarray(getattr(case.breast, f.name)) for f in fields(case.breast)]
    return [array.tobytes() for array in (case.le, case.des, case.he, *maps)]


# women


def test_the_same_numbers_give_the_same_woman():
    assert draw_patient(3, 5) == draw_patient(3, 5)
    assert len({repr(draw_patient(seed, patient)) for seed in (3, 4) for patient in (5, 6)}) == 4
    assert draw_patient(3, 5, "malignant") != draw_patient(3, 5)


def test_every_second_woman_has_a_lesion_of_the_kinds_in_turn():
    for patient in range(24):
        lesions = draw_patient(0, patient).lesions
        if patient % 2 == 0:
            assert lesions == ()
            continue
        assert (lesions[0].malignant, lesions[0].enhancing) == LESIONS[patient // 2 % len(LESIONS)]
        assert len({lesion.laterality for lesion in lesions}) == 1  # satellites lie in the same breast
        assert all(lesion.malignant for lesion in lesions[1:])


def test_of_women_with_cancer_a_quarter_take_up_next_to_nothing():
    first = [draw_patient(0, patient, "malignant").lesions[0] for patient in range(400)]
    assert all(lesion.malignant for lesion in first)
    weak = np.mean([not lesion.enhancing for lesion in first])
    assert weak == pytest.approx(0.25, abs=0.065)  # 3 standard errors
    assert 0.1 < np.mean([len(draw_patient(0, p, "malignant").lesions) > 1 for p in range(200)]) < 0.3


def test_lesions_change_nothing_else_about_a_woman():
    cancer, usual = draw_patient(2, 7, "malignant"), draw_patient(2, 7)
    assert replace(cancer, lesions=()) == replace(usual, lesions=())


def test_another_finding_is_refused():
    with pytest.raises(ValueError, match="finding is 'cyst', expected 'malignant' or None"):
        draw_patient(0, 1, "cyst")


# cases


@pytest.mark.parametrize("grid", [GRID, exam_grid(192), Grid(400, 300, 0.15)], ids=["shrunk", "256", "enlarged"])
def test_the_same_arguments_give_the_same_bytes(grid):
    assert bytes_of(render(grid=grid)) == bytes_of(render(grid=grid))


def test_another_seed_patient_or_view_gives_another_image():
    base = render()
    woman = base.woman
    others = [
        render_case(1, 1, woman, "L", "CC", GRID),
        render_case(0, 2, woman, "L", "CC", GRID),
        render_case(0, 1, woman, "L", "MLO", GRID),
    ]
    for other in others:
        assert (other.le != base.le).any()
        assert (other.des != base.des).any()
    plain = replace(woman, lobes=(), lesions=())
    left, right = (render_case(0, 1, plain, laterality, "CC", GRID) for laterality in "LR")
    assert (right.breast.gland[:, ::-1] != left.breast.gland).any()  # drawn anew, not only turned round


def test_images_do_not_depend_on_threads():
    jobs = [(0, patient, view) for patient in (1, 2) for view in VIEWS]
    alone = [bytes_of(render(*job)) for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda job: bytes_of(render(*job)), jobs))
    assert together == alone


def test_no_global_randomness_is_used():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    render()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("size", [64, 96, 130])
@pytest.mark.parametrize("view", VIEWS, ids=["".join(view) for view in VIEWS])
def test_a_case_has_12_bit_images_with_air_at_0_and_its_truth_in_the_same_pixels(view, size):
    grid = exam_grid(size)
    case = render(view=view, grid=grid)
    for image in (case.le, case.des, case.he):
        assert image.dtype == np.uint16
        assert image.shape == grid.shape
        np.testing.assert_array_equal(image > 0, case.breast.mask)
        assert image.max() < 4096
        assert len(np.unique(image)) > 50
    assert case.breast.iodine.shape == grid.shape
    assert case.breast.spacing == pytest.approx(grid.spacing)
    chest, front = (0, -1) if case.laterality == "L" else (-1, 0)
    assert case.breast.mask[:, chest].sum() > 0.4 * size
    assert not case.breast.mask[:, front].any()


def test_a_fine_grid_is_drawn_on_its_own_pixels():
    grid = Grid(301, 251, 0.19)
    case = render(grid=grid)
    assert case.le.shape == (301, 251)
    assert case.breast.spacing == pytest.approx(0.19)


def test_names_and_diagnosis():
    woman = draw_woman(np.random.default_rng(0))
    cyst, cancer = (draw_lesion(np.random.default_rng(0), woman, malignant, False, "L") for malignant in (False, True))
    known = {
        (): (None, None),
        (cyst,): (False, None),
        (cyst, cancer): (True, None),
        (replace(cyst, laterality="R"), cancer): (True, False),
    }
    for lesions, expected in known.items():
        left, right = (render_case(0, 12, replace(woman, lesions=lesions), side, "MLO", GRID) for side in "LR")
        assert (left.malignant, right.malignant) == expected
        assert (left.case_id, right.case_id) == ("PH0012_L_MLO", "PH0012_R_MLO")
        assert len(left.lesions) + len(right.lesions) == len(lesions)


@pytest.mark.parametrize(("laterality", "view"), [("B", "CC"), ("L", "LM")])
def test_other_sides_and_views_are_refused(laterality, view):
    with pytest.raises(ValueError, match="expected 'L' or 'R' and 'CC' or 'MLO'"):
        render_case(0, 1, draw_patient(0, 1), laterality, view, GRID)
