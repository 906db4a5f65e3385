"""Tests, intervals and equivalence over patients, by numbers worked out by hand."""

from __future__ import annotations

import gc
import math

import numpy as np
import pandas as pd
import pytest
from made_up_metrics import rows_of_patients
from scipy import stats

from bundle.evaluation.statistics import (
    bootstrap_mean,
    clustered_interval,
    equivalence,
    holm,
    intervals,
    paired_test,
    signed_rank,
)


def patients(values, images: int = 1) -> dict[str, list[float]]:
    return {f"p{number:02}": [value] * images for number, value in enumerate(values)}


def pair(differences, metric: str = "l1", base: float = 1.0) -> pd.DataFrame:
    """Model "new" is ``base`` plus the differences, "old" is ``base``."""
    new = [base + difference for difference in differences]
    return rows_of_patients(metric, {"old": patients([base] * len(new)), "new": patients(new)})


class TestPairedTest:
    def test_six_patients_that_all_get_worse_have_p_of_one_in_32(self):
        (row,) = paired_test(pair([1, 2, 3, 4, 5, 6]), "l1").to_dict("records")
        assert row["p"] == row["p_holm"] == 2 / 2**6
        assert (row["model"], row["reference"], row["patients"], row["note"]) == ("new", "old", 6, "")
        assert row["difference"] == pytest.approx(3.5)

    def test_a_patient_counts_once_however_many_images_she_has(self):
        new = {"a": [1, 3], "b": [3.5], "c": [4, 4, 4, 4], "d": [2], "e": [0, 0, 3], "f": [7], "g": [0.5]}
        table = rows_of_patients("l1", {"old": {name: [0] * len(v) for name, v in new.items()}, "new": new})
        (row,) = paired_test(table, "l1").to_dict("records")
        means = np.array([2, 3.5, 4, 2, 1, 7, 0.5])
        assert row["p"] == signed_rank(means) == stats.wilcoxon(means).pvalue
        assert row["difference"] == pytest.approx(means.mean())
        assert (row["patients"], row["images"]) == (7, 13)

    def test_only_images_that_both_models_have_are_compared(self):
        old = {"a": [0, 0], "b": [0], "c": [0]}
        table = rows_of_patients("psnr", {"old": old, "new": {"a": [1, math.inf], "b": [math.nan], "c": [5]}})
        (row,) = paired_test(table, "psnr").to_dict("records")
        assert (row["patients"], row["images"], row["difference"]) == (2, 2, 3)

    def test_too_few_patients_get_a_sentence_instead_of_a_p_value(self):
        (row,) = paired_test(pair([1, 2, 3, 4, 5, 0, 0]), "l1").to_dict("records")
        assert math.isnan(row["p"])
        assert math.isnan(row["p_holm"])
        assert row["note"] == "too few patients that differ for a p-value: 5, at least 6 are needed"

    def test_holm_is_over_the_pairs_of_the_metric(self):
        generator = np.random.default_rng(1)
        values = {name: patients(generator.normal(shift, 1, 20)) for name, shift in (("a", 0), ("b", 0.6), ("c", 1))}
        found = paired_test(rows_of_patients("l1", values), "l1")
        assert list(zip(found["model"], found["reference"], strict=True)) == [("b", "a"), ("c", "a"), ("c", "b")]
        order = found["p"].to_numpy().argsort()
        least, middle, most = found["p"].to_numpy()[order]
        by_hand = np.maximum.accumulate([3 * least, 2 * middle, most])
        np.testing.assert_allclose(found["p_holm"].to_numpy()[order], np.minimum(by_hand, 1))

    def test_the_pairs_of_the_claim_are_a_family_of_their_own(self):
        generator = np.random.default_rng(1)
        values = {
            name: patients(generator.normal(shift, 1, 20)) for name, shift in zip("abcd", (0, 0.6, 1, 1), strict=True)
        }
        table = rows_of_patients("l1", values)
        found = paired_test(table, "l1", claim=[("b", "a"), ("a", "c")])
        assert found["family"].tolist() == ["claim", "claim", *["exploratory"] * 4]
        assert found.columns.tolist()[-4:] == ["p", "p_holm", "family", "note"]
        for _, family in found.groupby("family"):
            np.testing.assert_allclose(family["p_holm"], holm(family["p"].to_numpy()))
        assert (found["p_holm"][:2] < paired_test(table, "l1")["p_holm"][:2]).all()
        assert "family" not in paired_test(table, "l1")

    def test_against_a_reference_there_is_a_row_a_model(self):
        values = {name: patients(range(7)) for name in ("a", "b", "floor")}
        found = paired_test(rows_of_patients("l1", values), "l1", ["a", "b"], "floor")
        assert found[["model", "reference"]].to_numpy().tolist() == [["a", "floor"], ["b", "floor"]]

    def test_one_model_has_no_pair(self):
        found = paired_test(rows_of_patients("l1", {"a": patients([1, 2])}), "l1")
        assert found.empty
        assert {"p", "p_holm", "note"} <= set(found.columns)

    def test_what_is_not_in_the_table_is_named(self):
        with pytest.raises(ValueError, match="no model 'x' in the table, which has old, new"):
            paired_test(pair([1]), "l1", ["new", "x"])
        with pytest.raises(ValueError, match="no metric 'vif' in the table, which has case_id"):
            paired_test(pair([1]), "vif")

    def test_an_image_twice_is_refused(self):
        with pytest.raises(ValueError, match="pass the table through comparable"):
            paired_test(pd.concat([pair([1]), pair([1])]), "l1")


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.04, np.nan, 0.01, 0.02])), [0.04, np.nan, 0.03, 0.04])
    assert np.isnan(holm(np.array([np.nan]))).all()
    assert gc.get_freeze_count() == 0  # what the correction set aside is collected again


class TestInterval:
    values = np.random.default_rng(3).lognormal(0, 0.5, 40)

    def test_four_equal_images_of_a_patient_say_no_more_than_one(self):
        once, often = (rows_of_patients("l1", {"a": patients(self.values, images)}) for images in (1, 4))
        one, four = clustered_interval(once, "l1", "a"), clustered_interval(often, "l1", "a")
        assert (one.images, four.images) == (40, 160)
        assert one[:4] == pytest.approx(four[:4])
        assert four.high - four.low == pytest.approx(2 * 1.96 * self.values.std() / math.sqrt(40), rel=0.15)

    def test_it_is_scipys_and_repeats_itself(self):
        assert bootstrap_mean(self.values) == bootstrap_mean(self.values) != bootstrap_mean(self.values, seed=1)
        low, high = bootstrap_mean(self.values)
        assert low < self.values.mean() < high
        assert high - self.values.mean() > self.values.mean() - low  # the values are skewed to the right

    def test_scale_and_shift(self):
        low, high = bootstrap_mean(self.values)
        assert bootstrap_mean(3 * self.values + 1) == pytest.approx((3 * low + 1, 3 * high + 1))

    def test_of_a_difference_it_pairs_the_patients(self):
        noise = np.random.default_rng(4).normal(0, 0.01, 40)
        table = rows_of_patients("l1", {"old": patients(self.values), "new": patients(self.values + noise)})
        found = clustered_interval(table, "l1", "new", "old")
        assert found.mean == pytest.approx(noise.mean())
        assert found.high - found.low < 0.01
        alone = clustered_interval(table, "l1", "new")
        assert alone.high - alone.low > 0.2

    def test_a_constant_has_an_interval_of_no_width(self):
        assert bootstrap_mean(np.full(12, 0.1) + np.arange(12) * 1e-18) == (0.1, 0.1)
        assert bootstrap_mean(np.zeros(12)) == (0, 0)

    def test_too_few_patients_get_a_sentence_instead(self):
        found = clustered_interval(rows_of_patients("l1", {"a": patients([1, 2, 3])}), "l1", "a")
        assert found.mean == 2
        assert np.isnan([found.low, found.high]).all()
        assert found.note == "too few patients for an interval: 3, at least 10 are needed"
        nothing = clustered_interval(rows_of_patients("l1", {"a": patients([math.nan])}), "l1", "a")
        assert math.isnan(nothing.mean)
        assert nothing.patients == 0

    def test_a_table_of_them(self):
        table = rows_of_patients("l1", {"a": patients(self.values), "b": patients(2 * self.values)}).assign(ssim=0.5)
        found = intervals(table, ["l1", "ssim"])
        assert found[["metric", "model"]].to_numpy().tolist() == [[m, n] for m in ("l1", "ssim") for n in "ab"]
        assert found.loc[1, ["mean", "low", "high"]].tolist() == pytest.approx(
            (2 * found.loc[0, ["mean", "low", "high"]]).tolist()
        )


class TestEquivalence:
    differences = np.array([-0.02, 0.01, 0.00, 0.02, -0.01, 0.03, -0.01, 0.02])

    def test_the_two_tests_by_hand(self):
        row = equivalence(pair(self.differences), "l1", "new", "old", margin=0.03)
        error = self.differences.std(ddof=1) / math.sqrt(8)
        upper = stats.t.cdf((self.differences.mean() - 0.03) / error, 7)
        lower = stats.t.sf((self.differences.mean() + 0.03) / error, 7)
        assert row["p_not_worse"] == pytest.approx(upper)
        assert row["p_equivalent"] == pytest.approx(max(upper, lower))
        assert row["high"] - row["difference"] == pytest.approx(stats.t.ppf(0.95, 7) * error)
        assert (row["patients"], row["margin"], row["note"]) == (8, 0.03, "")

    def test_a_reference_of_mean_0_gives_a_row_that_says_so(self):
        row = equivalence(pair(self.differences, base=0.0), "l1", "new", "old")
        assert row["note"] == "the mean of old is 0, and a share of it is no margin: fix one in advance"
        assert row["difference"] == pytest.approx(self.differences.mean())
        assert all(math.isnan(row[name]) for name in ("low", "high", "p_not_worse", "p_equivalent"))
        assert list(row) == list(equivalence(pair(self.differences), "l1", "new", "old"))
        assert equivalence(pair(self.differences, base=0.0), "l1", "new", "old", margin=0.03)["note"] == ""
        for wrong in ({"margin": 0.0}, {"share": 0.0}):
            with pytest.raises(ValueError, match="expected one above 0"):
                equivalence(pair(self.differences), "l1", "new", "old", **wrong)

    def test_the_margin_is_a_twentieth_of_the_reference_unless_told(self):
        assert equivalence(pair(self.differences, base=2.0), "l1", "new", "old")["margin"] == pytest.approx(0.1)
        assert equivalence(pair(self.differences), "l1", "new", "old", share=0.2)["margin"] == pytest.approx(0.2)

    def test_the_interval_and_the_verdict_agree(self):
        for shift in np.linspace(-0.08, 0.08, 9):
            row = equivalence(pair(self.differences + shift), "l1", "new", "old", margin=0.05)
            assert (row["p_not_worse"] < 0.05) == (row["high"] < 0.05)
            assert (row["p_equivalent"] < 0.05) == (row["low"] > -0.05 and row["high"] < 0.05)

    def test_of_a_quality_less_is_worse(self):
        far_better, far_worse = (pair(self.differences + shift, "ssim") for shift in (0.5, -0.5))
        better, worse = (equivalence(table, "ssim", "new", "old", margin=0.05) for table in (far_better, far_worse))
        assert better["p_not_worse"] < 0.001 < 0.999 < worse["p_not_worse"]
        assert min(better["p_equivalent"], worse["p_equivalent"]) > 0.99

    @pytest.mark.parametrize(("same", "not_worse", "equivalent"), [(0, 0, 0), (0.2, 1, 1), (-0.2, 0, 1)])
    def test_without_spread_the_one_difference_decides(self, same, not_worse, equivalent):
        row = equivalence(pair([same] * 8), "l1", "new", "old", margin=0.05)
        assert (row["p_not_worse"], row["p_equivalent"]) == (not_worse, equivalent)
        assert row["note"] == "every patient has the same difference"

    def test_too_few_patients_get_a_sentence_instead(self):
        row = equivalence(pair([0.1, 0.2]), "l1", "new", "old")
        assert math.isnan(row["p_not_worse"])
        assert row["note"] == "too few patients for a p-value: 2, at least 6 are needed"

    def test_what_has_no_worse_and_what_has_no_margin(self):
        with pytest.raises(ValueError, match="'background_bias' is neither an error nor a quality"):
            equivalence(pair([0.1], "background_bias"), "background_bias", "new", "old")
        with pytest.raises(ValueError, match="a margin of 0 for 'l1' of new against old, expected one above 0"):
            equivalence(pair(self.differences), "l1", "new", "old", margin=0)
