"""Columns of metrics.csv as MONAI metrics."""

from __future__ import annotations

import math

import pytest
import torch
from monai.handlers import IgniteMetricHandler
from toys import make_batch, make_networks

from bundle.engines import CycleGanEvaluator
from bundle.metrics import CaseMetrics, ImageMetric, columns

COLUMNS = list(columns())


def drawn(seed: int = 0) -> dict[str, torch.Tensor]:
    batch = make_batch(seed, pairs=3, size=48)
    batch["le"][..., :24] = 0.6 + 0.4 * batch["le"][..., :24]
    return batch


def stacked(output: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([output[key] for key in ("des", "le", "seg")], dim=1)


def test_every_column_is_a_metric_with_the_values_of_the_rows():
    batches = [drawn(1), drawn(2)]
    rows = CaseMetrics("mine", with_vif=True)
    network = make_networks()["gen_le_to_des"]
    evaluator = CycleGanEvaluator("cpu", batches, network)
    rows.attach(evaluator, "test")
    evaluator.run()
    metrics = {name: ImageMetric(name, reduction="none") for name in COLUMNS}
    with torch.no_grad():
        for batch in batches:
            virtual = network(batch["le"])
            for metric in metrics.values():
                assert metric(virtual, stacked(batch)).shape == (3, 1)
    for name, metric in metrics.items():
        expected = [row[name] for row in rows.rows]
        assert metric.aggregate()[:, 0].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-7, nan_ok=True), name


def test_an_image_without_a_value_is_left_out_of_the_mean_and_counted():
    batch = drawn()
    metric = ImageMetric("lesion_l1", get_not_nans=True)
    values = metric(1 - batch["des"], stacked(batch))[:, 0].tolist()
    assert math.isnan(values[2])  # the last pair has no lesion
    mean, count = metric.aggregate()
    assert (mean.item(), count.item()) == (pytest.approx(sum(values[:2]) / 2), 2)
    metric.reset()
    assert metric.get_buffer() is None


def test_it_runs_in_a_handler_of_monai():
    metric = ImageMetric("breast_psnr")
    handler = IgniteMetricHandler(metric, output_transform=lambda output: (output["virtual_des"], stacked(output)))
    rows = CaseMetrics()
    evaluator = CycleGanEvaluator(
        "cpu",
        [drawn(1), drawn(2)],
        make_networks()["gen_le_to_des"],
        key_val_metric={"key": handler},
        additional_metrics={"val": rows},
    )
    evaluator.run()
    found = evaluator.state.metrics
    assert found["key"] == pytest.approx(found["val_breast_psnr"], rel=1e-6)


def test_thresholds_reach_the_column():
    batch = drawn()
    virtual = 0 * batch["des"]
    assert ImageMetric("enhancement_missed", enhancing_cnr=-10)(virtual, stacked(batch))[0].item() in (0, 1)
    assert math.isnan(ImageMetric("enhancement_missed", enhancing_cnr=10)(virtual, stacked(batch))[0].item())


def test_an_unknown_column_and_other_shapes_are_refused():
    with pytest.raises(ValueError, match="there is no column 'fid', expected one of mse, l1, psnr"):
        ImageMetric("fid")
    batch = drawn()
    with pytest.raises(ValueError, match=r"y_pred \(3, 1, 48, 48\) and y \(3, 1, 48, 48\) must be .* DES, LE and SEG"):
        ImageMetric("mse")(batch["des"], batch["des"])
