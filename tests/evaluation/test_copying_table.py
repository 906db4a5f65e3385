"""The copying of LE and the correlation of lesion contrast, from rows to the report's tables."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from made_up_metrics import cohort, one_row
from made_up_runs import write_runs

from bundle.evaluation import agreement, comparable, evidence
from bundle.evaluation.agreement import clustered_correlation, correlation_differences
from bundle.evaluation.copying import COLUMNS, copying
from bundle.evaluation.report import collect, exhibits
from bundle.evaluation.report.exhibits import Exhibit
from bundle.evaluation.report.write import _write_beside

FLOORS = ["DES := LE", "constant inside the breast"]
NAN = math.nan


def correlations(lesion: tuple[float, float], background: tuple[float, float]) -> dict[str, float]:
    """(virtual, real) of both regions as columns."""
    found = {}
    for region, (virtual, real) in {"lesion": lesion, "background": background}.items():
        found |= {f"{region}_le_correlation_virtual": virtual, f"{region}_le_correlation_real": real}
    return found


def with_correlations(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Columns of a made-up table: real 0.4 and 0.2 a patient and noise, CycleGAN 0.5 above, the others as the real."""
    generator = np.random.default_rng(seed)
    cases = table["case_id"].drop_duplicates()
    found = table.copy()
    for region, level in {"lesion": 0.4, "background": 0.2}.items():
        real = found["case_id"].map(pd.Series(level + generator.normal(0, 0.05, len(cases)), index=cases))
        virtual = real + 0.5 * (found["model"] == "cyclegan") + 0.01
        virtual = virtual.mask(found["model"] == "floor_le", 1.0).mask(found["model"] == "floor_constant")
        known = found["has_seg"] | (region != "lesion")
        found[f"{region}_le_correlation_virtual"] = virtual.where(known)
        found[f"{region}_le_correlation_real"] = real.where(known)
    return found


class TestCopying:
    def test_by_hand_each_patient_has_one_vote(self):
        rows = [
            one_row("a1", "a", **correlations((0.9, 0.5), (0.8, 0.0))),
            one_row("a2", "a", **correlations((0.7, 0.5), (NAN, 0.2))),  # the virtual DES does not vary there
            one_row("b1", "b", **correlations((0.2, 0.4), (0.4, 0.1))),
        ]
        lesion, background = copying(comparable(pd.DataFrame(rows))).to_dict("records")
        assert tuple(lesion) == COLUMNS
        assert [lesion[key] for key in ("model", "region", "patients", "images")] == ["CycleGAN", "lesion", 2, 3]
        assert [lesion[key] for key in ("virtual", "real")] == pytest.approx([(0.8 + 0.2) / 2, (0.5 + 0.4) / 2])
        assert lesion["difference"] == pytest.approx((0.3 - 0.2) / 2)
        assert [background[key] for key in ("patients", "images")] == [2, 2]
        values = [background[key] for key in ("virtual", "real", "difference")]
        assert values == pytest.approx([0.6, 0.05, 0.55])  # of the images that have both
        assert math.isnan(lesion["low"])
        assert lesion["note"] == "too few patients for an interval: 2, at least 10 are needed"

    def test_of_a_cohort_models_stand_in_their_order_and_floors_last(self):
        found = copying(comparable(with_correlations(cohort(30))), resamples=200)
        models = ["CycleGAN", "Seg-CycleGAN g=35", "Seg-CycleGAN g=100", FLOORS[0]]  # a constant has no correlation
        assert found["model"].tolist() == [model for model in models for _ in range(2)]
        by = found.set_index(["model", "region"])
        copy = by.loc[("CycleGAN", "lesion")]
        assert (copy["patients"], copy["images"]) == (15, 30)
        assert [copy[key] for key in ("difference", "low", "high")] == pytest.approx([0.51] * 3)  # of every patient
        floor = by.loc[("DES := LE", "background")]
        assert floor["virtual"] == 1
        assert 0.7 < floor["low"] < floor["difference"] < floor["high"] < 0.9

    def test_a_region_without_a_value_and_an_older_table_have_no_rows(self):
        older = comparable(cohort(4))
        assert copying(older).empty
        assert tuple(copying(older).columns) == COLUMNS
        without_lesions = with_correlations(cohort(6)).query("not has_seg")
        assert set(copying(comparable(without_lesions))["region"]) == {"background"}

    def test_rows_of_older_runs_beside_newer_ones_are_left_out(self):
        newer = one_row("a", "a", "seg_cyclegan", 35.0, **correlations((0.6, 0.5), (0.3, 0.2)))
        floor = one_row("a", "a", "floor_le", NAN)
        newer_floor = floor | correlations((1.0, 0.5), (1.0, 0.2))
        rows = pd.DataFrame([one_row("a", "a"), floor, newer, newer_floor])
        found = copying(comparable(rows)).set_index(["model", "region"])
        assert list(found.index) == [
            (model, region) for model in ("Seg-CycleGAN g=35", "DES := LE") for region in ("lesion", "background")
        ]
        assert found.loc[("Seg-CycleGAN g=35", "lesion"), "difference"] == pytest.approx(0.1)
        assert found.loc[("DES := LE", "background"), "virtual"] == 1  # of the run that knows it


def pairs(of_patients: dict[str, list[tuple[float, float]]]) -> pd.DataFrame:
    rows = [(0, p, f"{p}{n}", *pair) for p, values in of_patients.items() for n, pair in enumerate(values)]
    names = ["fold", "patient_id", "case_id", "real", "virtual"]
    return pd.DataFrame(rows, columns=names).set_index(names[:3])


def contrasts(virtual: dict[str, list[np.ndarray]], real: np.ndarray) -> list[dict]:
    """``{model: a seed's virtual contrasts}`` as rows, a patient an image."""
    return [
        one_row(f"{n:02}", f"{n:02}", model, 0.0, seed=seed, lesion_contrast_real=x, lesion_contrast_virtual=y)
        for model, of_seeds in virtual.items()
        for seed, values in enumerate(of_seeds)
        for n, (x, y) in enumerate(zip(real, values, strict=True))
    ]


class TestCorrelationOfLesionContrast:
    def test_by_hand_over_images(self):
        # deviations (-1, 0, 1) and (-1, -1, 2): 3 / sqrt(2 * 6)
        r, low, high = clustered_correlation(pairs({"a": [(0.1, 0.2), (0.2, 0.2)], "b": [(0.3, 0.5)]}))
        assert r == pytest.approx(3 / math.sqrt(12))
        assert math.isnan(low)
        assert math.isnan(high)

    @pytest.mark.parametrize(
        ("found", "why"),
        [
            ({"a": [(0.1, 0.2)], "b": [(0.2, 0.1)]}, "two images lie on a line"),
            ({"a": [(0.1, 0.2), (0.2, 0.2)], "b": [(0.4, 0.2)]}, "a constant"),
            ({}, "no lesion"),
        ],
    )
    def test_without_three_images_that_vary_there_is_none(self, found, why):
        assert all(map(math.isnan, clustered_correlation(pairs(found)))), why

    def test_a_straight_line_has_no_doubt(self):
        line = pairs({f"p{n}": [(n / 20, 0.1 + n / 40)] for n in range(12)})
        assert clustered_correlation(line) == pytest.approx((1.0, 1.0, 1.0))

    def test_an_image_more_of_every_patient_adds_no_certainty(self):
        generator = np.random.default_rng(0)
        real = generator.uniform(0, 0.4, 25)
        virtual = 0.5 * real + generator.normal(0, 0.07, 25)
        once = {f"p{n:02}": [(x, y)] for n, (x, y) in enumerate(zip(real, virtual, strict=True))}
        r, low, high = clustered_correlation(pairs(once), resamples=500)
        assert low < r < high
        assert r == pytest.approx(np.corrcoef(real, virtual)[0, 1])
        repeated = clustered_correlation(pairs({name: 4 * values for name, values in once.items()}), resamples=500)
        assert repeated == pytest.approx((r, low, high))

    def test_of_several_seeds_it_is_the_mean_of_their_own(self):
        generator = np.random.default_rng(0)
        real = generator.uniform(0, 0.4, 30)
        virtual = [0.5 * real + generator.normal(0, 0.1, 30) for _ in range(2)]
        table = comparable(pd.DataFrame(contrasts({"cyclegan": [virtual[0]]}, real)))
        rows = pd.DataFrame(contrasts({"cyclegan": virtual}, real))
        (row,) = agreement(comparable(rows), resamples=300, runs=rows).to_dict("records")
        own = [np.corrcoef(real, one)[0, 1] for one in virtual]
        assert row["r"] == pytest.approx(np.mean(own))
        assert row["r_of_mean"] == pytest.approx(np.corrcoef(real, np.mean(virtual, axis=0))[0, 1])
        assert row["r_of_mean"] > max(own)
        assert row["r_low"] < row["r"] < row["r_high"]
        assert "r_of_mean" not in agreement(table, resamples=20)
        several = evidence(rows, resamples=20)["seeds"].set_index("metric")
        assert several.loc["lesion_contrast_r", "mean"] == pytest.approx(row["r"])

    def test_a_difference_is_paired_by_patient(self):
        generator = np.random.default_rng(0)
        real, noise = generator.uniform(0, 0.4, 40), generator.normal(0, 0.2, 40)
        models = {
            "cyclegan": [real + noise],
            "unet_l1": [real + 0.8 * noise, real + 0.9 * noise],
            "mine": [real + noise],
        }
        rows = pd.DataFrame([*contrasts(models, real), *contrasts({"floor_constant": [np.full(40, 0.1)]}, real)])
        table = comparable(rows)
        found = correlation_differences(table, ["CycleGAN", FLOORS[1]], rows, resamples=300)
        assert found[["model", "reference"]].to_numpy().tolist() == [
            *(["mine", "CycleGAN"], ["U-Net, L1", "CycleGAN"]),
            *([model, FLOORS[1]] for model in ("CycleGAN", "mine", "U-Net, L1")),
        ]
        same, better = found.to_dict("records")[:2]
        assert [same[key] for key in ("difference", "low", "high")] == pytest.approx([0, 0, 0])
        whole = agreement(table, resamples=300, runs=rows).set_index("model")
        assert better["r"] == pytest.approx(whole.loc["U-Net, L1", "r"])
        assert better["difference"] == pytest.approx(better["r"] - better["r_reference"])
        assert 0 < better["low"] < better["difference"] < better["high"]
        # the noise is shared: the interval is far narrower than that of either
        assert better["high"] - better["low"] < 0.5 * np.ptp(whole.loc["CycleGAN", ["r_low", "r_high"]])
        assert found["difference"][2:].isna().all()
        assert set(found["note"][2:]) == {"a contrast does not vary, or there are fewer than three images"}

    def test_it_stands_in_the_agreement(self):
        table = comparable(cohort(30))
        found = agreement(table, resamples=200).set_index("model")
        model = found.loc["Seg-CycleGAN g=35"]
        rows = table[(table["model"] == "Seg-CycleGAN g=35") & table["has_seg"]]
        expected = np.corrcoef(rows["lesion_contrast_real"], rows["lesion_contrast_virtual"])[0, 1]
        assert model["r"] == pytest.approx(expected)
        assert model["r_low"] < model["r"] < model["r_high"]
        assert (model["patients"], model["images"]) == (15, 30)
        assert math.isnan(found.loc["constant inside the breast", "r"])  # the same contrast everywhere


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The tables of a report by name, written below ``tables`` of the folder; most of the evidence is left out."""
    runs = write_runs(tmp_path / "RUNS", size=32, gammas=(0, 35), images=False)

    def write(change=lambda table: table) -> dict[str, Exhibit]:
        for path in runs.rglob("metrics.csv"):
            change(pd.read_csv(path)).to_csv(path, index=False)
        found = collect(runs)
        monkeypatch.setattr(
            exhibits, "evidence", lambda *args, **kwargs: {"agreement": agreement(found.table, resamples=50)}
        )
        shown = exhibits.tables(found, resamples=50)
        _write_beside(tmp_path, shown, [])
        return {exhibit.name: exhibit for exhibit in shown}

    return write


class TestReport:
    def test_the_table_stands_there_and_beside_the_page(self, written, tmp_path):
        shown = written(with_correlations)
        assert shown["copying"].title == "Is the virtual DES a copy of LE?"
        assert shown["copying"].open
        table = pd.read_csv(tmp_path / "tables/copying.csv")
        assert table.columns.tolist() == list(COLUMNS)
        assert set(table["model"]) == {"CycleGAN", "Seg-CycleGAN g=35", "DES := LE"}
        lines = (tmp_path / "tables/copying.md").read_text(encoding="utf-8").splitlines()
        assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
            *("model", "region", "patients", "images", "virtual, with LE", "real, with LE", "difference"),
            *("95 % low", "95 % high", "note"),
        ]
        assert [cell.strip() for cell in lines[2].split("|")[1:5]] == ["CycleGAN", "lesion", "3", "6"]
        assert [cell.strip() for cell in lines[2].split("|")[7:10]] == ["0.510", "–", "–"]  # too few for an interval
        latex = (tmp_path / "tables/copying.tex").read_text(encoding="utf-8")
        assert r"95 \% low" in latex
        assert latex.count(r"\midrule") == 2  # below the heading and above the floors

    def test_older_runs_make_a_report_without_it(self, written, tmp_path):
        assert list(written()) == ["agreement"]
        assert not (tmp_path / "tables/copying.csv").exists()
        assert {"r", "r_low", "r_high"} <= set(pd.read_csv(tmp_path / "tables/agreement.csv"))
        assert "r, 95 % low" in (tmp_path / "tables/agreement.md").read_text(encoding="utf-8")
