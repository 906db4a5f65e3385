"""Whatever the number of processes: shuffled, augmented and on a last batch that does not go round, the same run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from workflows_support import config_files

from bundle.data import fold_items, write_folds

FLOAT64 = (Path(__file__).with_name("float64_run.py"),)
SETTINGS = (
    *("--max_epochs", 2),
    *("--batch_size", 6),
    *("--micro_batch_size", 1),
    *("--random_transforms#0#prob", 0.5),
)


@pytest.fixture(scope="module")
def odd_study(study):
    """Seven training pairs: the second joint batch of six has one, so that all processes but one have none."""
    content = json.loads((study / "datalist.json").read_text())
    cases = {item["case_id"] for item in fold_items(study / "datalist.json", study / "folds.json", 0, "training")}
    content["cases"] = [case for case in content["cases"] if case["case_id"] != min(cases)]
    datalist, folds = study / "odd_datalist.json", study / "odd_folds.json"
    datalist.write_text(json.dumps(content))
    write_folds(datalist, output=folds, k=3)
    assert len(fold_items(datalist, folds, 0, "training")) == 7
    return ("--dataset_dir", study, "--datalist", datalist, "--folds", folds)


@pytest.fixture(scope="module")
def trained(odd_study, tmp_path_factory, run_bundle):
    folder = tmp_path_factory.mktemp("ranks")

    def train(processes: int):
        """The checkpoint of a run in so many gloo processes, or without any for 0, and its model's card."""
        name = folder / str(processes)
        configs = ["train.json"] if processes == 0 else ["train.json", "multi_gpu_train.json"]
        launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}")
        run_bundle(
            *("training", "--config_file", config_files(*configs), *odd_study, *SETTINGS),
            *("--ckpt_dir", name, "--output_dir", name),
            launcher=launcher if processes else (),
            script=FLOAT64,
        )
        return torch.load(name / "checkpoint.pt", weights_only=True), json.loads((name / "model.json").read_text())

    return train


@pytest.fixture(scope="module")
def one_process(trained):
    return trained(0)


@pytest.mark.parametrize("processes", [2, *(pytest.param(count, marks=pytest.mark.slow) for count in (1, 3))])
def test_gloo_processes_equal_one_without_them_in_float64(processes, trained, one_process):
    (one, one_card), (other, other_card) = one_process, trained(processes)
    assert one["epoch"] == other["epoch"] == 2
    for network, state in one["networks"].items():
        for name, value in state.items():
            assert value.dtype == torch.float64
            torch.testing.assert_close(other["networks"][network][name], value, rtol=0, atol=1e-9)
    best = [checkpoint["parts"]["best_model"] for checkpoint in (one, other)]
    assert best[0]["best_epoch"] == best[1]["best_epoch"]
    assert abs(best[0]["best_metric"] - best[1]["best_metric"]) < 1e-7  # MONAI takes its mean in float32
    assert one_card["seen"] == other_card["seen"]
