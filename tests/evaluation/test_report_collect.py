"""What is gathered from a folder of runs, and what is said of it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fire.parser import DefaultParseValue
from made_up_runs import write_runs
from PIL import Image

from bundle.evaluation import report
from bundle.evaluation.report import collect, exhibits
from bundle.evaluation.report.collect import to_json_number
from bundle.evaluation.report.exhibits import figures, tables
from bundle.evaluation.report.limits import left_out, limits
from bundle.evaluation.report.meaning import meaning
from bundle.evaluation.report.model_size import PAPER_SIZE, model_size
from bundle.evaluation.report.pictures import encode_all, read_grey, read_unit
from bundle.evaluation.report.provenance import inconsistencies, runs_table, settings_table, versions_table
from bundle.experiments.check_config import override_problems
from bundle.experiments.command_line import CommandLine

FLOORS = ["DES := LE", "constant inside the breast"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_runs(tmp_path_factory.mktemp("runs") / "RUNS", size=32)


@pytest.fixture
def runs(made, tmp_path):
    return shutil.copytree(made, tmp_path / "RUNS")


@pytest.fixture(scope="module")
def cut(made, tmp_path_factory):
    """A cross-validation of which one run lacks, and its tables."""
    runs = shutil.copytree(made, tmp_path_factory.mktemp("cut") / "RUNS")
    shutil.rmtree(runs / "gamma_35" / "fold_0")
    found = collect(runs)
    return found, tables(found, resamples=20)


def change(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


class TestCollection:
    def test_of_a_cross_validation(self, made):
        found = collect(made)
        assert found.models == ["CycleGAN", "Seg-CycleGAN g=35", "Seg-CycleGAN g=100", *FLOORS]
        assert [run.name for run in found.runs][:4] == [
            *(f"gamma_0/fold_{fold}" for fold in range(3)),
            "gamma_35/fold_0",
        ]
        assert len(found.table) == 12 * 5  # floors once, although nine runs have them
        assert [run.name for run in found.pretraining] == ["pretrain"]
        assert found.notes == inconsistencies(found) == []
        assert found.source() == "Made-up CESM"
        assert set(found.images) == {f"P{n:03d}_L_{view}" for n in range(6) for view in ("CC", "MLO")}
        assert set(found.images["P000_L_CC"]) == {"le", "des", "seg", *found.trained}

    def test_of_one_evaluation_alone(self, made):
        found = collect(made / "gamma_35" / "fold_1" / "eval")
        assert found.trained == ["Seg-CycleGAN g=35"]
        assert found.table["fold"].unique().tolist() == [1]

    def test_of_several_folders(self, made):
        folders = [made / "gamma_0" / "fold_0" / "eval", made / "gamma_35" / "fold_0"]
        assert collect(folders).trained == ["CycleGAN", "Seg-CycleGAN g=35"]

    def test_texts_stay_texts(self, runs):
        path = runs / "gamma_0" / "fold_0" / "eval" / "metrics.csv"
        table = pd.read_csv(path)
        table["patient_id"] = "007"
        table.loc[0, "psnr"] = np.inf
        table.to_csv(path, index=False)
        row = collect(path.parent).table.iloc[0]
        assert row["patient_id"] == "007"
        assert row["psnr"] == np.inf

    def test_earlier_runs_and_reports_are_passed_over(self, runs):
        source = runs / "gamma_0" / "fold_0" / "eval" / "metrics.csv"
        for folder in ("gamma_0/fold_0/eval/former_1", "report", "pretrain/eval"):
            (runs / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, runs / folder)
        assert len(collect(runs).runs) == 9

    def test_the_chosen_gamma_is_shown_and_names_the_patients(self, runs):
        values = {str(gamma): {"mean": gamma / 1000, "folds": {"0": gamma / 1000}} for gamma in (0, 35, 100)}
        choice = {"key": "val_lesion_l1", "gamma": 100, "values": values}
        (runs / "choice.json").write_text(json.dumps(choice))
        found = collect(runs)
        shown = tables(found, resamples=50)
        table = next(each.content for each in shown if each.name == "choice").set_index("gamma")
        assert table["chosen"].to_dict() == {0: "", 35: "", 100: "yes"}
        assert table["fold 0"].to_dict() == table["mean"].to_dict() == {0: 0, 35: 0.035, 100: 0.1}
        captions = [each.caption for each in figures(found, shown) if "patient by" in each.caption]
        assert captions
        assert all("of Seg-CycleGAN g=100" in caption for caption in captions)

    def test_detectability_where_runs_have_it(self, runs, monkeypatch):
        monkeypatch.setattr(exhibits, "evidence", lambda *args, **kwargs: {})
        assert tables(collect(runs)) == []
        for gamma, fold, model, dice, distance in (
            (0, 0, "cyclegan", 0.2, 0.5),
            (0, 1, "cyclegan", 0.4, None),
            (0, 2, "cyclegan", 0.9, None),  # left out: the other model has no value of this fold
            (35, 0, "seg_cyclegan", 0.5, 0.3),
            (35, 1, "seg_cyclegan", 0.7, None),
        ):
            dices = {"real": 0.6 + 0.2 * fold, model: dice, "floor_le": 0.1 + 0.1 * fold, "floor_constant": 0.0}
            record = {"lesion_dice": dices, "kid_random_features": {model: distance, "floor_le": 2.0}}
            path = runs / f"gamma_{gamma}" / f"fold_{fold}" / "eval" / "detectability.json"
            path.write_text(json.dumps(record))
        lesions_none = {"lesion_dice": None, "lesion_dice_reason": "none", "kid_random_features": None}
        (runs / "gamma_35" / "fold_2" / "eval" / "detectability.json").write_text(json.dumps(lesions_none))
        (shown,) = tables(collect(runs))
        assert shown.name == "detectability"
        assert "random weights, not comparable with the KID of other work" in shown.caption
        table = shown.content.set_index("model")
        assert table.index.tolist() == ["real DES", "CycleGAN", "Seg-CycleGAN g=35", "Seg-CycleGAN g=100", *FLOORS]
        dice, sd, folds = "lesion Dice", "Dice, SD", "Dice, folds"
        assert table.loc["real DES", [dice, sd]].tolist() == pytest.approx([0.7, 0.02**0.5])  # fold 0 counts once
        assert table.loc["CycleGAN", [dice, sd]].tolist() == pytest.approx([0.3, 0.02**0.5])
        assert table.loc["DES := LE", [dice, sd]].tolist() == pytest.approx([0.15, 0.005**0.5])
        assert table[folds].tolist() == [2, 2, 2, 0, 2, 2]
        assert np.isnan(table.loc["Seg-CycleGAN g=100", dice])
        assert table.loc[["CycleGAN", "Seg-CycleGAN g=35"], "KID of random features"].tolist() == [0.5, 0.3]
        assert table["KID, folds"].tolist() == [0, 1, 1, 0, 1, 0]
        assert np.isnan(table.loc["real DES", "KID of random features"])

    def test_a_broken_detectability_is_told(self, runs):
        (runs / "gamma_0" / "fold_0" / "eval" / "detectability.json").write_text("{")
        assert "detectability.json cannot be read" in collect(runs).notes[0]

    def test_several_experiments_have_no_common_choice(self, runs):
        (runs / "choice.json").write_text(json.dumps({"gamma": 35, "values": {}}))
        assert collect([runs / "gamma_0", runs / "gamma_35"]).choice == {}

    def test_numbers_for_json(self):
        assert [to_json_number(value) for value in (np.nan, np.inf, -np.inf, 1 / 3, 2)] == [
            None,
            "inf",
            "-inf",
            0.333333,
            2.0,
        ]


class TestWhatIsMissing:
    def test_nothing_was_evaluated(self, tmp_path):
        with pytest.raises(
            FileNotFoundError, match=r"no metrics.csv at or below .*evaluate a model first .python -m monai"
        ):
            collect(tmp_path)

    def test_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"there is no folder .*absent: pass the one of the runs"):
            collect(tmp_path / "absent")

    def test_every_bad_table_is_named(self, runs):
        bad = [runs / f"gamma_{gamma}" / "fold_0" / "eval" / "metrics.csv" for gamma in (0, 35, 100)]
        bad[0].write_text("case_id,model\na,b\n")
        bad[1].write_text("")
        bad[2].write_text(bad[2].read_text().replace("P000,", "P000,", 1).replace("0.", "zero", 1))
        with pytest.raises(ValueError, match="lacks the columns patient_id") as error:
            collect(runs)
        lines = str(error.value).splitlines()
        assert len(lines) == 3
        assert "expected a number or nothing" in lines[1]  # gamma_100 stands before gamma_35
        assert "cannot be read" in lines[2]
        assert all("Remake it: python -m monai.bundle run evaluating" in line for line in lines)

    def test_one_model_twice(self, runs):
        shutil.copytree(runs / "gamma_0" / "fold_0", runs / "again" / "fold_0")
        with pytest.raises(ValueError, match="CycleGAN has case 'P000_L_CC' more than once"):
            collect(runs)

    def test_no_record(self, runs):
        (runs / "gamma_0" / "fold_0" / "eval" / "run.json").unlink()
        (runs / "gamma_0" / "fold_1" / "eval" / "run.json").write_text("{")
        notes = collect(runs).notes
        assert "gamma_0/fold_0/eval/run.json is missing: copy it from where the run was made" in notes[0]
        assert "gamma_0/fold_1/eval/run.json cannot be read" in notes[1]

    def test_no_images(self, runs):
        shutil.rmtree(runs / "gamma_0" / "fold_0" / "eval" / "images")
        (runs / "gamma_35" / "fold_1" / "eval" / "images" / "P001_L_CC_virtual_des.png").unlink()
        found = collect(runs)
        assert "gamma_0/fold_0 kept no images: evaluate it again with --keep_images True" in found.notes[0]
        assert "gamma_35/fold_1 lacks 1 image file(s)" in found.notes[1]
        assert "CycleGAN" not in found.images["P000_L_CC"]
        assert "des" in found.images["P000_L_CC"]  # of another model's folder

    def test_what_is_advised_is_taken(self):
        texts = [path.read_text() for path in Path(report.__file__).parent.iterdir() if path.is_file()]
        advised = [found for text in texts for found in re.findall(r"--(keep_images) (\w+)", text)]
        assert len(advised) == 5
        configs = [str(Path(__file__).parents[2] / "configs" / name) for name in ("train.json", "evaluate.json")]
        for option, value in advised:
            assert override_problems(CommandLine(configs, {option: DefaultParseValue(value)})) == []

    def test_no_floors_and_other_images(self, runs):
        for path in runs.rglob("metrics.csv"):
            table = pd.read_csv(path)
            table[~table["model"].str.startswith("floor")].to_csv(path, index=False)
        shutil.rmtree(runs / "gamma_35" / "fold_0")
        notes = " ".join(collect(runs).notes)
        assert "No run has floors" in notes
        assert "not judged on the same images (CycleGAN 12, Seg-CycleGAN g=35 8, Seg-CycleGAN g=100 12)" in notes
        assert (
            "Tables and figures: only the 8 images of 4 patients in 2 fold(s) that every model was judged on" in notes
        )


class TestNotComplete:
    def test_tables_and_figures_say_what_they_rest_on(self, cut):
        found, shown = cut
        for each in (*shown, *figures(found, shown)):
            said = "Only the 8 images of 4 patients in 2 fold(s)" in each.note
            assert said == (each.name != "test_parts" and "patient by" not in each.caption), each.name
        drawn = {each.name: each.content for each in figures(found, shown)}
        assert drawn.keys() >= {"gamma", "bland_altman", "best_models"}
        assert [axis.get_title().split("\n")[-1] for axis in drawn["bland_altman"].axes] == ["2 patients"] * 3
        rows = {row["model"]: row["images"] for row in left_out(found)}
        assert set(rows.values()) == {8}
        text = " ".join(limits(found))
        assert "Tables and figures rest on 8 images of 4 patients in 2 fold(s); 4 images have a lesion map" in text
        assert "left out: 4 images, 2 whole patients, 1 whole fold(s)" in text
        assert len(found.table["case_id"].unique()) == 12  # the table of all images keeps everything

    def test_patients_shown_are_shared_ones(self, cut):
        found, shown = cut
        (exemplary,) = [each.content for each in shown if each.name == "exemplary"]
        assert not set(exemplary["fold"]) & {0}
        captions = [each.caption for each in figures(found, shown) if "patient by" in each.caption]
        assert all("real lesion contrast +0." in caption for caption in captions)


class TestAreasOfOlderRuns:
    def test_the_kept_map_gives_the_lesion_size(self, made):
        found = collect(made)
        assert "lesion_area" not in found.table
        areas = {case["case_id"]: case["lesion_area"] for case in exhibits._with_areas(found, [])}
        for case_id in found.table.loc[found.table["has_seg"], "case_id"].unique():
            assert areas.pop(case_id) == (read_unit(found.images[case_id]["seg"]) > 0.5).sum()
        assert areas == {}
        of_list = [{"case_id": "P000_L_CC", "density": "B"}]
        (case,) = [c for c in exhibits._with_areas(found, of_list) if c["case_id"] == "P000_L_CC"]
        assert case["density"] == "B"
        assert case["lesion_area"] > 0

    def test_what_the_table_knows_is_not_measured_again(self, made):
        found = collect(made)
        known = dataclasses.replace(found, table=found.table.assign(lesion_area=5.0))
        assert exhibits._with_areas(known, []) == []


class TestModelSize:
    def test_beside_the_paper(self, made):
        assert model_size(collect(made)) == (
            "The models: 32 px, generator width 4, 2 residual blocks, resize up-sampling, at most 2 epochs, "
            f"batches of 1, learning rate 1e-5, no pre-training. The paper: {PAPER_SIZE}."
        )

    def test_runs_that_differ_and_what_is_not_known(self, runs):
        first = runs / "gamma_0" / "fold_0"
        change(first / "models" / "model.json", network={"width": 8})
        change(first / "eval" / "run.json", config={"init_checkpoint": "checkpoint.pt"})
        said = model_size(collect(runs))
        assert "generator width 8 or 4, 2 residual blocks" in said
        assert "pre-trained or no pre-training. The paper" in said

    def test_without_records(self, runs):
        for name in ("run.json", "evaluation.json", "model.json"):
            for path in runs.rglob(name):
                path.unlink()
        assert model_size(collect(runs)) == f"The size of the models is not recorded. The paper: {PAPER_SIZE}."

    def test_as_in_the_paper(self, made):
        card = {"image_size": 256, "network": {"width": 64, "num_blocks": 9, "upsample": "transposed"}}
        config = {"max_epochs": 200, "batch_size": 8, "learning_rate": 1e-5, "init_checkpoint": "checkpoint.pt"}
        found = collect(made)
        run = found.runs[0]._replace(card=card, run={"config": config})
        said = model_size(dataclasses.replace(found, runs=[run]))
        assert said == f"The models: {PAPER_SIZE}, all as in the paper."


class TestMeaning:
    def test_thresholds_and_lengths_are_those_of_the_runs(self, runs):
        said = dict(meaning(collect(runs)))
        assert "at least 0.3) and keeps less than 0.5" in said["missed"]
        assert "Blobs of at least 1 px" in said["invented"]  # 28.3 px at 256 are 0.44 at 32
        for path in runs.rglob("evaluation.json"):
            change(path, config={"evaluate": {"metrics": {"num_sd": 4, "least_share": 0.25}}})
        for path in runs.rglob("model.json"):
            change(path, image_size=256)
        said = dict(meaning(collect(runs)))
        assert "keeps less than 0.25" in said["missed"]
        assert "Blobs of at least 29 px" in said["invented"]
        assert "by 4 SD" in said["invented"]
        assert "3 to 15 px" in said["regions"]
        assert said["difference"].startswith("Model minus reference")


class TestNotFollowed:
    def test_a_slope_that_may_be_0_is_told(self):
        rows = [["CycleGAN", 0.13, -0.33, 0.58], ["Seg-CycleGAN g=35", 0.7, 0.4, 0.9], ["DES := LE", 0.0, -1.0, 1.0]]
        table = pd.DataFrame(rows, columns=["model", "slope", "slope_low", "slope_high"])
        assert exhibits._not_followed(table, ["CycleGAN", "Seg-CycleGAN g=35"]) == (
            "No sign that the virtual lesion contrast of CycleGAN follows the real one: slope 0.13, 95 % interval "
            "-0.33 to 0.58."
        )


class TestProvenance:
    def test_rows_of_runs(self, made):
        table = runs_table(collect(made)).set_index("run")
        assert table.index[0] == "pretrain"
        row = table.loc["gamma_35/fold_2"]
        assert (row["seed"], row["fold"], row["gamma"], row["epochs"], row["judged on"]) == (11, "2", 35, 2, "test")
        assert (row["datalist sha256"], row["data and fold sha256"]) == ("ab" * 8, "cd" * 8)
        assert (row["config sha256"], row["model.pt sha256"]) == ("ef" * 8, "0352" * 4)

    def test_versions_and_settings_stand_together(self, runs):
        change(runs / "gamma_0" / "fold_0" / "eval" / "run.json", versions={"monai": "1.7"})
        found = collect(runs)
        assert versions_table(found).set_index("name").loc["monai", "value"] == "1.6.1, 1.7"
        settings = settings_table(found).set_index("name")["value"]
        assert settings[["gamma", "generator width", "discriminator width", "pre-trained"]].tolist() == [
            *("0, 35, 100", "4", "8", "no"),
        ]
        assert "2 different package or code versions" in inconsistencies(found)[0]

    def test_what_a_reviewer_asks(self, runs):
        first = runs / "gamma_0" / "fold_0"
        change(first / "models" / "model.json", sha256="1" * 64)
        change(first / "eval" / "run.json", state="running", seed=12)
        change(
            runs / "gamma_0" / "fold_1" / "eval" / "evaluation.json",
            part="validation",
            provenance={"datalist_hash": "x"},
        )
        change(runs / "plan.json", runs=[{"state": "done"}, {"state": "failed"}])
        notes = "\n".join(inconsistencies(collect(runs)))
        for part in (
            "2 different datalists",
            "2 different seeds",
            "gamma_0/fold_1 was judged on its validation part",
            "gamma_0/fold_0: model.json belongs to other weights",
            "gamma_0/fold_0: its training is 'running', not completed",
            "1 of the 2 runs of plan.json are not done",
        ):
            assert part in notes

    def test_configs_that_differ_are_named(self, runs):
        path = runs / "gamma_35" / "fold_1" / "eval" / "run.json"
        config = json.loads(path.read_text())["config"]
        change(path, config=config | {"fold": 1, "device": "cuda:1", "ckpt_dir": "elsewhere", "writer": {"x": "/a/b"}})
        assert inconsistencies(collect(runs)) == []
        other = {
            "max_epochs": 3,
            "disc_des": config["disc_des"] | {"width": 16},
            "pool_size": 50,
            "init_checkpoint": "checkpoint.pt",
        }
        change(path, config=config | other)
        evaluation = runs / "gamma_0" / "fold_0" / "eval" / "evaluation.json"
        change(evaluation, config={"evaluate": {"metrics": {"num_sd": 3.0}}})
        another = runs / "gamma_0" / "fold_1" / "eval" / "evaluation.json"
        change(another, config={"evaluate": {"metrics": {"num_sd": 4.0}}})
        assert inconsistencies(collect(runs)) == [
            "The configs of the runs differ in max_epochs, init_checkpoint, disc_des#width, pool_size, "
            "evaluate#metrics#num_sd: differences between models may come from that."
        ]
        change(path, config=config | {f"key{n}": n for n in range(10)})
        assert "key6, key7, 3 more: differences" in inconsistencies(collect(runs))[0]

    def test_another_fold_than_the_file_says(self, runs):
        folds = runs / "data" / "folds.json"
        for path in runs.rglob("run.json"):
            change(path, config={"dataset_dir": str(folds.parent)})
        change(folds, folds=json.loads(folds.read_text())["folds"] | {"P000": 2})
        assert inconsistencies(collect(runs)) == [
            "1 patient(s) were judged in another fold than folds.json gives them: evaluate again."
        ]


class TestLimits:
    def test_counts(self, made):
        found = collect(made)
        text = " ".join(limits(found))
        assert "12 images of 6 patients in 3 fold(s); 6 images have a lesion map" in text
        assert "not a medical device" in text
        assert "trained once, each from one seed (11). The p-values and intervals hold these networks fixed" in text
        assert "the SD over the folds is no standard error" in text
        assert "Intervals of fewer than 50 patients are too narrow" in text
        assert "phantom" not in text

    @pytest.mark.parametrize(("has_seg", "said"), [(True, "all of them have"), (False, "none has")])
    def test_nobody_is_left_when_all_or_none_have_a_map(self, made, has_seg, said):
        found = collect(made)
        alike = dataclasses.replace(found, table=found.table.assign(has_seg=has_seg))
        (text,) = [text for text in limits(alike) if "lesion map" in text]
        assert f"3 fold(s); {said} a lesion map. Images of" in text

    def test_a_phantom_says_nothing_of_patients(self, runs):
        for path in runs.rglob("evaluation.json"):
            change(path, provenance={"datalist": "CESM phantom"})
        found = collect(runs)
        assert found.is_phantom()
        assert "nothing about clinical performance" in limits(found)[1]

    @pytest.mark.parametrize(("chosen_on", "tested", "seen"), [("012", "012", 1), ("0", "0", 0), ("2", "0", 1)])
    def test_a_choice_that_has_seen_the_tested_patients(self, runs, chosen_on, tested, seen):
        # fold 0 validates on the test part of fold 1, fold 2 of 3 on that of fold 0
        values = {"0": {"mean": 0.1, "folds": dict.fromkeys(chosen_on, 0.1)}}
        (runs / "choice.json").write_text(json.dumps({"key": "val_loss", "gamma": 0, "values": values}))
        for fold in set("012") - set(tested):
            for gamma in (0, 35, 100):
                shutil.rmtree(runs / f"gamma_{gamma}" / f"fold_{fold}")
        said = [text for text in limits(collect(runs)) if "the chosen gamma looks a little too good" in text]
        assert len(said) == seen
        assert all("No file of a test part was read" in text for text in said)

    def test_what_is_left_out_is_counted(self, runs):
        path = runs / "gamma_0" / "fold_0" / "eval" / "metrics.csv"
        table = pd.read_csv(path)
        table.loc[0, "psnr"] = np.inf
        table.to_csv(path, index=False)
        rows = {(row["model"], row["column"]): row for row in left_out(collect(runs))}
        assert rows["CycleGAN", "psnr"]["infinite"] == 1
        assert rows["CycleGAN", "lesion_l1"]["not defined"] == 6
        assert ("CycleGAN", "ssim") not in rows


class TestPictures:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "image.png"
        Image.fromarray(np.array([[0, 128, 129], [65535, 32768, 257]], dtype=np.uint16)).save(path)
        return path

    def test_sixteen_bits_to_eight(self, file):
        assert read_grey(file).tolist() == [[0, 0, 1], [255, 128, 1]]
        assert read_unit(file)[1].tolist() == [1.0, 32768 / 65535, 257 / 65535]

    def test_without_loss_while_there_is_room(self, made):
        images = collect(made).images
        kept = encode_all(images)
        assert kept.mime == "image/webp"
        assert "without loss" in kept.form
        small = encode_all(images, size_limit=1)
        assert small.mime == "image/jpeg"
        assert "JPEG of quality 65" in small.form
        assert small.texts["P000_L_CC"]["seg"] == kept.texts["P000_L_CC"]["seg"]  # a map is never compressed with loss

    def test_what_cannot_be_read_is_named(self, file, tmp_path):
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"no picture")
        colour = tmp_path / "colour.png"
        Image.new("RGB", (4, 4)).save(colour)
        kept = encode_all({"a": {"le": file, "des": broken}, "b": {"le": colour}})
        assert set(kept.texts["a"]) == {"le"}
        assert len(kept.unreadable) == 2
        assert "expected a grey image" in kept.unreadable[1]
