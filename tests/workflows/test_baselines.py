"""Each baseline trains, resumes, evaluates and infers by the commands of the default."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image
from test_resume import assert_same_end
from workflows_support import ROOT, TINY

OWN_SIZE = {"network_def#width": 4}
BASELINES = {"resnet_l1": {}, "unet_l1": OWN_SIZE, "autoencoder": OWN_SIZE, "pix2pix": {}}


def _configs(*names):
    return [str(ROOT / "configs" / name) if isinstance(name, str) else str(name) for name in names]


def _run(names, run_id, study, folder, **overrides):
    workflow = ConfigWorkflow(
        config_file=_configs(*names),
        logging_file=False,
        workflow_type="train",
        run_id=run_id,
        dataset_dir=str(study),
        ckpt_dir=str(folder / "models"),
        output_dir=str(folder / "eval"),
        **overrides,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


@pytest.mark.parametrize("name", BASELINES)
def test_trains_resumes_evaluates_and_infers(name, study, tmp_path):
    size = BASELINES[name]
    configs = ["train.json", TINY, f"baselines/{name}.json"]
    straight = _run(configs, "training", study, tmp_path / "straight", max_epochs=2, **size)
    terms = {key for key in straight.trainer.state.output if key.startswith("loss")}
    assert terms == {"loss", "loss_paired"} | (
        {"loss_adversarial_pair", "loss_disc_pair"} if name == "pix2pix" else set()
    )
    assert np.isfinite(straight.evaluator.state.metrics["val_loss"])

    _run(configs, "training", study, tmp_path / "broken", max_epochs=1, **size)
    _run([*configs, "resume.json"], "training", study, tmp_path / "broken", max_epochs=2, **size)
    assert_same_end(tmp_path / "straight", tmp_path / "broken")

    _run(
        [*configs, "evaluate.json"],
        "evaluating",
        study,
        tmp_path / "straight",
        **{"evaluate#metrics#with_vif": False, **size},
    )
    table = pd.read_csv(tmp_path / "straight/eval/metrics.csv")
    assert set(table["model"]) == {name, "floor_le", "floor_constant"}
    assert table["gamma"].isna().all()

    inference = ConfigWorkflow(
        config_file=str(ROOT / "configs/inference.json"),
        logging_file=False,
        workflow_type="infer",
        dataset_dir=str(study),
        output_dir=str(tmp_path / "out"),
        ckpt_path=str(tmp_path / "straight/models/model.pt"),
        num_workers=0,
    )
    inference.initialize()
    assert inference.check_properties() == []
    inference.run()
    results = pd.read_csv(tmp_path / "out/results.csv")
    assert results["state"].eq("made").all()
    assert np.asarray(Image.open(results["output"][0])).shape == (64, 54)


def test_a_phantom_is_made_and_pre_trained_on_and_the_pairs_start_from_it(study, tmp_path):
    sizes = {"phantom_patients": 20, "phantom_size": 64, "image_size": 32}
    for baseline, method in (([], ""), (["baselines/resnet_l1.json"], "_resnet_l1")):  # both on the one phantom
        for stage, overrides in (("pretrain_phantom", sizes), ("finetune", {"dataset_dir": str(study)})):
            workflow = ConfigWorkflow(
                config_file=_configs("train.json", *baseline, f"{stage}.json", TINY),
                logging_file=False,
                workflow_type="train",
                run_id="training",
                bundle_root=str(tmp_path),
                **overrides,
            )
            workflow.initialize()
            workflow.run()
            workflow.finalize()
        first, second = (
            torch.load(tmp_path / f"models/{stage}{method}/checkpoint.pt", weights_only=True)
            for stage in ("pretrained", "finetuned")
        )
        assert set(first["networks"]) == set(second["networks"])
        steps = [int(each["optimizers"]["generators"]["state"][0]["step"]) for each in (first, second)]
        assert steps[1] == steps[0] + 2  # eight pairs in batches of four, on from the moments of stage 1
        card = json.loads((tmp_path / f"models/finetuned{method}/model.json").read_text())
        assert card["init"]["data_hash"] == first["data_hash"]
    assert len(json.loads((tmp_path / "data/phantom_pretraining/datalist.json").read_text())["cases"]) == 80
    assert not (tmp_path / "data/phantom").exists()


def test_a_baseline_under_many_processes_is_wrapped():
    names = ["train.json", "baselines/resnet_l1.json", "multi_gpu_train.json"]
    parser = ConfigParser(ConfigParser.load_config_files(_configs(*names)))
    trainer = parser.get("train#trainer")
    assert trainer["_target_"] == "bundle.engines.PairedTrainer"
    assert trainer["batch_weight"] == "$@train#sampler.weight"
    assert trainer["prepare_batch"]["batches"] == "@train#sampler"
    wrapped = parser.get(trainer["gen_le_to_des"].removeprefix("@"))
    assert wrapped["_target_"] == "torch.nn.parallel.DistributedDataParallel"


def test_a_baseline_starts_from_what_a_cyclegan_has_learnt(study, tmp_path):
    _run(["train.json", TINY], "training", study, tmp_path / "first", gamma=0)
    checkpoint = tmp_path / "first/models/checkpoint.pt"
    configs = ["train.json", TINY, "baselines/resnet_l1.json"]
    settings = {"init_checkpoint": str(checkpoint), "learning_rate": 0.0}
    _run(configs, "training", study, tmp_path / "second", **settings)
    first, second = (
        torch.load(tmp_path / folder / "models/checkpoint.pt", weights_only=True)["networks"]
        for folder in ("first", "second")
    )
    assert set(second) == {"gen_le_to_des"}
    for key, weight in second["gen_le_to_des"].items():
        assert torch.equal(weight, first["gen_le_to_des"][key])
    card = json.loads((tmp_path / "second/models/model.json").read_text())
    assert card["method"] == "resnet_l1"
    with pytest.raises(RuntimeError) as caught:
        _run([*configs, "resume.json"], "training", study, tmp_path / "first")
    assert "of another kind of training" in str(caught.value.__cause__)
