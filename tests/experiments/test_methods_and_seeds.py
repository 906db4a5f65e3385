"""Other methods beside the gammas, several seeds, and starts from checkpoints: all in one plan."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from bundle.data import fold_hash, write_folds
from bundle.experiments.choice import choose_model
from bundle.experiments.estimate import seconds_per_epoch
from bundle.experiments.plan import Plan, Run, State
from bundle.experiments.protocol import build_plan

ROOT = Path(__file__).parents[2]
RESNET = str(ROOT / "configs/baselines/resnet_l1.json")


@pytest.fixture
def overlay(tmp_path):
    """Writes an overlay of a method."""

    def write(name, **keys):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"about": "made up", "method": name, **keys}))
        return str(path)

    return write


@pytest.fixture
def planned(tmp_path, phantom):
    def build(**changed) -> Plan:
        arguments = {"dataset_dir": phantom, "gammas": [35], "folds": [0, 1], "root": ROOT} | changed
        return build_plan(tmp_path / "runs", **arguments)

    return build


def names(plan):
    return [run.name for run in plan if run.run_id == "training"]


def test_without_methods_and_seeds_a_plan_is_what_it_was(planned):
    plan = planned(folds=[0])
    assert set(plan.protocol) == {"gammas", "folds", "overrides", "keep_images", "config_files", "stage_1", "stage_2"}
    assert not any("seed" in run.overrides or "method" in run.overrides for run in plan)
    plan.write()
    assert not any({"method", "seed"} & set(run) for run in json.loads((plan.folder / "plan.json").read_text())["runs"])
    assert Plan.read(plan.folder) == plan


def test_methods_stand_beside_the_gammas_and_seeds_go_one_after_the_other(planned, overlay, tmp_path):
    size, mine = tmp_path / "size.json", overlay("mine", gamma=10, learning_rate=0.1)
    size.write_text('{"network_def#width": 4, "max_epochs": 5}')
    plan = planned(
        config_files=[size], methods=[RESNET, mine], seeds=[0, 3], method_overrides={"resnet_l1": {"max_epochs": 40}}
    )
    of_seed_0 = [f"{name}/fold_{fold}" for fold in (0, 1) for name in ("gamma_35", "resnet_l1", "mine")]
    assert names(plan) == [*of_seed_0, *(name.replace("/", "/seed_3/") for name in of_seed_0)]
    run, evaluation = plan["resnet_l1/seed_3/fold_1"], plan["resnet_l1/seed_3/fold_1/eval"]
    # the method's overlay lies over the sizes: its own network wins, sizes that it does not name stay
    assert run.config_files == ["configs/train.json", str(size), "configs/baselines/resnet_l1.json"]
    assert evaluation.config_files == [*run.config_files, "configs/evaluate.json"]
    assert (run.method, run.seed, run.overrides["seed"], run.max_epochs) == ("resnet_l1", 3, 3, 40)
    assert "gamma" not in run.overrides  # its overlay says
    assert [plan[f"{name}/fold_0"].gamma for name in ("gamma_35", "resnet_l1", "mine")] == [35, 0, 10]
    assert [plan[f"{name}/fold_0"].max_epochs for name in ("gamma_35", "mine")] == [5, 5]
    assert plan["gamma_35/fold_0"].overrides["seed"] == 0
    assert plan["mine/fold_0"].overrides["ckpt_dir"].endswith("runs/mine/fold_0/models")
    plan.write()
    assert Plan.read(plan.folder) == plan


def test_methods_and_seeds_are_what_a_plan_is_known_by(planned, overlay):
    mine = overlay("mine")
    bare, plan = planned(), planned(methods=[mine], seeds=[0, 1], method_overrides={"mine": {"max_epochs": 3}})
    assert [line.split(":")[0] for line in plan.differences(bare)] == [
        *(f"config_files.{mine}", "methods.mine.overlays", "methods.mine.overrides.max_epochs", "seeds"),
    ]


def test_overlays_that_are_stacked_are_named_by_both(planned, overlay):
    plan = planned(gammas=[], folds=[0], methods=[[overlay("one", pool_size=50), overlay("two", gamma=0)]])
    (training, _) = plan
    assert training.name == "one+two/fold_0"
    assert [Path(path).stem for path in training.config_files] == ["train", "one", "two"]
    assert training.overrides["method"] == "one+two"
    assert plan.protocol["gammas"] == []


def test_a_method_with_other_networks_has_a_stage_1_of_its_own(planned, overlay, public):
    plan = planned(pretrain_dir=public, folds=[0], methods=[RESNET, overlay("mine", gamma=0)], seeds=[0, 1])
    assert [name for name in names(plan) if name.startswith("pretrain")] == ["pretrain", "pretrain/resnet_l1"]
    first = plan["pretrain/resnet_l1"]
    assert first.config_files == [f"configs/{name}.json" for name in ("train", "pretrain", "baselines/resnet_l1")]
    assert (first.stage, first.overrides["gamma"], first.overrides["dataset_dir"]) == (1, 0, str(public.resolve()))
    for name, stage_1 in (("gamma_35", "pretrain"), ("mine", "pretrain"), ("resnet_l1", "pretrain/resnet_l1")):
        for run in (plan[f"{name}/fold_0"], plan[f"{name}/seed_1/fold_0"]):
            assert run.needs == [stage_1]
            assert run.overrides["init_checkpoint"].endswith(f"runs/{stage_1}/models/checkpoint.pt")
            assert run.config_files[1] == "configs/finetune.json"
    alone = planned(pretrain_dir=public, folds=[0], gammas=[], methods=[RESNET])
    assert names(alone) == ["pretrain/resnet_l1", "resnet_l1/fold_0"]


def test_everything_wrong_is_said_at_once(planned, overlay, tmp_path):
    nameless, broken = tmp_path / "nameless.json", tmp_path / "broken.json"
    nameless.write_text('{"about": "no name"}')
    broken.write_text("{")
    with pytest.raises(ValueError, match=r"cannot start, 12 problem\(s\)") as caught:
        planned(
            methods=[str(nameless), str(broken), overlay("mine"), overlay("mine"), overlay("gamma_3"), 7],
            method_overrides={"mine": {"fold": 1}, "yours": {}, "theirs": 3},
            overrides={"method": "x", "seed": 4},
            seeds=[1, 1],
        )
    for part in (
        'nameless.json names no method. Add "method": "a_name"',
        "broken.json cannot be read as a JSON config",
        "method 'mine' stands 2 times in methods, expected different ones",
        "names its method 'gamma_3', expected small letters",
        "methods has 7, expected an overlay such as",
        "method_overrides names 'yours', expected some of mine",
        "method_overrides of theirs are 3, expected a mapping",
        "method_overrides of mine: fold is set by the protocol. Use --folds",
        "overrides: method is set by the protocol. Use --methods",
        "overrides: seed is set by the protocol. Use --seeds",
        "seeds is [1, 1], expected different whole numbers of at least 0",
    ):
        assert part in str(caught.value)


def test_what_its_trainings_would_refuse_is_said_before_the_first(planned):
    ablation = ROOT / "configs/ablation"
    with pytest.raises(ValueError, match=r"method lesion_weighted: lesion_weight is 10.0, but nothing of this config"):
        planned(methods=[str(ablation / "lesion_weighted.json")])
    with pytest.raises(ValueError, match=r"Pass --method averaged\+resnet_l1"):  # the study's own overlay names one too
        planned(methods=[RESNET], config_files=[ablation / "averaged.json"])


def test_what_does_not_fit_a_method_is_told_with_its_name(planned):
    with pytest.raises(ValueError, match=r"1. method unet_l1: --network_def#num_blocks: the config has no such key"):
        planned(methods=[str(ROOT / "configs/baselines/unet_l1.json")], overrides={"network_def#num_blocks": 2})
    with pytest.raises(ValueError, match=r"gammas is \[\], expected different numbers"):
        planned(gammas=[])


class TestStarts:
    @pytest.fixture
    def checkpoints(self, phantom, tmp_path):
        """Writes what a training on a fold of a study leaves; returns the template."""

        def write(folds=(0, 1), study=phantom, shift=0):
            for fold in folds:
                made_on = fold_hash(study / "datalist.json", study / "folds.json", (fold + shift) % 3)
                path = tmp_path / f"former/gamma_35/fold_{fold}/models/checkpoint.pt"
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.save({"format": 1, **made_on}, path)
            return str(tmp_path / "former/{name}/fold_{fold}/models/checkpoint.pt")

        return write

    def test_each_training_starts_from_its_own_and_another_file_is_another_plan(self, planned, checkpoints):
        template = checkpoints()
        plan = planned(init_checkpoint=template)
        for fold in (0, 1):
            run = plan[f"gamma_35/fold_{fold}"]
            assert run.overrides["init_checkpoint"].endswith(f"former/gamma_35/fold_{fold}/models/checkpoint.pt")
            assert run.config_files == ["configs/train.json", "configs/finetune.json"]
            assert "init_checkpoint" not in plan[f"gamma_35/fold_{fold}/eval"].overrides
            assert run.needs == []
        assert planned(init_checkpoint=template).differences(plan) == []
        path = Path(run.overrides["init_checkpoint"])
        torch.save(torch.load(path) | {"weights": torch.ones(3)}, path)
        (difference,) = planned(init_checkpoint=template).differences(plan)
        assert difference.startswith(f"init_checkpoint.checkpoints.{path}: the plan on disk has")

    def test_another_split_of_the_list_is_refused(self, planned, checkpoints):
        template = checkpoints(shift=1)
        with pytest.raises(
            ValueError, match=r"gamma_35/fold_1 cannot start from .*another split of this list"
        ) as caught:
            planned(init_checkpoint=template)
        assert "2 problem(s)" in str(caught.value)

    def test_another_split_two_stages_back_is_refused_too(self, planned, checkpoints, phantom):
        template = checkpoints(folds=[0])
        path = Path(template.format(name="gamma_35", fold=0))
        other = {**fold_hash(phantom / "datalist.json", phantom / "folds.json", 1)}
        torch.save({"format": 1, "datalist_hash": "public", "data_hash": "x", "init": other}, path)
        with pytest.raises(ValueError, match=r"gamma_35/fold_0 cannot start from .*another split of this list"):
            planned(init_checkpoint=template, folds=[0])

    def test_another_list_is_a_warning(self, planned, checkpoints, public, study, caplog):
        shutil.rmtree(study)
        shutil.copytree(public, study)
        datalist = json.loads((study / "datalist.json").read_text())
        (study / "datalist.json").write_text(
            json.dumps(datalist | {"name": "another", "cases": datalist["cases"][:-1]})
        )
        write_folds(study / "datalist.json", k=3, overwrite=True)
        planned(init_checkpoint=checkpoints(study=study))
        assert "2 checkpoint(s) to start from were trained on another list" in caplog.text

    def test_what_is_not_there_or_not_readable(self, planned, checkpoints, public):
        template = checkpoints(folds=[0])
        with pytest.raises(ValueError, match=r"1 checkpoint\(s\) are not there: .*fold_1.*Train them first"):
            planned(init_checkpoint=template)
        with pytest.raises(ValueError, match=r"has 'gamma', expected only \{name\}, \{fold\}, \{seed\}"):
            planned(init_checkpoint="{gamma}.pt")
        with pytest.raises(ValueError, match="pretrain_dir and init_checkpoint are both given"):
            planned(init_checkpoint=template, folds=[0], pretrain_dir=public)
        Path(template.format(name="gamma_35", fold=0)).write_text("no archive")
        with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
            planned(init_checkpoint=template, folds=[0])


def test_the_choice_is_among_gammas_and_methods_over_folds_and_seeds(tmp_path):
    errors = {
        "gamma_0": ([0.4, 0.6], [0.5, 0.5]),
        "gamma_35": ([0.2, 0.2], [0.6, 0.6]),
        "mine": ([0.1, 0.2], [0.3, 0.2]),
    }
    runs = []
    for name, of_seed in errors.items():
        for seed, of_fold in enumerate(of_seed):
            for fold, error in enumerate(of_fold):
                gamma, method = (0, name) if name == "mine" else (int(name[6:]), None)
                run = Run(f"{name}/{seed}/{fold}", "training", 2, gamma, fold, [], [], {}, method=method, seed=seed)
                runs.append(run)
                place = tmp_path / run.name / "models/model.json"
                place.parent.mkdir(parents=True)
                place.write_text(json.dumps({"validation": {"val_lesion_l1": error, "val_loss": 1}}))
    Plan(tmp_path, {}, runs).write()
    choice = choose_model(tmp_path)
    assert (choice["model"], choice["gamma"], choice["key"]) == ("mine", 35, "val_lesion_l1")
    assert choice["rule"] == "lowest mean over the folds' validation parts and the seeds"
    assert choice["values"]["35"]["mean"] == pytest.approx(0.4)
    assert choice["methods"]["mine"]["folds"] == pytest.approx({0: 0.2, 1: 0.2})
    assert choice["methods"]["mine"]["seeds"] == pytest.approx({0: 0.15, 1: 0.25})
    Plan(tmp_path, {}, [run for run in runs if run.method]).write()
    alone = choose_model(tmp_path)
    assert (alone["model"], alone["gamma"], alone["reason"]) == ("mine", None, "no run with a gamma of its own")


def test_an_epoch_of_a_method_is_measured_by_itself(tmp_path):
    done = {"max_epochs": 10, "epochs": 10, "attempts": 1, "state": State.DONE}
    plain = Run("gamma_0/fold_0", "training", 2, 0, 0, [], [], {}, seconds=60.0, **done)
    other = Run("mine/fold_0", "training", 2, 0, 0, [], [], {}, seconds=10.0, method="mine", **done)
    plan = Plan(tmp_path, {}, [plain, other])
    assert (seconds_per_epoch(plan, 2), seconds_per_epoch(plan, 2, "mine")) == (6, 1)
