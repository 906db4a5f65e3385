"""Rows and means of an evaluation run on toy networks."""

from __future__ import annotations

import math

import pytest
import torch
from monai.handlers import MeanAbsoluteError
from torch import nn
from toys import make_batch, make_networks

from bundle.engines import CycleGanEvaluator
from bundle.metrics import CaseMetrics, invented_area, l1, lesion_cnr, lesion_contrast, mse, psnr, regions, ssim, vif

CASE = ["case_id", "patient_id", "laterality", "view"]
QUANTITIES = ["mse", "l1", "psnr", "ssim"]
ENHANCEMENT = [
    "lesion_area",
    *("lesion_contrast_real", "lesion_contrast_virtual", "lesion_cnr_real", "lesion_cnr_virtual"),
    *("enhancement_missed", "invented_count", "invented_area"),
]
COPYING = [f"{region}_le_correlation_{which}" for region in ("lesion", "background") for which in ("real", "virtual")]


def named_batch(seed: int, pairs: int = 2, size: int = 48, **kwargs) -> dict:
    """As a loader gives it: LE has a bright breast in dark air."""
    batch = make_batch(seed, pairs, size, **kwargs)
    batch["le"][..., :, : size // 2] = 0.6 + 0.4 * batch["le"][..., :, : size // 2]
    batch["le"][..., :, size // 2 :] *= 0.2
    names = [f"{seed}{place}" for place in range(pairs)]
    return {**batch, "case_id": names, "patient_id": ["p"] * pairs, "laterality": ["L"] * pairs, "view": ["CC"] * pairs}


def evaluated(batches: list[dict], metrics: CaseMetrics, network: nn.Module | None = None) -> CycleGanEvaluator:
    loss = MeanAbsoluteError(output_transform=lambda output: (output["virtual_des"], output["des"]))
    evaluator = CycleGanEvaluator(
        "cpu",
        batches,
        network or make_networks()["gen_le_to_des"],
        key_val_metric={"val_loss": loss},
        additional_metrics={"val": metrics},
    )
    evaluator.run()
    return evaluator


class Replay(nn.Module):
    """Answers an LE image that it knows with the DES image that belongs to it."""

    def __init__(self, batches, change=lambda des: des):
        super().__init__()
        self.pairs = [(batch["le"], change(batch["des"])) for batch in batches]

    def forward(self, le):
        return next(des for known, des in self.pairs if torch.equal(known, le)).clone()


def test_a_row_an_image_in_the_order_of_the_data():
    metrics = CaseMetrics()
    evaluated([named_batch(1), named_batch(2)], metrics)
    assert [row["case_id"] for row in metrics.rows] == ["10", "11", "20", "21"]
    assert [row["has_seg"] for row in metrics.rows] == [True, False, True, False]
    assert {row["model"] for row in metrics.rows} == {"virtual_des"}
    areas = ["", "breast_", "lesion_", "ring_", "background_"]
    columns = [f"{area}{name}" for area in areas for name in QUANTITIES]
    assert list(metrics.rows[0]) == [*CASE, "model", "has_seg", *columns, *ENHANCEMENT, "background_bias", *COPYING]
    assert [metrics.rows[0][key] for key in CASE] == ["10", "p", "L", "CC"]


def test_values_are_those_of_the_functions():
    batch, network = named_batch(1), make_networks()["gen_le_to_des"].eval()
    metrics = CaseMetrics(with_vif=True)
    evaluated([batch], metrics, network)
    with torch.no_grad():
        pred = network(batch["le"])
    areas = regions(batch["le"], batch["seg"])
    row = metrics.rows[0]
    for quantity in (mse, l1, psnr, ssim):
        name = quantity.__name__
        assert row[name] == pytest.approx(float(quantity(pred, batch["des"])[0]))
        for area, region in areas.items():
            expected = float(quantity(pred, batch["des"], region=region)[0])
            assert row[f"{area}_{name}"] == pytest.approx(expected, nan_ok=True)
    assert math.isfinite(row["lesion_l1"])
    assert row["vif"] == pytest.approx(float(vif(pred, batch["des"])[0]))
    assert row["breast_vif"] == pytest.approx(float(vif(pred, batch["des"], region=areas["breast"])[0]))
    for area in ("", "breast_"):
        assert list(row).index(f"{area}vif") == list(row).index(f"{area}ssim") + 1
    assert row["lesion_contrast_real"] == pytest.approx(float(lesion_contrast(batch["des"], areas)[0]))
    assert row["lesion_contrast_virtual"] == pytest.approx(float(lesion_contrast(pred, areas)[0]))
    assert row["lesion_cnr_real"] == pytest.approx(float(lesion_cnr(batch["des"], areas)[0]))
    assert row["lesion_cnr_virtual"] == pytest.approx(float(lesion_cnr(pred, areas)[0]))
    assert row["invented_area"] == pytest.approx(float(invented_area(pred, batch["des"], areas)[0]))
    difference = (pred - batch["des"])[0][areas["background"][0]]
    assert row["background_bias"] == pytest.approx(float(difference.mean()), abs=1e-6)


def test_enhancement_that_is_missed_and_invented_is_said_with_the_thresholds_given():
    batch = named_batch(1)
    areas = regions(batch["le"], batch["seg"])
    batch["des"] = 0.4 + 0.01 * batch["des"] + 0.3 * areas["lesion"]

    def change(des):
        des = torch.where(areas["lesion"], 0.4, des)
        des[..., 30:36, 4:10] += 0.2
        return des

    def found(**thresholds):
        metrics = CaseMetrics(**thresholds)
        evaluated([batch], metrics, Replay([batch], change))
        return [(row["enhancement_missed"], row["invented_count"]) for row in metrics.rows]

    nan = pytest.approx(math.nan, nan_ok=True)  # the second image has no lesion
    assert found() == [(1, 1), (nan, 1)]
    assert found(num_sd=100) == [(1, 0), (nan, 0)]
    assert found(enhancing_cnr=1e4) == [(nan, 1), (nan, 1)]
    assert found(least_share=-1) == [(0, 1), (nan, 1)]


def test_rows_do_not_depend_on_the_size_of_the_batch():
    batch = named_batch(1, pairs=3, lesions=True)
    singly = [
        {key: value[place : place + 1] for key, value in batch.items()}  # tensors and lists alike
        for place in range(3)
    ]
    whole, apart = CaseMetrics(with_vif=True), CaseMetrics(with_vif=True)
    network = make_networks()["gen_le_to_des"]
    evaluated([batch], whole, network)
    evaluated(singly, apart, network)
    assert [row["case_id"] for row in apart.rows] == [row["case_id"] for row in whole.rows]
    for one, other in zip(apart.rows, whole.rows, strict=True):
        for key in list(one)[6:]:
            assert one[key] == pytest.approx(other[key], rel=1e-5, abs=1e-7, nan_ok=True), key


def test_the_bias_has_a_sign_and_is_of_the_background_alone():
    batch = named_batch(1)
    batch["des"] = 0.2 + 0.6 * batch["des"]
    background = regions(batch["le"], batch["seg"])["background"]
    darker = Replay([batch], lambda des: torch.where(background, des - 0.1, des + 0.1))
    metrics = CaseMetrics()
    evaluated([batch], metrics, darker)
    assert [row["background_bias"] for row in metrics.rows] == pytest.approx([-0.1, -0.1], abs=1e-6)


def test_the_engine_sees_the_means_over_the_images_that_have_a_value():
    metrics = CaseMetrics()
    batches = [named_batch(1), named_batch(2)]
    state = evaluated(batches, metrics).state
    assert state.metrics["val_l1"] == pytest.approx(sum(row["l1"] for row in metrics.rows) / 4)
    assert state.metrics["val_loss"] == pytest.approx(state.metrics["val_l1"], abs=1e-6)
    lesions = [row["lesion_l1"] for row in metrics.rows if row["has_seg"]]
    assert len(lesions) == 2
    assert state.metrics["val_lesion_l1"] == pytest.approx(sum(lesions) / 2)
    assert all(math.isnan(row["lesion_l1"]) for row in metrics.rows if not row["has_seg"])
    assert not {"val", "val_case_id", "val_has_seg", "val_model"} & set(state.metrics)


def test_infinite_psnr_is_left_out_of_the_mean():
    first, second = named_batch(1, lesions=False), named_batch(2, lesions=False)
    network = Replay([first])
    network.pairs += Replay([second], lambda des: 0.5 * des).pairs
    metrics = CaseMetrics()
    state = evaluated([first, second], metrics, network).state
    values = [row["psnr"] for row in metrics.rows]
    assert values[:2] == [math.inf] * 2
    assert state.metrics["val_psnr"] == pytest.approx(sum(values[2:]) / 2)
    assert math.isnan(state.metrics["val_lesion_l1"])  # no image has one


def test_floors_are_further_models_and_do_not_enter_the_means():
    batch = named_batch(1)
    metrics, alone = CaseMetrics("mine", floors=True, floor_constant=0.25), CaseMetrics("mine")
    network = make_networks()["gen_le_to_des"]
    state = evaluated([batch], metrics, network).state
    assert [(row["model"], row["case_id"]) for row in metrics.rows] == [
        (model, case_id) for model in ("mine", "floor_le", "floor_constant") for case_id in ("10", "11")
    ]
    by_model = {row["model"]: row for row in metrics.rows if row["case_id"] == "10"}
    assert by_model["floor_le"]["l1"] == pytest.approx(float(l1(batch["le"], batch["des"])[0]))
    constant = 0.25 * regions(batch["le"], batch["seg"])["breast"].float()
    assert by_model["floor_constant"]["mse"] == pytest.approx(float(mse(constant, batch["des"])[0]))
    assert by_model["floor_constant"]["breast_l1"] == pytest.approx(
        float((batch["des"] - 0.25).abs()[0][constant[0] > 0].mean()), abs=1e-6
    )
    without_floors = evaluated([batch], alone, network).state
    assert state.metrics == pytest.approx(without_floors.metrics, nan_ok=True)


def test_a_constant_floor_needs_its_constant():
    metrics = CaseMetrics(floors=True)
    evaluated([named_batch(1)], metrics)
    assert [row["model"] for row in metrics.rows] == ["virtual_des"] * 2 + ["floor_le"] * 2


def test_each_run_begins_anew():
    metrics = CaseMetrics()
    evaluator = evaluated([named_batch(1)], metrics)
    evaluator.run(2)
    assert len(metrics.rows) == 2


def test_a_batch_that_does_not_say_whose_images_it_holds_is_evaluated():
    metrics = CaseMetrics()
    evaluated([make_batch(1, size=48)], metrics)
    assert [row["case_id"] for row in metrics.rows] == [None] * 3


def test_no_image_at_all_is_an_error():
    with pytest.raises(ValueError, match="no image was evaluated: the data loader is empty"):
        CaseMetrics().compute()


def test_rows_of_all_ranks_are_gathered(monkeypatch):
    metrics = CaseMetrics()
    evaluated([named_batch(1)], metrics)
    own, other = metrics.rows, [{**row, "case_id": "other", "l1": row["l1"] + 1} for row in metrics.rows]

    def gather(gathered, rows):
        gathered[:] = [rows, other]

    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    mean = metrics.compute()["l1"]
    assert [row["case_id"] for row in metrics.rows] == ["10", "11", "other", "other"]
    assert mean == pytest.approx(sum(row["l1"] for row in own) / 2 + 0.5)


def test_a_generator_that_leaves_the_range_is_judged_as_it_would_be_written():
    class Bright(nn.Module):
        def forward(self, x):
            return x * 0 + 1.5

    metrics = CaseMetrics()
    batch = named_batch(0)
    evaluated([batch], metrics, Bright())
    assert metrics.rows[0]["mse"] == pytest.approx(float(((1 - batch["des"][0]) ** 2).mean()), rel=1e-5)


def test_correlations_with_le_are_averaged_over_the_images_that_have_both():
    metrics = CaseMetrics()
    state = evaluated([named_batch(1)], metrics).state
    first, second = metrics.rows
    virtual, real = (f"background_le_correlation_{which}" for which in ("virtual", "real"))
    second[virtual] = math.nan  # a virtual DES that does not vary there
    means = metrics.compute()
    assert (means[virtual], means[real]) == (first[virtual], first[real])
    assert means["lesion_le_correlation_real"] == state.metrics["val_lesion_le_correlation_real"]
    assert means["l1"] == pytest.approx((first["l1"] + second["l1"]) / 2)
