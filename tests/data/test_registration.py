"""A shift or a similarity that was put in comes out again, and the lesion map goes where its DES goes."""

import math

import numpy as np
import pytest
from scipy import ndimage

from bundle.data.registration import Similarity, breast_mask, overlap, register, warp


def breast(kind, shape=(240, 150), cut=0):
    """LE and DES of one made-up left breast: shared texture and outline, unlike grey values, ``cut`` columns lost."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    texture = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=shape), 4)
    texture = (texture - texture.min()) / np.ptp(texture)
    inside = ((rows - 118.0) / 95) ** 2 + ((columns + cut) / 105.0) ** 2 < 1
    grey = 60 + 120 * texture if kind == "le" else 70 + 30 * np.abs(texture - 0.5) - 20 * texture
    return np.where(inside, grey, 0).astype(np.uint8)


def test_warp_moves_a_pixel_to_where_the_formula_says():
    image = np.zeros((5, 5), np.uint8)
    image[1, 1] = 200
    assert np.argwhere(warp(image, Similarity((1, 2)), (5, 5))).tolist() == [[2, 3]]
    assert np.argwhere(warp(image, Similarity(scale=2.0), (5, 5)) == 200).tolist() == [[0, 0]]  # c = (2, 2)
    quarter = warp(image, Similarity(angle=90.0), (5, 5))  # up left goes down left, counter-clockwise
    assert np.argwhere(quarter == 200).tolist() == [[3, 1]]


def test_a_whole_shift_copies_values_and_keeps_the_depth():
    image = np.random.default_rng(0).integers(0, 65535, (6, 7)).astype(np.uint16)
    moved = warp(image, Similarity((-1.0, 2.0)), (6, 9))
    assert moved.dtype == np.uint16
    assert np.array_equal(moved[:5, 2:], image[1:])
    assert not moved[5].any()
    assert not moved[:, :2].any()


def test_a_map_stays_binary_and_turns_by_coverage():
    lesion = np.zeros((40, 40), bool)
    lesion[10:20, 10:20] = True
    moved = warp(lesion, Similarity((0.0, 0.25), 3.0, 1.2), (40, 40))
    assert moved.dtype == bool
    assert moved.sum() == pytest.approx(144, abs=10)


def test_overlap_is_dice_over_what_was_seen():
    first, second = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    first[0], second[0, 1:] = True, True
    assert overlap(first, second) == pytest.approx(6 / 7)
    assert overlap(first, second, seen=np.arange(4)[None] > 0) == 1.0
    assert math.isnan(overlap(~first & first, ~second & second))


def test_breast_mask_keeps_a_dim_rim_and_leaves_out_a_label():
    image = np.zeros((60, 60), np.uint8)
    image[5:55, :40] = 40
    image[15:45, :25] = 230  # Otsu on the grey values would take this alone
    image[2:6, 50:56] = 255
    truth = np.zeros((60, 60), bool)
    truth[5:55, :40] = True
    assert overlap(breast_mask(image), truth) > 0.95
    assert not breast_mask(image)[:, 48:].any()
    assert not breast_mask(np.zeros((9, 9), np.uint8)).any()


@pytest.mark.parametrize("shift", [(0, 0), (7, -4), (-13, 9), (20, 12)])
def test_a_known_shift_is_found(shift):
    le, des = breast("le"), breast("des")
    moved = ndimage.shift(des, (-shift[0], -shift[1]), order=0)
    found = register(le, moved, "translate")
    assert found.transform.shift == pytest.approx(shift, abs=0.5)
    assert found.transform.is_whole_shift
    assert found.overlap >= found.overlap_before
    assert found.overlap > 0.98


def test_a_shift_is_found_when_the_images_are_compared_at_a_smaller_size():
    le, des = (np.kron(breast(kind), np.ones((4, 4), np.uint8)) for kind in ("le", "des"))
    moved = ndimage.shift(des, (-22, 31), order=0)
    assert register(le, moved, "translate", working_size=320).transform.shift == pytest.approx((22, -31), abs=1.0)


def test_crops_of_unequal_size_are_brought_together():
    le, des = breast("le"), breast("des", cut=8)[9:, :130]
    found = register(le, des, "translate").transform
    assert found.shift == pytest.approx((9, 8), abs=0.5)
    aligned = warp(des, found, le.shape)
    assert np.abs(aligned[12:200, 20:120].astype(int) - breast("des")[12:200, 20:120]).mean() < 3


def test_a_known_similarity_is_found_and_the_map_follows():
    le, des = breast("le"), breast("des")
    truth = Similarity((6.0, -3.0), 2.0, 1.04)
    matrix, offset = truth.inverse((np.asarray(le.shape) - 1) / 2)
    forward = np.linalg.inv(matrix)

    def undo(image):
        return ndimage.affine_transform(image.astype(np.float32), forward, -forward @ offset, order=1)

    lesion = np.zeros(le.shape, bool)
    lesion[100:130, 40:60] = True
    found = register(le, np.rint(undo(des)).astype(np.uint8), "similarity").transform
    assert found.shift == pytest.approx(truth.shift, abs=0.5)
    assert found.angle == pytest.approx(truth.angle, abs=0.3)
    assert found.scale == pytest.approx(truth.scale, abs=0.005)
    drawn = undo(lesion) > 0.5
    assert overlap(warp(drawn, found, le.shape), lesion) > 0.95
    assert overlap(drawn, lesion) < 0.8


def test_a_transform_that_would_lower_the_overlap_is_not_used():
    le, des = breast("le"), breast("des")
    found = register(le, ndimage.shift(des, (5, 0), order=0), "translate", max_loss=-1.0)  # nothing gains that much
    assert found.kept_identity
    assert found.transform.is_identity
    assert found.overlap == found.overlap_before


def test_none_only_measures():
    found = register(breast("le"), np.roll(breast("des"), 6, axis=0), "none")
    assert found.transform.is_identity
    assert 0.9 < found.overlap < 0.99


def test_errors_name_what_came():
    with pytest.raises(ValueError, match=r"align is 'rigid', expected one of \('none', 'translate', 'similarity'\)"):
        register(breast("le"), breast("des"), "rigid")
    with pytest.raises(ValueError, match="no breast is found in DES: expected one brighter than a black background"):
        register(breast("le"), np.zeros((50, 50), np.uint8))
