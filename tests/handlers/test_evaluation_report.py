"""What an evaluation leaves on the disk."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from toys import make_batch, make_networks

from bundle.engines import CycleGanEvaluator
from bundle.handlers import EvaluationReport
from bundle.metrics import CaseMetrics


@pytest.fixture
def evaluate(tmp_path):
    def evaluate(rank=0):
        batch = make_batch(1, pairs=3, size=48)
        batch["le"][..., :24] = 0.6 + 0.4 * batch["le"][..., :24]
        batch |= {"case_id": ["a", "b", "c"], "patient_id": ["p", "p", "q"]}
        batch |= {"laterality": ["L", "L", "R"], "view": ["CC", "MLO", "CC"]}
        metrics = CaseMetrics("seg_cyclegan", floors=True, floor_constant=0.25)
        evaluator = CycleGanEvaluator("cpu", [batch], make_networks()["gen_le_to_des"])
        metrics.attach(evaluator, "test")
        evaluator.state.rank = rank
        EvaluationReport(tmp_path / "eval", metrics, fold=2, gamma=35.0).attach(evaluator)
        evaluator.run()
        return metrics

    return evaluate


def test_metrics_csv_holds_every_row(evaluate, tmp_path):
    metrics = evaluate()
    table = pd.read_csv(tmp_path / "eval" / "metrics.csv")
    assert len(table) == 9
    leading = ["case_id", "patient_id", "laterality", "view", "fold", "model", "gamma", "has_seg"]
    assert list(table.columns[:12]) == [*leading, "mse", "l1", "psnr", "ssim"]
    assert table["model"].unique().tolist() == ["seg_cyclegan", "floor_le", "floor_constant"]
    assert set(table["fold"]) == {2}
    np.testing.assert_array_equal(table["gamma"], [35.0] * 3 + [np.nan] * 6)
    for column in ("mse", "lesion_l1", "background_bias"):
        np.testing.assert_allclose(table[column], [row[column] for row in metrics.rows], rtol=1e-8)


def test_the_summary_is_written_and_logged_with_its_counts(evaluate, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "bundle"):
        evaluate()
    text = (tmp_path / "eval" / "summary.md").read_text()
    lines = text.splitlines()
    assert lines[0].startswith("| model ")
    assert [line.split("|")[1].strip() for line in lines[2:5]] == [
        "seg_cyclegan",
        "DES := LE",
        "constant inside the breast",
    ]
    assert lines[5] == ""
    assert [cell.strip() for cell in lines[6].split("|")[1:-1]] == [
        *("model", "lesion contrast", "real lesion contrast", "lesion CNR", "real lesion CNR"),
        *("enhancement missed", "enhancement invented"),
    ]
    assert [line.split("|")[1].strip() for line in lines[8:11]] == [line.split("|")[1].strip() for line in lines[2:5]]
    assert lines[11:] == ["", "3 images of 2 patients, 2 with a lesion"]
    (message,) = (record.getMessage() for record in caplog.records if record.name.startswith("bundle"))
    assert "metrics.csv: 3 images of 2 patients, 2 with a lesion" in message
    assert "\n".join(lines[:5]) in message


def test_the_summary_counts_what_is_missed_and_invented(evaluate, tmp_path):
    metrics = evaluate()
    rows = [row for row in metrics.rows if row["model"] == "seg_cyclegan"]
    enhancing = [row["enhancement_missed"] for row in rows if not np.isnan(row["enhancement_missed"])]
    invented = sum(row["invented_count"] > 0 for row in rows)
    cells = [cell.strip() for cell in (tmp_path / "eval" / "summary.md").read_text().splitlines()[8].split("|")[1:-1]]
    assert cells[1] == f"{np.nanmean([row['lesion_contrast_virtual'] for row in rows]):.4g}"
    assert cells[4] == f"{np.nanmean([row['lesion_cnr_real'] for row in rows]):.4g}"
    assert cells[5:] == [f"{sum(enhancing):.0f} of {len(enhancing)}", f"{invented} of 3 images"]


def test_nan_is_empty_and_infinity_is_inf(evaluate, tmp_path):
    metrics = evaluate()
    metrics.rows[0]["psnr"] = np.inf
    EvaluationReport(tmp_path / "eval", metrics)(None)
    header, first, *_, last = (tmp_path / "eval" / "metrics.csv").read_text().splitlines()
    assert first.split(",")[header.split(",").index("psnr")] == "inf"
    assert last.split(",")[header.split(",").index("lesion_l1")] == ""


def test_only_the_first_process_writes(evaluate, tmp_path):
    evaluate(rank=1)
    assert not (tmp_path / "eval").exists()
