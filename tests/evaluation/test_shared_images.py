"""A cross-validation that is not complete: models are compared on the images that all of them were judged on."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from made_up_metrics import cohort, one_row

from bundle.evaluation import comparable, evidence, shared_images

CYCLEGAN, SEG = "CycleGAN", "Seg-CycleGAN g=35"


def half_done() -> pd.DataFrame:
    """On fold 0 g=35 is worse by 0.02; fold 1, which only CycleGAN has, is harder by 0.2."""
    rows = []
    for number in range(20):
        fold, contrast = number // 10, 0.1 + 0.01 * number
        error = 0.1 + 0.2 * fold + 0.001 * number
        for model, gamma, extra in (("cyclegan", 0, 0.0), ("seg_cyclegan", 35, 0.02), ("floor_le", math.nan, 0.1)):
            if model == "seg_cyclegan" and fold == 1:
                continue
            values = dict.fromkeys(("mse", "l1", "lesion_l1", "background_l1"), error + extra)
            values |= {"lesion_contrast_real": contrast, "lesion_contrast_virtual": contrast + extra}
            values["lesion_area"] = 10.0 + number
            rows.append(one_row(f"p{number:02}_CC", f"p{number:02}", model, gamma, fold, **values))
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def found():
    return evidence(half_done(), resamples=50)


class TestHalfDone:
    def test_what_was_left_out_is_said(self):
        cut = shared_images(comparable(half_done()))
        assert (cut.folds, cut.patients, cut.images) == (1, 10, 10)
        assert cut.note == (
            "Only the 10 images of 10 patients in 1 fold(s) that every model was judged on; left out: 10 images, "
            "10 whole patients, 1 whole fold(s)."
        )
        assert cut.table["fold"].unique().tolist() == [0]
        assert cut.table["model"].value_counts().to_dict() == {CYCLEGAN: 10, SEG: 10, "DES := LE": 10}

    def test_the_worse_model_does_not_look_better(self, found):
        assert found["lesion"]["lesion L1 e-2"].tolist() == ["10.45", "12.45", "20.45"]
        assert found["lesion_by_patient"]["lesion L1 e-2"].tolist() == ["10.45", "12.45", "20.45"]
        assert found["paper"]["MSE e-2"].tolist() == ["10.45", "12.45", "20.45"]

    @pytest.mark.parametrize("name", ["folds", "intervals", "paired", "floors", "equivalence", "agreement"])
    def test_every_table_has_the_same_patients(self, found, name):
        assert set(found[name]["patients"]) == {10}

    def test_strata_and_patients_are_those_of_the_shared_fold(self, found):
        views = found["strata"].query("stratum == 'view'")
        assert set(views["images"]) == {10}
        assert (
            found["strata"].query("stratum == 'lesion size'").groupby(["model", "metric"])["images"].sum().eq(10).all()
        )
        assert found["exemplary"].query("model == @CYCLEGAN")["patient_id"].tolist() == ["p00", "p04", "p09"]
        assert found["exemplary"]["lesion_contrast_real"].tolist()[:3] == pytest.approx([0.1, 0.14, 0.19])

    def test_what_each_was_judged_on_stays_whole(self, found):
        assert found["test_parts"].set_index("model")["images"].to_dict() == {CYCLEGAN: 20, SEG: 10, "DES := LE": 20}


def test_a_complete_one_is_left_as_it_is():
    rows = comparable(cohort(6))
    cut = shared_images(rows)
    assert cut.table is rows
    assert cut[1:] == (0, 0, 0, "")


def test_one_model_alone_shares_all_of_its_images():
    rows = comparable(half_done().query("model != 'seg_cyclegan'"))
    assert shared_images(rows).table is rows


def test_models_that_share_nothing_stand_each_for_itself():
    raw = half_done()
    rows = comparable(raw[(raw["model"] != "cyclegan") | (raw["fold"] == 1)])
    cut = shared_images(rows)
    assert cut.table is rows
    assert cut.note == "The models share no image: each row rests on images of its own, so compare no two of them."
    (tested,) = evidence(rows, resamples=50)["paired"].query("metric == 'l1'").to_dict("records")
    assert tested["patients"] == 0
    assert math.isnan(tested["p"])


def test_floors_alone_are_left_as_they_are():
    rows = comparable(half_done().query("model == 'floor_le'"))
    assert shared_images(rows).table is rows
