"""What checklists say of data and training: true of the study, counted only where hashes prove the list."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from made_up_runs import write_json
from made_up_study import GENERATOR, change, copy_of, row, texts, write_study

from bundle.evaluation.checklists import fill, read_study
from bundle.evaluation.checklists.fill import FACTS
from bundle.evaluation.checklists.study import Known, Lacking
from bundle.evaluation.checklists.transforms_in_words import _WORDS, TECHNICAL, in_words
from bundle.evaluation.checklists.write import as_html
from bundle.networks import PatchDiscriminator, ResnetGenerator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("facts") / "RUNS", skipped=[{"path": "P009.dcm", "reason": "alone"}])


@pytest.fixture(scope="module")
def study(root):
    return read_study(root)


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory):
    moved = copy_of(root, tmp_path_factory.mktemp("trained"))
    (moved / "plan.json").unlink()
    for path in moved.glob("gamma_*/*/eval/*"):
        if path.name != "run.json":
            path.unlink()
    return read_study(moved)


class TestData:
    def test_source_licence_and_counts(self, study):
        said = texts(study, "data_source")
        assert said[0] == "Made-up CESM. Source: Hospital X. Licence: CC BY 4.0."
        assert said[1] == "Made-up CESM: 6 patients, 12 LE / DES pairs, 6 with a lesion map."

    def test_partitions(self, study):
        assert texts(study, "partitions") == [
            "3 folds, seed 7; runs of all of them were begun.",
            "In the 3 fold(s) that were begun: training 2 patients and 4 pairs; validation 2 patients and 4 pairs; "
            "test 2 patients and 4 pairs.",
        ]
        # fold 1: patients 1 and 4 are tested, 2 and 5 validate, 0 and 3 train; 0, 2, 4 have a map, 0 is malignant
        assert texts(study, "fold_sizes")[1] == (
            "Fold 1: training 2 patients, 4 LE / DES pairs, 2 with a lesion map, 2 marked malignant; validation 2 "
            "patients, 4 LE / DES pairs, 2 with a lesion map, 0 marked malignant; test 2 patients, 4 LE / DES pairs, "
            "2 with a lesion map, 0 marked malignant."
        )

    def test_what_is_missing_and_who_they_are(self, study):
        assert texts(study, "missing") == [
            "6 of 12 pairs have no lesion map; they are taken as pairs without a lesion.",
            "Labels missing, in pairs: density 2, birads 8. No case has: pathology.",
        ]
        assert "Age of 6 patients: median 42.5, 40 to 45 years." in texts(study, "characteristics")
        assert "Density, in pairs: B: 10." in texts(study, "characteristics")
        assert "BI-RADS, in pairs: 4 + 3: 2, 5: 2." in texts(study, "characteristics")
        assert texts(study, "exclusions") == ["1 file(s) were left out, each with its reason."]
        assert "Training images have 9 to 12 rows." in texts(study, "files")

    def test_lesions_are_those_that_training_used(self, tmp_path):
        root = write_study(tmp_path / "RUNS", gammas=(0,))
        data = root / "data"
        for path in root.glob("gamma_*/fold_*/eval/run.json"):
            change(path, lambda run: run["provenance"].update(lesions="malignant"))
        study = read_study(root)
        assert data.is_dir()
        assert texts(study, "lesion_selection") == [
            "Lesion maps: maps of pairs that are not marked malignant are dropped."
        ]
        assert "training 2 patients, 4 LE / DES pairs, 2 with a lesion map" in texts(study, "fold_sizes")[1]
        assert "validation 2 patients, 4 LE / DES pairs, 0 with a lesion map" in texts(study, "fold_sizes")[1]

    @pytest.mark.parametrize("file", ["datalist.json", "folds.json"])
    def test_a_list_that_changed_is_not_counted(self, root, tmp_path, file):
        moved = copy_of(root, tmp_path)
        if file == "folds.json":
            change(moved / "data" / file, lambda folds: folds["folds"].update(P000=1))
        else:
            change(moved / "data" / file, lambda datalist: datalist["cases"].pop())
        study = read_study(moved)
        for fact in ("partitions", "disjoint", "fold_sizes", "characteristics", "missing"):
            assert [type(one) for one in FACTS[fact](study)] == [Lacking], fact
            assert "nothing can be counted. Put both back unchanged" in texts(study, fact)[0]

    def test_a_list_that_is_gone(self, root, tmp_path):
        moved = copy_of(root, tmp_path)
        (moved / "data/datalist.json").unlink()
        study = read_study(moved)
        assert texts(study, "disjoint")[0].startswith("Made-up CESM: the list or its folds no longer lie where")

    def test_a_phantom_is_no_patient(self, tmp_path):
        made = {"patients": 6, "seed": 0, "image_size": 16}
        study = read_study(write_study(tmp_path / "RUNS", gammas=(0,), name="CESM phantom", phantom=made))
        said = FACTS["phantom"](study)
        assert "a program (patients 6, seed 0, image_size 16): there are no patients" in said[0].text
        assert said[0].source == "datalist.json: phantom"
        assert "They are the phantom's own truth; nobody drew them." in texts(study, "lesion_maps")
        vars(study)["evidence"] = {}  # takes long, and is of no account here
        assert row(fill("tripod_ai", study), "17").known[0] == said[0]


class TestModel:
    def test_parameters_are_counted(self, study):
        generator, discriminator = (
            sum(p.numel() for p in network.parameters())
            for network in (ResnetGenerator(**GENERATOR), PatchDiscriminator())
        )
        said = texts(study, "architecture")
        assert discriminator == 2_762_689
        assert f"residual blocks 2, upsample resize; {generator:,} parameters each (counted by building it)" in said[0]
        assert "PatchGAN, in channels 1, width 64" in said[1]
        assert "2,762,689 parameters" in said[1]

    def test_training(self, study):
        assert texts(study, "losses") == [
            "Generators: least-squares adversarial + 10 x cycle (L1) + 5 x identity (L1); discriminators: least "
            "squares. Cycle and identity have twins inside the lesion map, weighted by gamma (35) and averaged over "
            "all pixels of the image; with gamma 0 there are none."
        ]
        assert texts(study, "optimisation")[0] == (
            "Adam (betas 0.5, 0.999), learning rate 1e-05, weight decay 1e-05, batches of 8 pairs, at most 200 "
            "epochs; learning rate constant."
        )
        assert texts(study, "initialisation")[0] == "Networks start from random weights, PyTorch's own; seed 11."
        assert (
            "judged after every epoch; the first 50 are not judged; a run stops after 50"
            in texts(study, "epoch_choice")[0]
        )
        assert texts(study, "epoch_choice")[2].startswith("6 of 6 completed runs kept their last epoch")
        assert texts(study, "hardware") == [
            "2 cores of A Processor 7; one B Card of 24 GB a process.",
            "Trained on the CPU: this build of PyTorch knows no GPU.",
        ]

    def test_a_warm_up_is_told_where_there_was_one(self, root, tmp_path):
        moved = copy_of(root, tmp_path)
        for path in moved.glob("gamma_*/fold_*/eval/run.json"):
            change(path, lambda run: run["config"].update(warmup_epochs=0))
        with_it, without = texts(read_study(root), "epoch_choice"), texts(read_study(moved), "epoch_choice")
        assert with_it[2].endswith("better one, or the warm-up was never over.")
        assert without[2].endswith("a longer training might have found a better one.")
        assert "judged after every epoch; a run stops after 50 epochs without" in without[0]

    def test_plain_cyclegan_has_no_masked_losses(self, tmp_path):
        study = read_study(write_study(tmp_path / "RUNS", gammas=(0,)))
        assert texts(study, "technique") == ["Trained here: CycleGAN."]
        assert texts(study, "losses")[0].endswith("No masked losses (gamma 0).")

    def test_a_commit_with_changes_is_asked_about(self, study):
        said = FACTS["code"](study)
        assert Known("Commit: 0123abc, changed.", "eval/run.json: versions#commit") in said
        assert any(isinstance(one, Lacking) and "publish the changes" in one.text for one in said)

    def test_plan_and_choice(self, root, tmp_path):
        moved = copy_of(root, tmp_path)
        protocol = {"gammas": [0, 35], "folds": [0, 1, 2], "config_files": {"configs/train.json": "ab" * 32}}
        protocol["overrides"] = {"max_epochs": 2, "cache_dir": str(tmp_path)}
        write_json(moved / "plan.json", {"protocol": protocol, "runs": [{"state": "done"}, {"state": "failed"}]})
        values = {"0": {"mean": 0.25, "folds": {"0": 0.25}}, "35": {"mean": 0.125, "folds": {"0": 0.125}}}
        write_json(moved / "choice.json", {"gamma": 35.0, "rule": "lowest mean", "key": "val_loss", "values": values})
        study = read_study(moved)
        assert texts(study, "gamma_choice") == ["Gamma 35 was chosen: lowest mean, of val_loss (0: 0.25, 35: 0.125)."]
        assert texts(study, "protocol")[0].endswith(
            "gammas 0, 35; folds 0, 1, 2; overrides max_epochs 2, cache_dir (a path). 1 of its 2 runs (trainings and "
            "evaluations) are done."
        )
        assert "1 of the 2 runs of plan.json are not done" in " ".join(texts(study, "oddities"))

    def test_transforms_of_the_bundle_have_words(self):
        config = json.loads((ROOT / "configs/train.json").read_text(encoding="utf-8"))
        chain = [*config["deterministic_transforms"], *config["random_transforms"]]
        assert {one["_target_"].rsplit(".", 1)[-1] for one in chain} <= {*TECHNICAL, *_WORDS}
        assert in_words(config["deterministic_transforms"], config) == (
            "zero-padded to a square on the side of the air; LE and DES clipped, each to its own display window (one "
            "that has none, as JPEG and PNG, is not clipped); each of LE and DES scaled from its minimum and maximum "
            "to [0, 1]; shrunk to 256 x 256 pixels by area averaging, lesion maps so that a pixel counts where "
            "lesions cover half of it and no lesion is lost"
        )

    def test_other_transforms_by_their_numbers(self):
        chain = [
            {
                "_target_": "bundle.transforms.ContrastStretchd",
                "keys": ["le"],
                "method": "percentile",
                "percentiles": [2, 98],
            },
            {"_target_": "bundle.transforms.ContrastStretchd", "keys": ["le"], "window": [2000, 1500]},
            {"_target_": "RandGaussianNoised", "keys": ["le"], "std": "@noise"},
            {"_target_": "Rotate90d", "_disabled_": True},
        ]
        assert in_words(chain, {"noise": 0.1}) == (
            "LE and DES clipped, each to the percentiles 2 and 98 of its breast; LE and DES clipped to the window "
            "2000 (width 1500), in the units of the file; RandGaussianNoised (std 0.1)"
        )


class TestWithoutAnEvaluation:
    def test_the_command_is_named(self, trained):
        for fact in ("performance", "failures", "external", "limitations", "tested_size", "by_fold"):
            said = FACTS[fact](trained)
            assert [type(one) for one in said] == [Lacking], fact
            assert "Nothing was evaluated yet: python -m monai.bundle run evaluating" in said[0].text

    def test_data_and_training_are_known_all_the_same(self, trained):
        assert texts(trained, "partitions")[0] == "3 folds, seed 7; runs of all of them were begun."
        assert texts(trained, "duration")[0] == "6 of 6 trainings are completed."
        assert as_html(fill("claim_2024", trained)).count("Nothing was evaluated yet") > 5

    def test_a_card_in_another_folder_counts_where_it_is_of_that_training(self, root, tmp_path):
        moved = copy_of(root, tmp_path)
        run = shutil.move(moved / "gamma_35/fold_1/eval", tmp_path / "alone")
        card = shutil.move(moved / "gamma_35/fold_1/models", tmp_path / "weights") / "model.json"
        for name in ("metrics.csv", "evaluation.json"):
            (run / name).unlink()
        data_hash = json.loads((run / "run.json").read_text())["provenance"]["data_hash"]
        change(card, lambda model: model.update(data_hash=data_hash))
        change(run / "run.json", lambda record: record["config"].update(ckpt_dir=str(tmp_path / "weights")))
        assert texts(read_study(run), "comparison") == ["One weight gamma of the masked losses was trained: 35."]
        assert "1 model(s) of this study" in texts(read_study(run), "weights")[1]
        change(card, lambda model: model.update(data_hash="00"))
        assert texts(read_study(run), "weights") == ["No trained model was found: there is no models/model.json."]

    def test_an_inference_is_no_training(self, trained, tmp_path):
        write_json(tmp_path / "run.json", {"state": "completed", "model": {"sha256": "ab"}})
        with pytest.raises(FileNotFoundError, match=r"no run.json of a training and no metrics.csv"):
            read_study(tmp_path)

    def test_one_that_is_not_evaluated_is_named(self, root, tmp_path):
        moved = copy_of(root, tmp_path)
        for name in ("metrics.csv", "evaluation.json"):
            (moved / "gamma_35/fold_2/eval" / name).unlink()
        said = FACTS["numbers"](read_study(moved))
        assert said[-1] == Lacking(
            "Trained or begun, and not evaluated: gamma_35/fold_2. To do so, go on with the plan: the call of python "
            "-m scripts.cross_validate that began it."
        )
