"""Every config runs an epoch at a small size on the CPU, and has what monai.bundle asks for."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image
from workflows_support import ROOT, config_files

from bundle.data import fold_items
from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights


def _workflow(names, study, folder, kind="train", run_id="run", **overrides):
    files = config_files(*names)
    workflow = ConfigWorkflow(
        config_file=json.loads(files.replace("'", '"')),
        logging_file=False,
        workflow_type=kind,
        run_id=run_id,
        dataset_dir=str(study),
        output_dir=str(folder / "eval"),
        **overrides,
    )
    workflow.initialize()
    return workflow


def _trained(names, study, folder, **overrides):
    workflow = _workflow(names, study, folder, run_id="training", ckpt_dir=str(folder / "models"), **overrides)
    assert workflow.check_properties() == []
    workflow.run()
    workflow.finalize()
    return workflow


@contextmanager
def refused(match):
    """A check's ValueError, around which monai.bundle wraps an error of its own."""
    with pytest.raises(RuntimeError) as caught:
        yield
    assert isinstance(caught.value.__cause__, ValueError)
    assert re.search(match, str(caught.value.__cause__))


@pytest.mark.parametrize(
    ("names", "gamma"),
    [
        (["train.json"], 35),
        (["train.json", "quickstart.json"], 35),
        (["train.json", "fast.json"], 35),
        (["train.json", "pretrain.json"], None),
        (["train.json", "ablation/gamma_0.json"], None),
        (["train.json", "ablation/gamma_35.json"], 35),
        (["train.json", "ablation/gamma_100.json"], 100),
    ],
)
def test_training_configs(names, gamma, study, tmp_path):
    workflow = _trained(names, study, tmp_path)
    trainer = workflow.trainer
    assert trainer.state.epoch == 1
    for state in (trainer.state, workflow.evaluator.state):
        assert ("loss_lesion_cycle" in state.output) == (gamma is not None)
    card = json.loads((tmp_path / "models/model.json").read_text())
    assert card["gamma"] == (gamma or 0)
    assert card["image_size"] == 32
    assert (tmp_path / "models/checkpoint.pt").is_file()
    assert list((tmp_path / "eval/panels").glob("panel_epoch_0001.png"))
    assert list((tmp_path / "eval/tensorboard").iterdir())
    record = json.loads((tmp_path / "eval/run.json").read_text())
    assert record["state"] == "completed"
    assert record["provenance"]["data_hash"] == card["data_hash"]


BEYOND = {
    "paired": {"loss_paired"},
    "structural": {"loss_structural"},
    "lesion_discriminator_concatenate": set(),
    "lesion_discriminator_weight": {"loss_adversarial_lesion", "loss_disc_des_lesion", "loss_disc_le_lesion"},
    "lesion_discriminator_crops": {"loss_adversarial_crops", "loss_disc_crops"},
    "gamma_by_area": {"loss_lesion_cycle", "loss_lesion_identity"},
    "gamma_by_ratio": {"loss_lesion_cycle", "loss_lesion_identity"},
    "gamma_by_dual": {"loss_lesion_cycle", "loss_lesion_identity"},
    "averaged": set(),
    "resize": set(),
    "pool_decay": set(),
}
OF_THE_PAPER = {"gamma_0", "gamma_35", "gamma_100"}


def test_every_ablation_is_tried():
    overlays = {path.stem for path in (ROOT / "configs/ablation").glob("*.json")}
    assert overlays == OF_THE_PAPER | set(BEYOND) | {"lesion_weighted"}


@pytest.mark.parametrize("name", BEYOND)
def test_an_ablation_beyond_the_paper_trains(name, study, tmp_path):
    workflow = _trained(["train.json", f"ablation/{name}.json"], study, tmp_path)
    found = {key for key in workflow.trainer.state.output if key.startswith("loss")}
    plain = {f"loss_{term}" for term in ("adversarial_des", "adversarial_le", "cycle", "identity")}
    paper = {"loss_lesion_cycle", "loss_lesion_identity"} if workflow.parser.get_parsed_content("gamma") else set()
    assert found == plain | paper | BEYOND[name] | {"loss", "loss_disc_des", "loss_disc_le"}
    card = json.loads((tmp_path / "models/model.json").read_text())
    assert card["method"] == name
    generator = ResnetGenerator(width=4, num_blocks=1, upsample=card["network"]["upsample"])
    generator.load_state_dict(torch.load(tmp_path / "models/model.pt", weights_only=True))  # LE alone goes in


def test_a_stack_of_overlays_trains(study, tmp_path):
    names = ["baselines/resnet_l1.json", "ablation/lesion_weighted.json", "ablation/structural.json"]
    method = "resnet_l1+lesion_weighted+structural+averaged"
    workflow = _trained(["train.json", *names, "ablation/averaged.json"], study, tmp_path, method=method)
    card = json.loads((tmp_path / "models/model.json").read_text())
    assert (card["method"], card["name"]) == (method, f"{method}, LE to virtual DES")
    output = workflow.trainer.state.output
    assert {key for key in output if key.startswith("loss")} == {"loss", "loss_paired", "loss_structural"}
    assert workflow.trainer.objective.lesion_weight == 10


def test_names_come_from_the_method(study, tmp_path):
    def named(overlay, **overrides):
        overrides |= {"ckpt_dir": str(tmp_path), "bundle_root": str(tmp_path)}
        parser = _workflow(["train.json", *overlay], study, tmp_path, **overrides).parser
        tags = parser.get_parsed_content("train#handlers#9").tags
        return [parser.get_parsed_content(key) for key in ("train#card#name", "run_name")] + [tags["method"]]

    assert named([]) == ["Seg-CycleGAN LE to virtual DES", "gamma 35, fold 0, seed 0", "null"]
    assert named(["baselines/resnet_l1.json"]) == [
        "resnet_l1, LE to virtual DES",
        "resnet_l1, fold 0, seed 0",
        "resnet_l1",
    ]


@pytest.mark.parametrize("last", [[], ["pretrain_phantom.json"], ["pretrain.json"], ["finetune.json"]])
def test_a_method_names_the_folders_of_a_stack(last):
    stack = ["baselines/resnet_l1.json", "ablation/averaged.json", *last]
    parser = ConfigParser(ConfigParser.load_config_files([ROOT / "configs" / name for name in ("train.json", *stack)]))
    parser.update({"method": "resnet_l1+averaged"})
    stage = {"pretrain_phantom.json": "pretrained_", "pretrain.json": "pretrained_", "finetune.json": "finetuned_"}
    folder = "".join(stage.get(name, "") for name in last) + "resnet_l1+averaged"
    places = [parser.get_parsed_content(key) for key in ("ckpt_dir", "output_dir")]
    assert places == [f"./models/{folder}", f"./eval/{folder}"]
    if last == ["finetune.json"]:
        of_stage_1 = "./models/pretrained_resnet_l1+averaged/checkpoint.pt"
        assert parser.get_parsed_content("init_checkpoint") == of_stage_1


def test_the_fast_overlay_takes_the_device_that_is_told(study, tmp_path):
    first = _trained(["train.json", "fast.json"], study, tmp_path / "first", device="cpu")
    assert first.trainer.precision == "bf16"
    checkpoint = str(tmp_path / "first/models/checkpoint.pt")
    second = _trained(["train.json", "fast.json"], study, tmp_path / "second", init_checkpoint=checkpoint)
    weights = [w for w in second.trainer.networks["gen_le_to_des"].parameters() if w.dim() == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    moments = [second.trainer.generator_optimizer.state[weight]["exp_avg"] for weight in weights]
    assert [moment.stride() for moment in moments] == [weight.stride() for weight in weights]


def test_finetuning_starts_from_the_pretrained_networks(study, tmp_path):
    _trained(["train.json", "pretrain.json"], study, tmp_path / "first")
    checkpoint = str(tmp_path / "first/models/checkpoint.pt")
    with refused(match=r"there is no init_checkpoint .*Pre-train first"):
        _trained(["train.json", "finetune.json"], study, tmp_path, bundle_root=str(tmp_path))
    before = torch.load(checkpoint, weights_only=True)
    workflow = _trained(
        ["train.json", "finetune.json"], study, tmp_path / "second", init_checkpoint=checkpoint, learning_rate=0.0
    )
    after = torch.load(tmp_path / "second/models/checkpoint.pt", weights_only=True)
    assert "loss_lesion_cycle" in workflow.trainer.state.output
    for name, state in before["networks"].items():
        for key, value in state.items():
            assert torch.equal(after["networks"][name][key], value)  # at a learning rate of 0 nothing moves
    assert after["optimizers"]["generators"]["param_groups"][0]["lr"] == 0.0
    steps = [int(state["optimizers"]["generators"]["state"][0]["step"]) for state in (before, after)]
    assert steps[1] == 2 * steps[0]


def test_networks_start_different_and_depend_on_the_seed_alone(study, tmp_path):
    weights = []
    for seed in (0, 0, 1):
        workflow = _workflow(["train.json"], study, tmp_path, seed=seed, ckpt_dir=str(tmp_path))
        trainer = workflow.trainer
        weights.append({name: next(network.parameters()).detach() for name, network in trainer.networks.items()})
    first, again, other = weights
    assert not torch.equal(first["gen_le_to_des"], first["gen_des_to_le"])
    assert not torch.equal(first["disc_des"], first["disc_le"])
    for name in first:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_an_earlier_run_is_moved_aside(study, tmp_path):
    _trained(["train.json"], study, tmp_path)
    first = (tmp_path / "models/checkpoint.pt").read_bytes()
    _trained(["train.json"], study, tmp_path, seed=1)
    assert (tmp_path / "models/former_1/checkpoint.pt").read_bytes() == first
    assert (tmp_path / "models/checkpoint.pt").read_bytes() != first


def test_evaluation_writes_a_row_an_image_and_model(study, tmp_path):
    _trained(["train.json"], study, tmp_path)
    workflow = _workflow(
        ["train.json", "evaluate.json"],
        study,
        tmp_path,
        run_id="evaluating",
        ckpt_dir=str(tmp_path / "models"),
        image_size=64,
    )
    with refused(match=r"was trained at 32 px, but image_size is 64. Pass --image_size 32"):
        workflow.run()
    workflow = _workflow(
        ["train.json", "evaluate.json"],
        study,
        tmp_path,
        run_id="evaluating",
        ckpt_dir=str(tmp_path / "models"),
        # VIF takes images of 41 pixels and more
        **{"evaluate#metrics#with_vif": False},
    )
    workflow.run()
    table = pd.read_csv(tmp_path / "eval/metrics.csv")
    cases = {item["case_id"] for item in fold_items(study / "datalist.json", study / "folds.json", 0, "test")}
    for model in ("seg_cyclegan", "floor_le", "floor_constant"):
        assert set(table.loc[table["model"] == model, "case_id"]) == cases
    assert table.columns[:8].tolist() == [
        "case_id",
        "patient_id",
        "laterality",
        "view",
        "fold",
        "model",
        "gamma",
        "has_seg",
    ]
    assert table.loc[table["model"] == "seg_cyclegan", "gamma"].eq(35).all()
    assert "beaten" in (tmp_path / "eval/summary.md").read_text()
    assert (tmp_path / "eval/panel.png").is_file()
    with refused(match=r"trained with another split of this list \(fold 0\)"):
        _workflow(
            ["train.json", "evaluate.json"],
            study,
            tmp_path,
            run_id="evaluating",
            ckpt_dir=str(tmp_path / "models"),
            fold=1,
            **{"evaluate#metrics#with_vif": False},
        ).run()


def test_inference_gives_images_of_the_native_size(study, tmp_path):
    network = ResnetGenerator(width=4, num_blocks=1)
    card = {"image_size": 32, "network": {"width": 4, "num_blocks": 1}, "intensity": {"method": "window"}}
    save_weights(tmp_path / "model.pt", network, card)
    workflow = ConfigWorkflow(
        config_file=str(ROOT / "configs/inference.json"),
        logging_file=False,
        workflow_type="infer",
        dataset_dir=str(study),
        output_dir=str(tmp_path / "out"),
        ckpt_path=str(tmp_path / "model.pt"),
        num_workers=0,
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()
    results = pd.read_csv(tmp_path / "out/results.csv")
    assert results["state"].eq("made").all()
    assert len(results) == 24
    image = np.asarray(Image.open(results["output"][0]))
    assert image.dtype == np.uint16
    assert image.shape == (64, 54)
    assert image.max() > image.min()


@pytest.mark.parametrize(
    ("method", "said"), [({}, "Seg-CycleGAN"), ({"method": "resnet_l1"}, "resnet_l1"), ({"method": "a" * 70}, "a" * 64)]
)
def test_a_dicom_object_names_the_method_that_made_it(method, said, tmp_path):
    card = {"image_size": 32, "network": {"width": 4, "num_blocks": 1}, "intensity": {"method": "window"}, **method}
    save_weights(tmp_path / "model.pt", ResnetGenerator(width=4, num_blocks=1), card)
    files = [ROOT / "configs" / name for name in ("inference.json", "inference_dicom.json")]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    parser.update({"ckpt_path": str(tmp_path / "model.pt")})
    assert parser.get_parsed_content("synthesis").model == said


@pytest.mark.parametrize(("kind", "name"), [("train", "train.json"), ("infer", "inference.json")])
def test_properties_hold_before_anything_is_trained(kind, name, study, tmp_path):
    workflow = ConfigWorkflow(
        config_file=str(ROOT / "configs" / name),
        logging_file=False,
        workflow_type=kind,
        dataset_dir=str(study),
        output_dir=str(tmp_path),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_a_misspelt_command_line_is_refused_with_everything_that_is_wrong(study, tmp_path, run_bundle):
    done = run_bundle(
        *("training", "--config_file", config_files("train.json"), "--dataset_dir", study),
        *("--ckpt_dir", tmp_path, "--gama", 3, "--resume", "false", "--batch_size", 0),
        status=1,
    )
    for text in (
        "3 problem(s)",
        "training cannot start",
        "Did you mean --gamma?",
        "Write --resume False",
        "batch_size is 0",
    ):
        assert text in done.stderr, done.stderr[-3000:]
    assert not list(tmp_path.iterdir())
