"""Two gloo ranks equal one process with the joint batch."""

from __future__ import annotations

from pathlib import Path

import torch
from workflows_support import config_files

FLOAT64 = (Path(__file__).with_name("float64_run.py"),)
SETTINGS = (*("--max_epochs", 2), *("--micro_batch_size", 1), *("--random_transforms#0#prob", 0.0))


def test_two_ranks_equal_one_process_in_float64(study, tmp_path, run_bundle):
    def arguments(name):
        return ("--dataset_dir", study, "--ckpt_dir", tmp_path / name, "--output_dir", tmp_path / name, *SETTINGS)

    run_bundle(
        *("training", "--config_file", config_files("train.json")),
        *(*arguments("one"), "--train#dataloader#shuffle", False),
        script=FLOAT64,
    )
    run_bundle(
        *("training", "--config_file", config_files("train.json", "multi_gpu_train.json")),
        *(*arguments("two"), "--train#sampler#shuffle", False),
        launcher=("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
        script=FLOAT64,
    )
    one, two = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("one", "two"))
    assert one["epoch"] == two["epoch"] == 2
    for network, state in one["networks"].items():
        for name, value in state.items():
            assert value.dtype == torch.float64
            torch.testing.assert_close(two["networks"][network][name], value, rtol=0, atol=1e-9)
    best = [checkpoint["parts"]["best_model"] for checkpoint in (one, two)]
    assert best[0]["best_epoch"] == best[1]["best_epoch"]
    assert abs(best[0]["best_metric"] - best[1]["best_metric"]) < 1e-6  # MONAI gathers metrics in float32
