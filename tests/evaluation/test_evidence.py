"""Everything that the report says in numbers, on a cohort whose effects are known."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from made_up_metrics import cohort, datalist_cases, one_row, rows_of_patients

from bundle.evaluation import agreement, comparable, evidence, exemplary_patients, strata
from bundle.evaluation.strata import stratum_of_image


@pytest.fixture(scope="module")
def table():
    return cohort(30)


@pytest.fixture(scope="module")
def found(table):
    return evidence(table, datalist_cases(table), resamples=200)


class TestEvidence:
    def test_the_claim_of_the_cohort_is_found(self, found):
        paired = found["paired"].set_index(["metric", "model", "reference"]).sort_index()
        lesion = paired.loc["lesion_l1", "Seg-CycleGAN g=35", "CycleGAN"]
        assert lesion["p_holm"] < 0.001
        assert -0.055 < lesion["low"] < lesion["difference"] < lesion["high"] < -0.045
        assert (paired.loc["background_l1", "p_holm"] > 0.05).all()
        assert list(paired.loc["psnr"].index) == list(paired.loc["lesion_l1"].index)
        families = paired["family"].groupby(["model", "reference"]).agg(set)
        assert families["Seg-CycleGAN g=100", "CycleGAN"] == families["Seg-CycleGAN g=35", "CycleGAN"] == {"claim"}
        assert families["Seg-CycleGAN g=100", "Seg-CycleGAN g=35"] == {"exploratory"}
        correlation = found["correlation"]
        assert (
            correlation["reference"].tolist()
            == ["CycleGAN"] * 2 + ["DES := LE"] * 3 + ["constant inside the breast"] * 3
        )
        own = found["agreement"].set_index("model")["r"]
        first = correlation.loc[0]
        assert first["difference"] == pytest.approx(own["Seg-CycleGAN g=35"] - own["CycleGAN"])
        assert first["low"] < first["difference"] < first["high"]
        assert found["equivalence"]["model"].tolist() == ["Seg-CycleGAN g=35", "Seg-CycleGAN g=100"]
        assert (found["equivalence"]["p_not_worse"] < 0.001).all()
        assert set(found["floors"]["reference"]) == {"DES := LE", "constant inside the breast"}

    def test_every_table_is_there_even_of_one_image(self, found):
        little = evidence(pd.DataFrame([one_row("a", "p", l1=0.1)]))
        assert little.keys() == found.keys()
        assert little["paper"].iloc[0].tolist() == ["CycleGAN", "–", "–", "–", "–", "–"]
        assert little["paired"].empty
        assert little["equivalence"].empty
        assert little["agreement"].empty
        assert little["correlation"].empty
        assert little["intervals"]["note"].tolist() == ["too few patients for an interval: 1, at least 10 are needed"]

    def test_the_same_rows_in_another_order_give_the_same_tables(self, table, found):
        again = evidence(table.sample(frac=1, random_state=3), datalist_cases(table), resamples=200)
        for name in found:
            pd.testing.assert_frame_equal(again[name], found[name])

    def test_the_numbers_stand_behind_the_text(self, found):
        folds = found["folds"].set_index(["model", "metric", "unit"])
        mean, sd = 100 * folds.loc[("CycleGAN", "lesion_l1", "image"), ["mean", "sd"]].astype(float)
        assert found["lesion"].loc[0, "lesion L1 e-2"] == f"{mean:.2f} ± {sd:.2f}"

    def test_without_a_lesion_patients_are_ranked_by_the_whole_image(self, table):
        assert set(evidence(table[~table["has_seg"]], resamples=100)["exemplary"]["metric"]) == {"l1"}


class TestExemplaryPatients:
    def test_best_median_and_worst_by_the_mean_over_her_images(self):
        values = {"a": [0.1, 0.2, 0.9], "b": [0.3], "c": [0.0, 0.1], "d": [0.9, 1.0], "e": [math.nan]}
        table = rows_of_patients("lesion_l1", {"m": values})
        found = exemplary_patients(table, "lesion_l1", "m").set_index("rank")
        assert found["patient_id"].to_dict() == {"best": "c", "median": "b", "worst": "d"}
        assert found["value"].tolist() == pytest.approx([0.05, 0.3, 0.95])
        five = exemplary_patients(rows_of_patients("lesion_l1", {"m": values | {"e": [0.35]}}), "lesion_l1", "m")
        assert five["patient_id"].tolist() == ["c", "e", "d"]
        assert exemplary_patients(table, "lesion_l1", "m").columns.tolist()[-2:] == ["case_id", "image_value"]

    def test_the_image_shown_is_the_one_nearest_to_her_mean(self):
        table = rows_of_patients("l1", {"m": {"a": [0.0, 0.5, 0.7]}})
        (row,) = exemplary_patients(table, "l1", "m").to_dict("records")
        assert (row["rank"], row["case_id"], row["images"]) == ("only", "a-1", 3)

    def test_of_a_quality_the_highest_is_best(self):
        table = rows_of_patients("ssim", {"m": {"a": [0.1], "b": [0.9]}})
        assert exemplary_patients(table, "ssim", "m")["patient_id"].tolist() == ["b", "a"]
        assert exemplary_patients(table, "ssim", "m")["rank"].tolist() == ["best", "worst"]

    def test_no_patient_has_a_value(self):
        table = rows_of_patients("ssim", {"m": {"a": [math.nan]}})
        assert exemplary_patients(table, "ssim", "m").empty

    def test_a_contrast_ranks_no_patient(self):
        table = rows_of_patients("lesion_contrast_real", {"m": {"a": [0.1]}})
        with pytest.raises(ValueError, match="neither an error nor a quality, so that no patient is best"):
            exemplary_patients(table, "lesion_contrast_real", "m")


class TestAgreement:
    def test_bias_and_limits_by_hand(self):
        pairs = {"p": [(0.1, 0.0), (0.3, 0.2)], "q": [(0.4, 0.4)], "r": [(0.6, 0.8)]}
        rows = [
            one_row(f"{patient}{n}", patient, lesion_contrast_real=real, lesion_contrast_virtual=virtual)
            for patient, values in pairs.items()
            for n, (real, virtual) in enumerate(values)
        ]
        (row,) = agreement(comparable(pd.DataFrame(rows))).to_dict("records")
        assert (row["patients"], row["real"], row["virtual"]) == (3, pytest.approx(0.4), pytest.approx(1.3 / 3))
        sd = pd.Series([-0.1, 0.0, 0.2]).std(ddof=1)
        assert row["bias"] == pytest.approx(0.1 / 3)
        assert row["upper_limit"] == pytest.approx(0.1 / 3 + 1.96 * sd)
        assert row["lower_limit"] == pytest.approx(0.1 / 3 - 1.96 * sd)
        assert row["slope"] == pytest.approx(0.7 / 0.4)
        assert math.isnan(row["low"])

        assert math.isnan(row["slope_low"])

    def test_with_enough_patients_bias_and_slope_have_an_interval(self, table):
        found = agreement(comparable(table), resamples=200).set_index("model").loc["CycleGAN"]
        assert found["low"] < found["bias"] < found["high"]
        assert found["slope_low"] < found["slope"] < found["slope_high"]

    def test_the_interval_of_the_slope_by_hand(self):
        real, noise = [float(n) for n in range(10)], [1.0, -1.0] * 5
        rows = [
            one_row(f"{n}", f"{n}", lesion_contrast_real=x, lesion_contrast_virtual=0.5 * x + e)
            for n, (x, e) in enumerate(zip(real, noise, strict=True))
        ]
        (row,) = agreement(comparable(pd.DataFrame(rows)), resamples=50).to_dict("records")
        slope = 0.5 - 5 / 82.5  # sum of (x - 4.5) e is -5, that of its squares 82.5
        residual = 10 - 5**2 / 82.5  # of the squares of e, mean 0
        error = math.sqrt(residual / 8 / 82.5)
        assert row["slope"] == pytest.approx(slope)
        assert row["slope_high"] - slope == pytest.approx(2.306004 * error)  # t of 8 degrees of freedom
        assert slope - row["slope_low"] == pytest.approx(2.306004 * error)


class TestStrata:
    def test_every_image_finds_its_stratum(self, table):
        rows = comparable(table)
        found = stratum_of_image(rows, datalist_cases(table))
        assert list(found) == ["density", "lesion size", "view"]
        assert found.loc["p001_CC", ["density", "view"]].tolist() == ["B", "CC"]
        areas = rows.drop_duplicates("case_id").set_index("case_id")["lesion_area"].dropna()
        sizes = found["lesion size"].dropna()
        assert sizes.index.tolist() == areas.index.tolist()
        assert sizes.value_counts().tolist() == [10, 10, 10]
        small = sizes.str.startswith("small")
        assert areas[small].max() < areas[~small].min()

    def test_means_counts_and_what_is_not_known(self, table):
        rows = comparable(table)
        found = strata(rows, ["lesion_l1", "l1"], datalist_cases(table), resamples=100)
        density = found.query("stratum == 'density' and metric == 'l1' and model == 'CycleGAN'").set_index("value")
        assert density.index.tolist() == ["A", "B", "C", "D", "not known"]
        assert density["images"].sum() == 60
        ours = rows.query("model == 'CycleGAN'")
        of_a = ours[ours["patient_id"].str[1:].astype(int) % 4 == 0]
        assert density.loc["A", "mean"] == pytest.approx(of_a["l1"].mean())
        assert density.loc["A", "note"].startswith("too few patients for an interval: 8")
        view = found.query("stratum == 'view' and metric == 'l1' and model == 'CycleGAN'")
        assert view["patients"].tolist() == [30, 30]
        assert (view["low"] < view["mean"]).all()
        sizes = found.query("stratum == 'lesion size' and model == 'CycleGAN' and metric == 'lesion_l1'")["value"]
        assert [value.split(" ")[0] for value in sizes] == ["small", "middle", "large"]

    def test_an_area_that_only_a_later_model_knows_is_not_lost(self):
        rows = [one_row(c, c, l1=0.1) for c in "abc"]
        rows += [one_row(c, c, "seg_cyclegan", 35.0, l1=0.1, lesion_area=n + 1.0) for n, c in enumerate("abc")]
        found = stratum_of_image(comparable(pd.DataFrame(rows)))
        assert [value.split(" ")[0] for value in found["lesion size"]] == ["small", "middle", "large"]

    def test_the_datalist_may_know_area_and_source(self):
        rows = comparable(pd.DataFrame([one_row(c, c, l1=0.1) for c in "abc"]))
        cases = [{"case_id": c, "source": "UCBM", "lesion_area": n + 1} for n, c in enumerate("abc")]
        found = stratum_of_image(rows, cases)
        assert found["source"].tolist() == ["UCBM"] * 3
        assert [value.split(" ")[0] for value in found["lesion size"]] == ["small", "middle", "large"]

    def test_equal_lesions_share_a_tercile(self):
        rows = comparable(pd.DataFrame([one_row(c, c, l1=0.1, lesion_area=50.0) for c in "abcd"]))
        assert stratum_of_image(rows)["lesion size"].nunique() == 1
