"""How closely a DES image follows LE inside a region: values by hand, and what has none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toys import make_batch, make_networks

from bundle.engines import CycleGanEvaluator
from bundle.metrics import CaseMetrics, regions
from bundle.metrics.copying import le_correlation


def images(*rows: list[float]) -> torch.Tensor:
    """Images of one row of pixels each, (B, 1, 1, W)."""
    return torch.tensor(rows)[:, None, None, :]


def drawn(seed: int, pairs: int = 2, size: int = 24) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    le, des = torch.rand((2, pairs, 1, size, size), generator=generator)
    return le, 0.5 * des + 0.3 * le, torch.rand(le.shape, generator=generator) > 0.6


def test_by_hand_the_pixels_outside_do_not_count():
    le = images([0.1, 0.2, 0.3, 0.9], [0.0, 0.5, 1.0, 0.2])
    des = images([0.2, 0.2, 0.5, 0.0], [0.9, 0.5, 0.1, 1.0])
    region = images([1, 1, 1, 0], [1, 1, 1, 0]).bool()
    # deviations: (-1, 0, 1) of LE; (-1, -1, 2) of the first DES: 3 / sqrt(2 * 6); the second falls as LE rises
    assert le_correlation(des, le, region).tolist() == pytest.approx([3 / math.sqrt(12), -1.0])


def test_as_numpy_and_alone_as_in_a_batch():
    le, des, region = drawn(0)
    found = le_correlation(des, le, region)
    for place in range(2):
        inside = region[place]
        assert float(found[place]) == pytest.approx(np.corrcoef(des[place][inside], le[place][inside])[0, 1], abs=1e-6)
        one = (image[place : place + 1] for image in (des, le, region))
        assert float(le_correlation(*one)) == float(found[place])


def test_a_copy_has_1_at_any_level_and_gain_and_a_negative_has_minus_1():
    le, _, region = drawn(1)
    for des, expected in ((le, 1.0), (0.3 + 0.2 * le, 1.0), (1 - le, -1.0)):
        assert le_correlation(des, le, region).tolist() == pytest.approx([expected] * 2, abs=1e-6)
    assert float(le_correlation(le, le, region).max()) <= 1


def test_it_is_the_same_both_ways_and_of_a_float_mask_and_another_range():
    le, des, region = drawn(2)
    found = le_correlation(des, le, region)
    assert torch.equal(le_correlation(le, des, region), found)
    assert torch.equal(le_correlation(des, le, region.float()), found)
    assert le_correlation(255 * des, 255 * le, region, 255.0).tolist() == pytest.approx(found.tolist(), abs=1e-6)


@pytest.mark.parametrize("constant", ["des", "le", "both"])
def test_a_constant_has_none(constant):
    le, des, region = drawn(3)
    le, des = (0 * le + 1 / 3 if constant != "des" else le), (0 * des + 0.7 if constant != "le" else des)
    assert le_correlation(des, le, region).isnan().all()


def test_what_rounding_leaves_of_a_constant_is_no_texture():
    le, _, region = drawn(3)
    rounded = 0.5 + 1e-8 * (le.double() - 0.5)
    assert le_correlation(rounded, le.double(), region).isnan().all()


def test_an_empty_region_and_a_single_pixel_have_none_beside_an_image_that_has():
    le, des, region = drawn(4, pairs=3)
    region[0], region[1] = False, False
    region[1, 0, 5, 5] = True
    assert le_correlation(des, le, region).isnan().tolist() == [True, True, False]


def test_of_the_regions_of_a_real_batch():
    le = torch.zeros(1, 1, 32, 32)
    le[..., 4:28, :20] = 0.6 + 0.01 * torch.arange(20.0)
    seg = torch.zeros_like(le)
    seg[..., 12:16, 6:10] = 1
    areas = regions(le, seg)
    des = torch.where(areas["lesion"], 1 - le, le)
    assert float(le_correlation(des, le, areas["lesion"])) == pytest.approx(-1, abs=1e-6)
    assert float(le_correlation(des, le, areas["background"])) == pytest.approx(1, abs=1e-6)


def test_other_shapes_and_values_are_refused():
    le, des, region = drawn(5)
    with pytest.raises(ValueError, match=r"des \(2, 1, 24, 24\) and le \(1, 1, 24, 24\) must be of one shape"):
        le_correlation(des, le[:1], region)
    with pytest.raises(ValueError, match=r"the region \(1, 1, 24, 24\) and the images \(2, 1, 24, 24\)"):
        le_correlation(des, le, region[:1])
    with pytest.raises(ValueError, match=r"des has values from .* expected \[0, 1\]"):
        le_correlation(des + 1, le, region)


def test_the_columns_of_an_evaluation_its_floors_and_its_means():
    batch = make_batch(1, pairs=2, size=48)
    batch["le"][..., :24] = 0.6 + 0.4 * batch["le"][..., :24]  # a breast; the second pair has no lesion
    metrics = CaseMetrics("mine", floors=True, floor_constant=0.25)
    evaluator = CycleGanEvaluator("cpu", [batch], make_networks()["gen_le_to_des"])
    metrics.attach(evaluator, "val")
    evaluator.run()
    areas = regions(batch["le"], batch["seg"])
    rows = {model: [row for row in metrics.rows if row["model"] == model] for model in ("mine", "floor_le")}
    constants = [row for row in metrics.rows if row["model"] == "floor_constant"]
    for region in ("lesion", "background"):
        real, virtual = (f"{region}_le_correlation_{which}" for which in ("real", "virtual"))
        expected = le_correlation(batch["des"], batch["le"], areas[region]).tolist()
        of_model = le_correlation(evaluator.state.output["virtual_des"], batch["le"], areas[region]).tolist()
        for place in range(2):
            nothing = region == "lesion" and place == 1
            for of in (rows["mine"][place], rows["floor_le"][place], constants[place]):
                assert of[real] == pytest.approx(expected[place], nan_ok=True)
            assert rows["mine"][place][virtual] == pytest.approx(of_model[place], nan_ok=True)
            assert rows["floor_le"][place][virtual] == pytest.approx(math.nan if nothing else 1, nan_ok=True)
            assert math.isnan(constants[place][virtual])
        assert evaluator.state.metrics[f"val_{virtual}"] == pytest.approx(np.nanmean(of_model))
        assert evaluator.state.metrics[f"val_{real}"] == pytest.approx(np.nanmean(expected))
