"""metrics.csv, the summary beside the floors, and its Markdown."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bundle.data.whole_files import write_table
from bundle.evaluation import as_markdown, metrics_table, summary_table

LEADING = ["case_id", "patient_id", "laterality", "view", "fold", "model", "gamma", "has_seg"]
NAN = math.nan


def row(model: str, case_id: str = "a", **values) -> dict:
    case = {"case_id": case_id, "patient_id": "p", "laterality": "L", "view": "CC", "model": model, "has_seg": True}
    return case | {"mse": 0.1, "psnr": 20.0, "ssim": 0.8, "lesion_l1": 0.2, "background_l1": 0.1} | values


def verdicts(*rows: dict, columns=("mse",)) -> dict[str, str]:
    """What the summary says of one column, by the name of the line."""
    summary = summary_table(metrics_table(rows), columns)
    return dict(zip(summary.index, summary.iloc[:, 0], strict=True))


def test_columns_stand_in_the_order_of_the_contract():
    table = metrics_table([row("mine", vif=0.1), row("floor_le", vif=0.2)], fold=3, gamma=35)
    assert list(table.columns) == [*LEADING, "mse", "psnr", "ssim", "lesion_l1", "background_l1", "vif"]
    assert table["fold"].tolist() == [3, 3]
    assert table["model"].tolist() == ["mine", "floor_le"]


def test_a_floor_has_no_gamma():
    table = metrics_table([row("mine"), row("floor_le"), row("floor_constant")], fold=0, gamma=35)
    np.testing.assert_array_equal(table["gamma"], [35, NAN, NAN])
    assert metrics_table([row("mine")])["gamma"].isna().all()
    assert metrics_table([row("mine")])["fold"].isna().all()


def test_a_table_survives_the_disk(tmp_path):
    table = metrics_table([row("mine", psnr=math.inf, lesion_l1=NAN), row("floor_le", mse=1 / 3)], fold=1, gamma=100)
    path = write_table(table, tmp_path / "new" / "metrics.csv")
    assert path == tmp_path / "new" / "metrics.csv"
    assert [file.name for file in path.parent.iterdir()] == ["metrics.csv"]
    back = pd.read_csv(path)
    assert list(back.columns) == list(table.columns)
    assert back.loc[0, "psnr"] == math.inf
    assert math.isnan(back.loc[0, "lesion_l1"])
    assert back.loc[1, "mse"] == pytest.approx(1 / 3, rel=1e-8)


def test_a_table_that_cannot_be_written_leaves_the_former_one(tmp_path):
    path = write_table(metrics_table([row("mine")]), tmp_path / "metrics.csv")
    former = path.read_bytes()

    class Unwritable(pd.DataFrame):
        def to_csv(self, path, **kwargs):
            path.write_text("half a")
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_table(Unwritable(), path)
    assert path.read_bytes() == former


def test_the_summary_holds_means_over_the_images_that_have_a_value():
    summary = summary_table(
        metrics_table(
            [
                row("mine", "a", mse=0.1, psnr=math.inf, lesion_l1=0.3),
                row("mine", "b", mse=0.3, psnr=21.5, lesion_l1=NAN),
            ]
        )
    )
    assert list(summary.columns) == ["MSE", "PSNR [dB]", "SSIM", "lesion L1", "background L1"]
    assert summary.index.tolist() == ["mine"]
    assert summary.iloc[0].tolist() == ["0.2", "21.5", "0.8", "0.3", "0.1"]


@pytest.mark.parametrize(
    ("column", "better", "worse"),
    [
        ("mse", 0.1, 0.3),
        ("lesion_l1", 0.1, 0.3),
        ("psnr", 25.0, 20.0),
        ("ssim", 0.9, 0.8),
        ("vif", 0.2, 0.1),
        ("breast_psnr", 25.0, 20.0),
        ("ring_ssim", 0.9, 0.8),
    ],
)
def test_a_floor_is_beaten_by_what_is_better(column, better, worse):
    def said(model, floor):
        rows = row("mine", **{column: model}), row("floor_le", **{column: floor})
        return verdicts(*rows, columns=[column])["DES := LE"]

    assert said(better, worse) == f"{worse:.4g} (beaten)"
    assert said(worse, better) == f"{better:.4g} (not beaten)"
    assert said(better, better) == f"{better:.4g} (not beaten)"  # a draw is no victory


def test_floors_come_last_and_the_best_model_is_compared():
    said = verdicts(
        row("floor_constant", mse=0.25), row("floor_le", mse=0.15), row("one", mse=0.3), row("two", mse=0.2)
    )
    assert list(said) == ["one", "two", "DES := LE", "constant inside the breast"]
    assert list(said.values()) == ["0.3", "0.2", "0.15 (not beaten)", "0.25 (beaten)"]


def test_no_verdict_without_a_number_or_on_a_bias():
    assert verdicts(row("mine", mse=NAN), row("floor_le"))["DES := LE"] == "0.1"
    assert verdicts(row("mine"), row("floor_le", mse=NAN)) == {"mine": "0.1", "DES := LE": "nan"}
    assert verdicts(row("floor_le")) == {"DES := LE": "0.1"}
    bias = verdicts(
        row("mine", background_bias=-0.4), row("floor_le", background_bias=0.1), columns=["background_bias"]
    )
    assert bias["DES := LE"] == "0.1"


def test_a_model_of_infinite_psnr_gets_no_verdict_on_it():
    said = verdicts(row("mine", psnr=math.inf), row("floor_le", psnr=20.0), columns=["psnr"])
    assert said == {"mine": "nan", "DES := LE": "20"}


def test_markdown_is_an_aligned_table():
    summary = summary_table(metrics_table([row("a model", mse=0.05), row("floor_le")]), ["mse", "psnr"])
    assert as_markdown(summary).splitlines() == [
        "| model     | MSE          | PSNR [dB]       |",
        "|-----------|--------------|-----------------|",
        "| a model   | 0.05         | 20              |",
        "| DES := LE | 0.1 (beaten) | 20 (not beaten) |",
    ]
