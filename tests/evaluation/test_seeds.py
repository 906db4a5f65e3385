"""Models of several seeds, and methods beside the gammas: one row an image, what chance does, and what is said."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from made_up_metrics import cohort, one_row
from made_up_runs import write_runs

from bundle.evaluation import comparable, evidence
from bundle.evaluation.averages import parts_tested
from bundle.evaluation.models import models_of
from bundle.evaluation.report import collect
from bundle.evaluation.report.exhibits import figures, tables
from bundle.evaluation.report.limits import limits
from bundle.evaluation.report.model_size import model_size
from bundle.evaluation.report.provenance import inconsistencies, runs_table, settings_table
from bundle.evaluation.seeds import seed_summary, seeds_of
from bundle.evaluation.tables import LEADING

NAN = math.nan


def rows_of_seeds(of_seed, model="cyclegan", gamma=0.0, **same):
    """``{seed: {case: (l1, virtual contrast)}}`` as rows; a patient an image, real contrasts 0.1, 0.2, ..."""
    return [
        one_row(case, f"of {case}", model, gamma, seed=seed, l1=l1, lesion_contrast_virtual=contrast, **same)
        | {"lesion_contrast_real": 0.1 * (place + 1), "enhancement_missed": float(l1 > 0.25)}
        for seed, cases in of_seed.items()
        for place, (case, (l1, contrast)) in enumerate(cases.items())
    ]


TWO = {0: {"a": (0.1, 0.3), "b": (0.2, 0.1), "c": (0.3, 0.2)}, 1: {"a": (0.3, 0.1), "b": (0.2, 0.2), "c": (0.5, 0.6)}}


class TestMeans:
    def test_an_image_has_the_mean_over_its_seeds(self):
        rows = comparable(pd.DataFrame(rows_of_seeds(TWO))).set_index("case_id")
        assert rows["l1"].to_dict() == pytest.approx({"a": 0.2, "b": 0.2, "c": 0.4})
        assert rows["enhancement_missed"].tolist() == [0.5, 0, 1]  # a share of the seeds
        # of each image's errors, not the error of the mean contrast, which would be 0.1 for a
        assert rows.loc["a", "lesion_contrast_error"] == pytest.approx(0.1)
        assert rows.loc["b", "lesion_contrast_error"] == pytest.approx(0.05)
        assert rows["seeds"].tolist() == [2, 2, 2]
        assert "seed" not in rows

    def test_it_is_the_same_twice_and_one_seed_leaves_no_trace(self):
        raw = pd.DataFrame(rows_of_seeds(TWO))
        once = comparable(raw)
        pd.testing.assert_frame_equal(comparable(once), once)
        alone = raw[raw["seed"] == 1]
        pd.testing.assert_frame_equal(comparable(alone), comparable(alone.drop(columns="seed")))
        assert seeds_of(comparable(alone)) == {}

    def test_one_seed_twice_is_an_error(self):
        rows = rows_of_seeds({0: TWO[0]})
        with pytest.raises(ValueError, match="CycleGAN has case 'a' more than once: give each run its own name, gamma"):
            comparable(pd.DataFrame([*rows, *rows[:1]]))

    def test_models_may_have_other_numbers_of_seeds(self):
        rows = [*rows_of_seeds(TWO), *rows_of_seeds({7: TWO[0]}, "unet_l1", NAN)]
        rows += [one_row(case, f"of {case}", "floor_le", NAN, seed=seed, l1=0.5) for seed in (0, 1) for case in "abc"]
        partly = [*rows, *rows_of_seeds({8: {"a": (0.1, 0.1)}}, "unet_l1", NAN)]
        assert seeds_of(comparable(pd.DataFrame(rows))) == {"CycleGAN": "2", "U-Net, L1": "1"}
        assert seeds_of(comparable(pd.DataFrame(partly))) == {"CycleGAN": "2", "U-Net, L1": "1 to 2"}
        tested = parts_tested(comparable(pd.DataFrame(rows))).set_index("model")["seeds"]
        assert tested.fillna(0).to_dict() == {"CycleGAN": 2, "U-Net, L1": 1, "DES := LE": 0}

    def test_methods_stand_after_the_gammas_in_their_order(self):
        named = {"unet_l1": NAN, "seg_cyclegan": 35.0, "paired": 0.0, "resnet_l1": NAN, "cyclegan": 0.0, "mine": 3.0}
        rows = [one_row("a", "p", model, gamma, l1=0.1) for model, gamma in named.items()]
        expected = ["CycleGAN", "mine g=3", "Seg-CycleGAN g=35", "CycleGAN + paired L1", "ResNet, L1", "U-Net, L1"]
        assert models_of(comparable(pd.DataFrame(rows))) == expected


class TestSummary:
    def test_mean_and_sd_are_over_the_seeds(self):
        found = seed_summary(pd.DataFrame(rows_of_seeds(TWO)), ["l1", "absent"]).set_index("metric")
        row = found.loc["l1"]
        assert row["mean"] == pytest.approx((0.2 + 1 / 3) / 2)
        assert row["sd"] == pytest.approx((1 / 3 - 0.2) / math.sqrt(2))
        assert row[["lowest", "highest"]].tolist() == pytest.approx([0.2, 1 / 3])
        assert row[["model", "seeds", "patients", "images"]].tolist() == ["CycleGAN", 2, 3, 3]
        rs = [np.corrcoef([0.1, 0.2, 0.3], virtual)[0, 1] for virtual in ([0.3, 0.1, 0.2], [0.1, 0.2, 0.6])]
        assert found.loc["lesion_contrast_r", ["lowest", "highest"]].tolist() == pytest.approx(rs)

    def test_seeds_are_compared_on_the_images_that_all_of_them_have(self):
        table = pd.DataFrame(rows_of_seeds({**TWO, 2: {"a": (0.2, 0.1)}}))
        (row,) = seed_summary(table, ["l1"]).query("metric == 'l1'").to_dict("records")
        assert (row["images"], row["mean"]) == (1, pytest.approx(0.2))
        (row, _) = seed_summary(table, ["l1"], cases=["b"]).to_dict("records")  # the third seed has none of these
        assert (row["images"], row["seeds"]) == (1, 2)

    def test_nothing_is_said_of_single_seeds(self):
        assert seed_summary(pd.DataFrame(rows_of_seeds({0: TWO[0]})), ["l1"]).empty
        assert seed_summary(cohort(4), ["l1"]).empty

    def test_evidence_has_it_and_rests_on_the_means(self):
        table = cohort(12)[[*LEADING, "background_l1", "l1"]]
        first, second = table.assign(seed=0), table.assign(seed=1)
        trained = ~second["model"].str.startswith("floor")
        second.loc[trained, "background_l1"] += 0.01
        found = evidence(pd.concat([first, second]), metrics=["background_l1"], resamples=20)
        assert found["seeds"]["sd"].tolist() == pytest.approx([0.01 / 2**0.5] * 3)
        intervals = found["intervals"].set_index(["metric", "model"])["mean"]
        mean = table.query("model == 'cyclegan'")["background_l1"].mean()  # every patient has two images
        assert intervals["background_l1", "CycleGAN"] == pytest.approx(mean + 0.005)
        assert "seeds" not in intervals
        assert found["paired"]["patients"].max() == 12  # women, not women times seeds


def change(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Gammas 0 and 35 with two seeds in each of three folds, and a method with one."""
    root = write_runs(tmp_path_factory.mktemp("seeds") / "RUNS", size=32, gammas=(0, 35))
    for fold in range(3):
        for gamma in (0, 35):
            other = shutil.copytree(root / f"gamma_{gamma}/fold_{fold}", root / f"gamma_{gamma}/seed_12/fold_{fold}")
            table = pd.read_csv(other / "eval/metrics.csv")
            table.loc[~table["model"].str.startswith("floor"), "lesion_l1"] += 0.02
            table.to_csv(other / "eval/metrics.csv", index=False)
            for record in ("models/model.json", "eval/run.json"):
                change(other / record, seed=12)
        other = shutil.copytree(root / f"gamma_0/fold_{fold}", root / f"resnet_l1/fold_{fold}")
        table = pd.read_csv(other / "eval/metrics.csv")
        table["model"] = table["model"].replace("cyclegan", "resnet_l1")
        table.assign(gamma=NAN).to_csv(other / "eval/metrics.csv", index=False)
        change(other / "models/model.json", method="resnet_l1", gamma=None)
        config = json.loads((other / "eval/run.json").read_text())["config"]
        change(other / "eval/run.json", config=config | {"max_epochs": 40, "method": "resnet_l1"})
    (root / "pretrain/resnet_l1/eval").mkdir(parents=True)
    shutil.copy(root / "pretrain/eval/run.json", root / "pretrain/resnet_l1/eval")
    errors = {"mean": 0.1, "folds": {"0": 0.1}, "seeds": {"0": 0.1}}
    choice = {"key": "val_lesion_l1", "gamma": 35, "values": {"0": errors, "35": errors}}
    choice |= {"methods": {"resnet_l1": errors}, "model": "resnet_l1", "overlap": [1]}
    choice["nested"] = {"0": "resnet_l1", "1": "gamma_35"}
    (root / "choice.json").write_text(json.dumps(choice))
    return root


@pytest.fixture(scope="module")
def found(study):
    return collect(study)


@pytest.fixture(scope="module")
def shown(found):
    return tables(found, resamples=20)


class TestReport:
    def test_runs_of_all_seeds_are_gathered(self, found):
        assert found.trained == ["CycleGAN", "Seg-CycleGAN g=35", "ResNet, L1"]
        names = [run.name for run in found.runs]
        assert names[:2] == ["gamma_0/fold_0", "gamma_0/seed_12/fold_0"]
        assert names[-1] == "resnet_l1/fold_2"
        assert [run.name for run in found.pretraining] == ["pretrain", "pretrain/resnet_l1"]
        assert len(found.table) == 12 * 5
        assert seeds_of(found.table) == {"CycleGAN": "2", "Seg-CycleGAN g=35": "2", "ResNet, L1": "1"}
        assert found.images["P000_L_CC"]["CycleGAN"].parts[-4:-2] == ("fold_0", "eval")
        assert "seed_12" not in found.images["P000_L_CC"]["CycleGAN"].parts

    def test_tables_say_how_many_seeds_each_model_has(self, shown):
        by_name = {each.name: each for each in shown}
        said = "mean over its model's seeds: CycleGAN: 2; Seg-CycleGAN g=35: 2; ResNet, L1: 1."
        assert all(said in by_name[name].note for name in ("paper", "lesion", "breast", "agreement"))
        lesion = by_name["seeds"].content.query("metric == 'lesion_l1'").set_index("model")
        assert lesion["sd"].to_dict() == pytest.approx(
            {"CycleGAN": 0.02 / 2**0.5, "Seg-CycleGAN g=35": 0.02 / 2**0.5, "ResNet, L1": NAN}, nan_ok=True
        )
        assert lesion["seeds"].tolist() == [2, 2, 1]
        choice = by_name["choice"].content.set_index("model")
        assert choice["chosen"].to_dict() == {"CycleGAN": "", "Seg-CycleGAN g=35": "", "ResNet, L1": "yes"}
        assert choice["chosen of"].tolist() == ["", "fold 1", "fold 0"]

    def test_what_each_fold_chose_is_tested_on_its_own_test_part(self, found, shown):
        nested = next(each.content for each in shown if each.name == "nested").set_index(["metric", "reference"])
        assert set(nested.index.levels[1]) == {"CycleGAN", "DES := LE", "constant inside the breast"}
        assert set(nested["chosen"]) == {"fold 0: ResNet, L1; fold 1: Seg-CycleGAN g=35"}
        of = found.table.set_index(["model", "fold", "patient_id"])["lesion_l1"].groupby(level=[0, 1, 2]).mean()
        differences = [of["ResNet, L1", 0] - of["CycleGAN", 0], of["Seg-CycleGAN g=35", 1] - of["CycleGAN", 1]]
        row = nested.loc["lesion_l1", "CycleGAN"]
        assert row["difference"] == pytest.approx(pd.concat(differences).mean())
        assert (row["patients"], row["images"]) == (2, 4)  # with a lesion, in folds 0 and 1

    def test_the_sweep_shows_gammas_alone_and_the_chosen_method_its_patients(self, found, shown):
        drawn = figures(found, shown)
        (sweep,) = [each.content for each in drawn if each.name == "gamma"]
        assert [tick.get_text() for tick in sweep.axes[0].get_xticklabels()] == ["0", "35"]
        captions = [each.caption for each in drawn if "patient by" in each.caption]
        assert captions
        assert all("of ResNet, L1" in caption and "pictures are of the first seed" in caption for caption in captions)

    def test_what_is_said_of_them(self, found):
        text = " ".join(limits(found))
        assert "several seeds (11, 12), CycleGAN: 2; Seg-CycleGAN g=35: 2; ResNet, L1: 1." in text
        assert "The model was chosen on validation parts" in text
        assert "fold(s) 1 are the validation part of one run and the test part of another" in text
        note, budget = inconsistencies(found)
        assert budget == (
            "Methods were not trained alike: max_epochs (the paper's 2; ResNet, L1 40). A difference may come from "
            "that."
        )
        assert note.startswith("The runs have 2 different seeds: differences between models may come from that. A")
        assert note.endswith("CycleGAN: 2; Seg-CycleGAN g=35: 2; ResNet, L1: 1.")
        assert "Other methods (ResNet, L1): see Settings." in model_size(found)
        assert "at most 2 epochs" in model_size(found)
        settings = settings_table(found).set_index("name")
        assert settings.loc["max_epochs"].to_dict() == {"the paper's": "2", "ResNet, L1": "40"}
        assert runs_table(found).set_index("run").loc["resnet_l1/fold_0", "method"] == "resnet_l1"
        assert "method" not in runs_table(collect(found.runs[0].folder))

    def test_the_same_seeds_for_every_model_are_no_inconsistency(self, study, tmp_path):
        root = shutil.copytree(study, tmp_path / "RUNS")
        shutil.rmtree(root / "resnet_l1")
        assert inconsistencies(collect(root)) == []
