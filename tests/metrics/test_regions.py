"""Breast, lesion, ring and background on images whose regions are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from bundle.metrics import breast_mask, regions


def drawn_breast(size: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """A bright half disc at the left edge with a dark cyst in it, and a small bright label in the air; its mask."""
    rows, columns = np.mgrid[:size, :size] * (256 / size)
    breast = (rows - 128) ** 2 + columns**2 < 100**2
    le = np.where(breast, 0.6, 0.02).astype(np.float32)
    le[(rows - 128) ** 2 + (columns - 50) ** 2 < 10**2] = 0.05
    le[(rows > 8) & (rows < 24) & (columns > 200) & (columns < 240)] = 1.0
    return le, breast


def batch(le: np.ndarray, seg: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(le)[None, None], torch.from_numpy(seg.astype(np.float32))[None, None]


def test_the_breast_is_the_largest_bright_component_without_holes():
    le, breast = drawn_breast()
    np.testing.assert_array_equal(breast_mask(le), breast)
    assert breast_mask(le).dtype == bool


def test_the_breast_does_not_depend_on_the_unit():
    le, breast = drawn_breast()
    np.testing.assert_array_equal(breast_mask((le * 4095).astype(np.uint16)), breast)


def test_a_constant_image_has_no_breast_and_a_nearly_constant_one_no_error():
    assert not breast_mask(np.full((8, 8), 0.3, dtype=np.float32)).any()
    nearly = np.ones((8, 8), dtype=np.float32)
    nearly[2:6, 2:6] = np.nextafter(np.float32(1), np.float32(2))
    np.testing.assert_array_equal(breast_mask(nearly), nearly > 1)


def test_regions_around_a_single_pixel_are_discs_of_3_and_15_pixels():
    le, breast = drawn_breast()
    seg = np.zeros_like(le)
    seg[128, 20] = 1
    found = {name: mask[0, 0].numpy() for name, mask in regions(*batch(le, seg)).items()}
    rows, columns = np.mgrid[:256, :256]
    squared = (rows - 128) ** 2 + (columns - 20) ** 2
    np.testing.assert_array_equal(found["breast"], breast)
    np.testing.assert_array_equal(found["lesion"], squared == 0)
    np.testing.assert_array_equal(found["background"], breast & (squared > 9))
    np.testing.assert_array_equal(found["ring"], breast & (squared > 9) & (squared <= 225))


def test_the_background_is_the_breast_without_the_dilated_lesion():
    le, breast = drawn_breast()
    seg = np.zeros_like(le)
    seg[90:110, 30:60] = 1
    rows, columns = np.mgrid[-3:4, -3:4]
    dilated = ndimage.binary_dilation(seg, structure=rows**2 + columns**2 <= 9)
    found = regions(*batch(le, seg))
    np.testing.assert_array_equal(found["background"][0, 0].numpy(), breast & ~dilated)
    assert not (found["ring"] & found["lesion"]).any()
    assert not (found["ring"] & ~found["breast"]).any()


def test_a_ring_stays_inside_the_breast():
    le, breast = drawn_breast()
    seg = np.zeros_like(le)
    seg[128, 98] = 1  # 2 px from the skin
    ring = regions(*batch(le, seg))["ring"][0, 0].numpy()
    assert ring.any()
    assert not (ring & ~breast).any()


@pytest.mark.parametrize("size", [128, 512])
def test_distances_scale_with_the_image(size):
    factor = size / 256
    le, _ = drawn_breast(size)
    seg = np.zeros_like(le)
    place = size // 2, int(40 * factor)
    seg[place] = 1
    found = regions(*batch(le, seg))
    rows, columns = np.mgrid[:size, :size]
    distance = np.hypot(rows - place[0], columns - place[1])
    ring = found["ring"][0, 0].numpy()
    assert distance[ring].min() == pytest.approx(3 * factor, abs=1)
    assert distance[ring].max() == pytest.approx(15 * factor, abs=1)
    np.testing.assert_array_equal(ring, breast_mask(le) & (distance > 3 * factor) & (distance <= 15 * factor))


def test_without_a_lesion_the_background_is_the_breast():
    le, breast = drawn_breast()
    with_lesion = np.zeros_like(le)
    with_lesion[100:110, 30:40] = 1
    images = torch.from_numpy(np.stack([le, le]))[:, None]
    maps = torch.from_numpy(np.stack([np.zeros_like(le), with_lesion]))[:, None]
    found = regions(images, maps)
    assert {name: tuple(mask.shape) for name, mask in found.items()} == dict.fromkeys(
        ("breast", "lesion", "ring", "background"), (2, 1, 256, 256)
    )
    assert all(mask.dtype == torch.bool for mask in found.values())
    assert found["lesion"].flatten(1).sum(1).tolist() == [0, 100]
    assert found["ring"].flatten(1).any(1).tolist() == [False, True]
    np.testing.assert_array_equal(found["background"][0, 0].numpy(), breast)


def test_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"le \(1, 1, 8, 8\) and seg \(1, 1, 8, 4\) must be of one shape"):
        regions(torch.zeros((1, 1, 8, 8)), torch.zeros((1, 1, 8, 4)))
