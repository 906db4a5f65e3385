"""Names of models, one row an image and model, and means in their order: image, patient, fold."""

from __future__ import annotations

import io
import math

import numpy as np
import pandas as pd
import pytest
from made_up_metrics import cohort, one_row

from bundle.evaluation.averages import by_image, fold_means, fold_summary, parts_tested
from bundle.evaluation.models import comparable, model_name, models_of

NAN = math.nan


class TestNames:
    @pytest.mark.parametrize(
        ("model", "gamma", "name"),
        [
            ("cyclegan", 0.0, "CycleGAN"),
            ("cyclegan", None, "CycleGAN"),
            ("seg_cyclegan", 0.0, "CycleGAN"),
            ("seg_cyclegan", 35.0, "Seg-CycleGAN g=35"),
            ("seg_cyclegan", 0.5, "Seg-CycleGAN g=0.5"),
            ("floor_le", NAN, "DES := LE"),
            ("floor_constant", 35.0, "constant inside the breast"),
            ("mine", 10.0, "mine g=10"),
            ("mine", 0.0, "mine"),
            ("mine", NAN, "mine"),
            ("paired", 0.0, "CycleGAN + paired L1"),
            ("paired", 35.0, "Seg-CycleGAN + paired L1 g=35"),
            ("unet_l1", NAN, "U-Net, L1"),
            ("paired+averaged", 0.0, "CycleGAN + paired L1, averaged weights"),
            ("paired+mine", None, "paired+mine"),
        ],
    )
    def test_what_a_reader_knows_them_as(self, model, gamma, name):
        assert model_name(model, gamma) == name
        assert model_name(name, NAN if model.startswith("floor") else gamma) == name

    def test_models_stand_by_gamma_and_floors_last(self):
        rows = comparable(cohort(4, gammas=(0, 100, 35)).sample(frac=1, random_state=0))
        models = ["CycleGAN", "Seg-CycleGAN g=35", "Seg-CycleGAN g=100"]
        assert models_of(rows) == models
        assert models_of(rows, floors=True) == [*models, "DES := LE", "constant inside the breast"]


class TestComparable:
    def test_a_floor_that_every_run_repeats_is_kept_once(self):
        table = cohort(6)
        assert (table["model"] == "floor_le").sum() == 3 * 12
        assert comparable(table)["model"].value_counts().tolist() == [12] * 5

    def test_it_is_the_same_in_any_order_from_disk_and_twice(self):
        table = cohort(6)
        rows = comparable(table)
        read = pd.read_csv(io.StringIO(table.to_csv(index=False)), dtype={"case_id": str, "patient_id": str})
        for again in (table.sample(frac=1, random_state=1), read, rows):
            pd.testing.assert_frame_equal(comparable(again), rows, check_dtype=False)

    def test_the_contrast_error_is_the_distance_of_the_contrasts(self):
        values = {"lesion_contrast_real": 0.3, "lesion_contrast_virtual": 0.1, "enhancement_missed": True}
        (row,) = comparable(pd.DataFrame([one_row("a", "p", **values)])).to_dict("records")
        assert row["lesion_contrast_error"] == pytest.approx(0.2)
        assert row["enhancement_missed"] == 1.0

    def test_everything_wrong_is_told_at_once(self):
        rows = [
            one_row("a", "p", l1=0.1),
            one_row("a", "p", l1=0.2),
            one_row("b", "q", fold=0, l1=0.1),
            one_row("c", "q", fold=2, l1=0.1),
            one_row("a", "p", "floor_le", NAN, l1=0.1),
            one_row("a", "p", "floor_le", NAN, l1=0.3),
        ]
        with pytest.raises(ValueError, match="the table of metrics has 3 problem") as error:
            comparable(pd.DataFrame(rows))
        assert "CycleGAN has case 'a' more than once" in str(error.value)
        assert "patient 'q' stands in the test parts of folds 0, 2: all runs must share one folds.json" in str(
            error.value
        )
        assert "DES := LE of case 'a' differs between runs" in str(error.value)

    def test_rounding_does_not_make_a_floor_differ(self):
        rows = [
            one_row("a", "p", "floor_le", NAN, l1=0.123456789, vif=NAN),
            one_row("a", "p", "floor_le", NAN, l1=0.12346),
        ]
        assert len(comparable(pd.DataFrame(rows))) == 1

    def test_columns_that_lack_and_no_rows(self):
        with pytest.raises(ValueError, match=r"lacks fold, gamma; expected metrics\.csv"):
            comparable(pd.DataFrame([one_row("a", "p")]).drop(columns=["fold", "gamma"]))
        with pytest.raises(ValueError, match="has no rows"):
            comparable(pd.DataFrame([one_row("a", "p")])[:0])


def by_hand() -> pd.DataFrame:
    """Fold 0: p with 1 and 3, q with 8; fold 1: r with 4 and infinity, s without a value."""
    values = [("p", 0, 1), ("p", 0, 3), ("q", 0, 8), ("r", 1, 4), ("r", 1, math.inf), ("s", 1, NAN)]
    rows = [one_row(f"{p}{n}", p, fold=fold, psnr=value) for n, (p, fold, value) in enumerate(values)]
    return comparable(pd.DataFrame(rows))


class TestAverages:
    def test_by_patient_and_as_the_paper(self):
        assert fold_means(by_hand(), "psnr")["CycleGAN"].tolist() == [5, 4]
        assert fold_means(by_hand(), "psnr", "image")["CycleGAN"].tolist() == [4, 4]

    def test_the_summary_counts_what_it_left_out(self):
        patient, image = fold_summary(by_hand(), ["psnr"]).to_dict("records")
        assert (patient["unit"], patient["mean"], patient["sd"]) == ("patient", 4.5, pytest.approx(math.sqrt(0.5)))
        assert (image["unit"], image["mean"], image["sd"]) == ("image", 4, 0)
        counts = {"folds": 2, "patients": 3, "images": 4, "infinite": 1, "missing": 1}
        assert {name: patient[name] for name in counts} == counts

    def test_one_fold_has_no_sd(self):
        rows = comparable(pd.DataFrame([one_row("a", "p", l1=0.1), one_row("b", "q", l1=0.3)]))
        (row,) = fold_summary(rows, ["l1"], ["patient"]).to_dict("records")
        assert row["mean"] == pytest.approx(0.2)
        assert math.isnan(row["sd"])

    def test_rows_without_a_fold_are_one_part(self):
        rows = comparable(pd.DataFrame([one_row(c, c, fold=None, l1=v) for c, v in (("a", 1), ("b", 2))]))
        assert fold_means(rows, "l1")["CycleGAN"].tolist() == [1.5]
        assert parts_tested(rows)["folds"].tolist() == [1]

    def test_values_that_are_no_numbers_are_missing(self):
        assert by_image(by_hand(), "psnr")["CycleGAN"].isna().sum() == 2
        assert np.isfinite(by_image(by_hand(), "psnr")["CycleGAN"].dropna()).all()

    def test_test_parts(self):
        found = parts_tested(comparable(cohort(6, gammas=(0, 35)))).set_index("model")
        assert found.loc["Seg-CycleGAN g=35"].tolist() == [35, 3, 6, 12, 6]

    def test_another_unit_is_refused(self):
        with pytest.raises(ValueError, match="unit 'breast', expected 'patient'"):
            fold_means(by_hand(), "psnr", "breast")
