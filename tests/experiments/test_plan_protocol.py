"""The paper's protocol as a plan, and all that keeps it from being carried out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from bundle.data import write_folds
from bundle.data.folds import PARTS, fold_items
from bundle.experiments.plan import Plan
from bundle.experiments.protocol import build_plan

ROOT = Path(__file__).parents[2]


@pytest.fixture
def planned(tmp_path, phantom, public):
    def build(**changed) -> Plan:
        arguments = {"dataset_dir": phantom, "pretrain_dir": public, "gammas": [0, 35], "root": ROOT} | changed
        return build_plan(tmp_path / "runs", **arguments)

    return build


def test_stage_1_once_then_fold_by_fold_each_gamma_with_its_evaluation(planned, tmp_path, phantom, public):
    plan = planned(overrides={"max_epochs": 7})
    expected = [f"gamma_{g}/fold_{f}{end}" for f in range(3) for g in (0, 35) for end in ("", "/eval")]
    assert [run.name for run in plan] == ["pretrain", *expected]
    first, training, evaluation = plan["pretrain"], plan["gamma_35/fold_2"], plan["gamma_35/fold_2/eval"]
    folder = (tmp_path / "runs").resolve()
    assert first.config_files == ["configs/train.json", "configs/pretrain.json"]
    assert (first.overrides["gamma"], first.overrides["fold"]) == (0, 0)
    assert first.overrides["datalist"] == str(public.resolve() / "datalist.json")
    assert training.needs == ["pretrain"]
    assert training.config_files == ["configs/train.json", "configs/finetune.json"]
    assert training.overrides["init_checkpoint"] == str(folder / "pretrain/models/checkpoint.pt")
    assert training.overrides["ckpt_dir"] == str(folder / "gamma_35/fold_2/models")
    assert (training.overrides["gamma"], training.overrides["fold"]) == (35, 2)
    assert training.overrides["dataset_dir"] == str(phantom.resolve())
    assert evaluation.needs == ["gamma_35/fold_2"]
    assert evaluation.config_files[-1] == "configs/evaluate.json"
    assert evaluation.overrides["output_dir"] == str(folder / "gamma_35/fold_2/eval")
    assert evaluation.overrides["keep_images"] is True
    assert "detectability" not in evaluation.overrides
    assert {run.max_epochs for run in plan if run.run_id == "training"} == {7}
    assert not folder.exists()  # building writes nothing


def test_without_pretraining_stage_2_starts_from_scratch(planned):
    plan = planned(pretrain_dir=None, folds=[1], gammas=[0.5], keep_images=False)
    assert [run.name for run in plan] == ["gamma_0.5/fold_1", "gamma_0.5/fold_1/eval"]
    training, evaluation = plan
    assert training.needs == []
    assert training.config_files == ["configs/train.json"]
    assert "init_checkpoint" not in training.overrides
    assert "keep_images" not in evaluation.overrides
    assert training.max_epochs == 200  # the config's own


def test_detectability_is_asked_of_the_evaluations_and_is_another_plan(planned):
    bare, plan = planned(folds=[0]), planned(folds=[0], detectability=True)
    asked = {run.name for run in plan if run.overrides.get("detectability") is True}
    assert asked == {run.name for run in plan if run.run_id == "evaluating"} != set()
    assert plan.differences(bare) == ["detectability: the plan on disk has 'nothing', this call True"]
    assert "detectability" not in bare.protocol  # a plan from before the option is still the same plan


def test_overlays_lie_over_both_stages_and_under_the_evaluation(planned, tmp_path):
    overlay = tmp_path / "mine.json"
    overlay.write_text('{"about": "short", "max_epochs": 4, "fold": 1}')
    plan = planned(config_files=[ROOT / "configs/train.json", overlay])
    assert plan["pretrain"].config_files == ["configs/train.json", "configs/pretrain.json", str(overlay)]
    assert plan["gamma_0/fold_0/eval"].config_files == ["configs/train.json", str(overlay), "configs/evaluate.json"]
    assert plan["pretrain"].max_epochs == 4
    was = planned(config_files=[overlay])
    overlay.write_text('{"about": "short", "max_epochs": 5}')
    (difference,) = planned(config_files=[overlay]).differences(was)
    assert difference.startswith(f"config_files.{overlay}: the plan on disk has")


def test_everything_wrong_is_said_at_once(planned, tmp_path, study):
    (study / "folds.json").unlink()
    with pytest.raises(ValueError, match=r"cannot start, 6 problem\(s\)") as caught:
        planned(
            dataset_dir=study,
            pretrain_dir=tmp_path / "nowhere",
            gammas=[0, 0, -1],
            folds=[0, 0],
            config_files=[tmp_path / "lost.json"],
            overrides={"fold": 1},
        )
    for part in (
        "There are no folds",
        "nowhere",
        "gammas is [0, 0, -1], expected different numbers of at least 0",
        "folds is [0, 0], expected different whole numbers",
        "lost.json",
        "fold is set by the protocol. Use --folds.",
    ):
        assert part in str(caught.value)


def test_a_fold_out_of_range_and_an_unknown_key_are_refused(planned):
    with pytest.raises(ValueError, match=r"folds is \[3\], expected different folds from 0 to 2, or all"):
        planned(folds=[3])
    with pytest.raises(ValueError, match=r"--max_epoch: the config has no such key. Did you mean --max_epochs"):
        planned(overrides={"max_epoch": 3})
    assert planned(overrides={"micro_batch_size": None}).protocol["overrides"] == {"micro_batch_size": None}


@pytest.mark.parametrize("which", ["dataset_dir", "pretrain_dir"])
def test_a_leak_planted_in_the_folds_is_refused(which, planned, study, public, tmp_path):
    copy = study if which == "dataset_dir" else Path(shutil.copytree(public, tmp_path / "public"))
    path = copy / "folds.json"
    content = json.loads(path.read_text())
    patient, fold = next(iter(content["folds"].items()))
    # one patient in two folds, which JSON allows: the reader would keep the last one
    path.write_text(path.read_text().replace('"folds": {', f'"folds": {{"{patient}": {(fold + 1) % 3},', 1))
    with pytest.raises(ValueError, match=r"1 patient\(s\) or key\(s\) stand more than once"):
        planned(**{which: copy})
    path.write_text(json.dumps(content | {"folds": {**content["folds"], patient: (fold + 1) % 3}}))
    changed = planned(**{which: copy})  # other folds, each patient in one: no leak, but another plan
    stage = "stage_2" if which == "dataset_dir" else "stage_1"
    assert changed.differences(planned())[0].startswith(f"{stage}.folds_hash: the plan on disk has")


def test_stage_1_must_not_see_the_test_patients_of_stage_2(planned, phantom, study):
    with pytest.raises(ValueError, match=r"--pretrain_dir is the list of --dataset_dir.*would stand in the test parts"):
        planned(pretrain_dir=phantom)
    datalist = json.loads((study / "datalist.json").read_text())
    for case in datalist["cases"]:
        case.update({key: str(phantom / case[key]) for key in ("le", "des") if case[key]})
    datalist["cases"] = datalist["cases"][:-1]
    (study / "datalist.json").write_text(json.dumps(datalist))
    write_folds(study / "datalist.json", k=3, overwrite=True)
    with pytest.raises(ValueError, match=r"--pretrain_dir has 46 image file\(s\) of --dataset_dir"):
        planned(pretrain_dir=study)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"device": "gpu"}, r"device is 'gpu', expected cpu"),
        ({"batch_size": 0}, r"batch_size is 0, expected a whole number of at least 1"),
        ({"image_size": 30}, r"1. image_size is 30, expected a whole number of at least 32"),
        ({"image_size": 40}, r"image_size is 40, but VIF needs images of 41 px"),
        ({"max_epochs": "$1 / 0"}, r"cannot be read: ZeroDivisionError: division by zero"),
        ({"max_epochs": 0, "precision": "half"}, r"cannot start, 2 problem\(s\)"),
    ],
)
def test_what_every_run_would_refuse_is_refused_before_the_first_one(overrides, said, planned):
    with pytest.raises(ValueError, match=said):
        planned(overrides=overrides)


def test_small_images_are_fine_where_vif_is_left_out(planned, tmp_path):
    overlay = tmp_path / "mine.json"
    overlay.write_text('{"about": "small", "image_size": 40}')
    with pytest.raises(ValueError, match="VIF needs"):
        planned(config_files=[overlay])
    bare = json.loads((ROOT / "configs/evaluate.json").read_text())
    bare["evaluate"]["metrics"]["with_vif"] = False
    root = tmp_path / "root"
    shutil.copytree(ROOT / "configs", root / "configs")
    (root / "configs/evaluate.json").write_text(json.dumps(bare))
    assert planned(config_files=[overlay], root=root).runs


def test_a_plan_for_other_machines_may_ask_for_their_devices(planned, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="this machine has no CUDA device"):
        planned(overrides={"device": "cuda:1"})
    assert planned(overrides={"device": "cuda:1"}, here=False).runs


def test_each_run_knows_how_many_pairs_it_goes_through(planned, phantom, public):
    plan = planned()
    for run in plan:
        place = public if run.stage == 1 else phantom
        of_part = {
            part: len(fold_items(place / "datalist.json", place / "folds.json", run.fold, part)) for part in PARTS
        }
        last = "validation" if run.run_id == "training" else "test"
        assert run.pairs == {"training": of_part["training"], last: of_part[last]}


def test_copies_of_images_are_found_under_other_names(planned, study, public, phantom):
    datalist = json.loads((study / "datalist.json").read_text())
    theirs = json.loads((public / "datalist.json").read_text())
    datalist["cases"][0]["des"] = "renamed.png"
    shutil.copy(public / theirs["cases"][3]["des"], study / "renamed.png")
    (study / "datalist.json").write_text(json.dumps(datalist))
    write_folds(study / "datalist.json", k=3, overwrite=True)
    with pytest.raises(ValueError, match=r"--pretrain_dir has 1 image file\(s\) of --dataset_dir \(.*renamed.png\)"):
        planned(dataset_dir=study)
    folds = json.loads((study / "folds.json").read_text())["folds"]
    first, *others = datalist["cases"]
    other = next(case for case in others if folds[case["patient_id"]] != folds[first["patient_id"]])
    shutil.copy(study / other["des"], study / "renamed.png")
    with pytest.raises(ValueError, match=r"--dataset_dir has 1 image file\(s\) with patients of different folds"):
        planned(dataset_dir=study, pretrain_dir=None)


def test_patient_ids_of_both_lists_are_a_warning(planned, caplog):
    planned()
    assert "6 patient id(s) stand in both lists" in caplog.text
    caplog.clear()
    planned(pretrain_dir=None)
    assert caplog.text == ""
