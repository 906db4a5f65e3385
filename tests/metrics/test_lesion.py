"""Lesion contrast, enhancement missed and enhancement invented, by hand and by what must not change them."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from bundle.metrics import (
    enhancement_missed,
    invented_area,
    invented_count,
    lesion_area,
    lesion_cnr,
    lesion_contrast,
    regions,
)

SIZE = 64  # a quarter of 256: the margin is 0.75 px and the smallest blob 28.3 / 16 = 1.8 px
INVENTED = (invented_count, invented_area)


def four_pixels() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Lesion 0.7 and 0.9, ring 0.2 and 0.4, background with two pixels of 0.5 and 0.1 more; mean 0.8 against 0.3."""
    des = torch.tensor([0.7, 0.9, 0.2, 0.4, 0.5, 0.1], dtype=torch.float64).view(1, 1, 1, 6)

    def mask(*places):
        found = torch.zeros((1, 1, 1, 6), dtype=torch.bool)
        found[..., list(places)] = True
        return found

    areas = {"lesion": mask(0, 1), "ring": mask(2, 3), "background": mask(2, 3, 4, 5), "breast": mask(*range(6))}
    return des, areas


def study(blob: float = 0.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Virtual DES, real DES, regions: texture of 0.4 +- 0.02 in a breast of 40 columns, a lesion of 0.7 in rows 10-17;
    the virtual DES is the real one and a square of 6 x 6 pixels at (40, 20) that is brighter by ``blob``.
    """
    le = torch.full((1, 1, SIZE, SIZE), 0.05)
    le[..., :40] = 0.7
    seg = torch.zeros_like(le)
    seg[..., 10:18, 10:18] = 1
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(le.shape)).float()
    real = torch.where(le > 0.5, 0.4 + 0.02 * noise, 0.0).clamp(0, 1)
    real = torch.where(seg > 0, real + 0.3, real)
    virtual = real.clone()
    virtual[..., 40:46, 20:26] += blob
    return virtual, real, regions(le, seg)


def test_contrast_and_cnr_by_hand():
    des, areas = four_pixels()
    assert lesion_contrast(des, areas).item() == pytest.approx(0.8 - 0.3)
    assert lesion_cnr(des, areas).item() == pytest.approx(0.5 / 0.1)  # the ring's SD, ddof 0
    areas["ring"] &= False
    assert lesion_contrast(des, areas).item() == pytest.approx(0.8 - 0.3)  # the background's mean
    assert lesion_cnr(des, areas).item() == pytest.approx(0.5 / math.sqrt(0.1 / 4))


def test_the_area_counts_pixels_and_is_not_known_without_a_lesion():
    _, areas = four_pixels()
    assert lesion_area(areas).tolist() == [2]
    areas["lesion"] &= False
    assert math.isnan(lesion_area(areas).item())


def test_without_a_lesion_or_a_surround_there_is_no_contrast():
    des, areas = four_pixels()
    for empty in (["lesion"], ["ring", "background"]):
        some = {name: area & (name not in empty) for name, area in areas.items()}
        assert math.isnan(lesion_contrast(des, some).item())
        assert math.isnan(lesion_cnr(des, some).item())
        assert math.isnan(enhancement_missed(des, des, some).item())


def test_a_constant_surround_has_no_noise():
    des, areas = four_pixels()
    flat = des.clone()
    flat[areas["ring"]] = 0.3
    assert lesion_cnr(flat, areas).item() == math.inf
    assert lesion_cnr(1 - flat, areas).item() == -math.inf
    assert enhancement_missed(des, flat, areas).item() == 0
    _, real, areas = study()
    rounding = 1e-8 * torch.from_numpy(np.random.default_rng(0).random(real.shape))
    for level in (0.1, 0.7):  # a constant up to rounding
        flat = level + rounding
        assert math.isnan(lesion_cnr(flat, areas).item())
        assert lesion_cnr(torch.where(areas["lesion"], flat + 0.2, flat), areas).item() == math.inf


def test_a_constant_image_has_no_contrast_and_no_cnr():
    des, areas = four_pixels()
    for level in (0.0, 0.3, 1 / 3):
        constant = torch.full_like(des, level)
        assert lesion_contrast(constant, areas).item() == pytest.approx(0, abs=1e-15)
        assert math.isnan(lesion_cnr(constant, areas).item())
        assert math.isnan(enhancement_missed(des, constant, areas).item())  # the real lesion does not enhance
        assert enhancement_missed(constant, des, areas).item() == 1


@pytest.mark.parametrize(("share", "missed"), [(0.0, 1), (0.49, 1), (0.51, 0), (1.0, 0)])
def test_enhancement_is_missed_below_half_of_the_contrast(share, missed):
    des, areas = four_pixels()
    virtual = torch.where(areas["lesion"], 0.3 + share * 0.5, des)
    assert enhancement_missed(virtual, des, areas).item() == missed
    assert enhancement_missed(virtual, des, areas, least_share=share + 0.005).item() == 1


def test_a_lesion_that_does_not_enhance_cannot_be_missed():
    des, areas = four_pixels()
    assert enhancement_missed(0 * des, des, areas, enhancing_cnr=4.99).item() == 1
    assert math.isnan(enhancement_missed(0 * des, des, areas, enhancing_cnr=5.01).item())
    assert math.isnan(enhancement_missed(des, 1 - des, areas).item())  # darker than around it


def test_a_level_shift_is_neither_missed_nor_invented():
    _, real, areas = study()
    shifted = 0.3 + 0.6 * real
    assert lesion_contrast(shifted, areas).item() == pytest.approx(0.6 * lesion_contrast(real, areas).item(), abs=1e-6)
    assert lesion_cnr(shifted, areas).item() == pytest.approx(lesion_cnr(real, areas).item(), rel=1e-5)
    assert enhancement_missed(shifted, real, areas).item() == 0
    assert invented_count(shifted, real, areas).item() == 0


def test_a_blob_is_counted_with_its_area():
    virtual, real, areas = study(blob=0.3)
    assert invented_count(virtual, real, areas).item() == 1
    assert invented_area(virtual, real, areas).item() == pytest.approx(36 / (SIZE * 40))
    virtual[..., 50:52, 30:32] += 0.3
    virtual[..., 60, 30] += 0.3  # one pixel is smaller than the smallest blob
    assert invented_count(virtual, real, areas).item() == 2
    assert invented_area(virtual, real, areas).item() == pytest.approx(40 / (SIZE * 40))
    assert invented_count(virtual, real, areas, smallest=5 * 16).item() == 1


def test_pixels_that_touch_at_a_corner_are_one_blob():
    virtual, real, areas = study()
    virtual[..., 40:43, 20:23] += 0.3
    virtual[..., 43:46, 23:26] += 0.3
    assert invented_count(virtual, real, areas).item() == 1


def test_a_blob_stands_out_by_so_many_standard_deviations():
    virtual, real, areas = study()
    background = real[areas["background"]].double()
    step = background.std(correction=0).item()
    level = background.median().item()
    for num_sd, count in ((2.9, 0), (3.1, 1)):
        virtual[..., 40:46, 20:26] = level + num_sd * step
        # a single pixel of the texture may exceed 3 SD as well: it is no blob
        assert invented_count(virtual, real, areas).item() == count
    assert invented_count(virtual, real, areas, num_sd=3.5).item() == 0


def test_what_is_bright_in_the_real_image_or_in_a_lesion_is_not_invented():
    virtual, real, areas = study(blob=0.3)
    assert invented_count(real, virtual, areas).item() == 0
    assert invented_count(virtual, virtual, areas).item() == 0
    brighter = torch.where(areas["lesion"], real + 0.2, real)
    assert invented_count(brighter, real, areas).item() == 0
    shadowed = torch.where(areas["lesion"], real - 0.3, real)  # the map alone says that a lesion is there
    assert invented_count(brighter, shadowed, areas).item() == 0
    in_the_air = brighter.clone()
    in_the_air[..., 20:40, 50:60] = 1
    assert invented_count(in_the_air, real, areas).item() == 0
    # without its map the same lesion is still bright in the real image
    unmapped = {**areas, "lesion": areas["lesion"] & False, "background": areas["breast"]}
    assert invented_count(brighter, real, unmapped).item() == 0
    assert invented_count(brighter, shadowed, unmapped).item() == 1


def test_a_blob_may_be_misplaced_by_the_margin():
    virtual, real, areas = study(blob=0.3)
    moved = real.clone()
    moved[..., 40:46, 21:26] += 0.3  # at 64 px the margin is less than a pixel
    assert invented_count(virtual, moved, areas).item() == 1

    def large(image):
        return image.repeat_interleave(4, 2).repeat_interleave(4, 3)

    at_256 = {name: large(area) for name, area in areas.items()}
    near, far = large(real), large(real)
    near[..., 160:184, 83:104] += 0.3
    far[..., 160:184, 85:104] += 0.3
    assert invented_count(large(virtual), near, at_256).item() == 0  # 3 px to the left
    assert invented_count(large(virtual), far, at_256).item() == 1  # 5 px, a strip of 2 x 24


@pytest.mark.parametrize("quantity", INVENTED)
def test_without_a_breast_nothing_is_known_to_be_invented(quantity):
    virtual, real, areas = study(blob=0.3)
    assert math.isnan(quantity(virtual, real, {name: area & False for name, area in areas.items()}).item())


@pytest.mark.parametrize("quantity", INVENTED)
def test_constant_images_invent_nothing(quantity):
    _, real, areas = study()
    for level in (0.0, 0.3, 1.0):
        constant = torch.full_like(real, level)
        assert quantity(constant, real, areas).item() == 0
        assert quantity(constant, constant, areas).item() == 0


@pytest.mark.parametrize("quantity", INVENTED)
def test_a_constant_real_image_has_no_texture_to_tell_what_stands_out(quantity):
    virtual, real, areas = study(blob=0.3)
    flat = torch.where(areas["lesion"], real, 0.4)  # the background alone counts
    assert math.isnan(quantity(virtual, flat, areas).item())
    assert quantity(flat, flat, areas).item() == 0
    rounding = flat + 1e-7 * (real - flat)
    assert quantity(rounding, flat, areas).item() == quantity(flat, rounding, areas).item() == 0


def test_at_256_the_smallest_blob_has_29_pixels():
    le = torch.full((1, 1, 256, 256), 0.05)
    le[..., :200] = 0.7
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(le.shape)).float()
    real = torch.where(le > 0.5, 0.4 + 0.02 * noise, 0.0).clamp(0, 1)
    virtual, areas = real.clone(), regions(le, torch.zeros_like(le))
    really_bright = real > 0.4 + 0.02 * 2.9
    row, column = next(
        (row, column)
        for row in range(8, 240)
        for column in range(8, 180)
        if not really_bright[..., row - 4 : row + 8, column - 4 : column + 11].any()
    )
    virtual[..., row : row + 4, column : column + 7] = 0.8  # 28 pixels
    assert invented_count(virtual, real, areas).item() == 0
    virtual[..., row + 4, column] = 0.8
    assert invented_count(virtual, real, areas).item() == 1


def both(virtual: torch.Tensor, real: torch.Tensor, areas: dict, quantity=lesion_contrast) -> torch.Tensor:
    return quantity(virtual, areas)


QUANTITIES = {
    "contrast": both,
    "cnr": partial(both, quantity=lesion_cnr),
    "missed": enhancement_missed,
    "count": invented_count,
    "area": invented_area,
}


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
def test_one_value_an_image_whatever_the_others_are(quantity):
    parts = [study(blob, seed) for seed, blob in enumerate((0.0, 0.3, 0.5))]
    without = {name: area & (name not in ("lesion", "ring")) for name, area in parts[2][2].items()}
    parts.append((0 * parts[2][0], parts[2][1], without))
    virtual, real = (torch.cat([part[place] for part in parts]) for place in (0, 1))
    areas = {name: torch.cat([part[2][name] for part in parts]) for name in parts[0][2]}
    whole = quantity(virtual, real, areas)
    assert whole.shape == (4,)
    assert whole.dtype == torch.float32
    torch.testing.assert_close(whole, torch.cat([quantity(*part) for part in parts]), rtol=0, atol=0, equal_nan=True)


def test_values_do_not_depend_on_the_unit():
    virtual, real, areas = study(blob=0.3)
    contrast, cnr = (quantity(255 * real, areas, 255).item() for quantity in (lesion_contrast, lesion_cnr))
    assert contrast == pytest.approx(255 * lesion_contrast(real, areas).item(), rel=1e-5)
    assert cnr == pytest.approx(lesion_cnr(real, areas).item(), rel=1e-5)
    for quantity in (enhancement_missed, *INVENTED):
        expected = quantity(virtual, real, areas).item()
        assert quantity(255 * virtual, 255 * real, areas, 255).item() == pytest.approx(expected)


@pytest.mark.parametrize("quantity", QUANTITIES.values(), ids=QUANTITIES)
def test_nan_and_values_outside_the_range_are_refused(quantity):
    virtual, real, areas = study()
    virtual[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match=r"(virtual|des) has values from nan to nan, expected \[0, 1\]"):
        quantity(virtual, real, areas)
    with pytest.raises(ValueError, match=r"(virtual|des) has values from .* to 9\d*.*, expected \[0, 1\]"):
        quantity(torch.where(virtual.isnan(), 99.0, virtual), real, areas)
    with pytest.raises(ValueError, match=r"must be of one shape \(B, 1, H, W\)"):
        quantity(real[0], real[0], areas)
