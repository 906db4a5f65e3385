"""What a training in bfloat16 ends with, beside trainings in float32."""

from __future__ import annotations

import statistics

import pytest
from monai.bundle import ConfigWorkflow
from workflows_support import ROOT

from bundle.data import write_folds
from bundle.phantom import write_study

SEEDS = (0, 1, 2)
METRICS = ("val_loss", "val_lesion_l1")
LEVERS = {"precision": "bf16", "channels_last": True, "fused": True}


def _validated(study, folder, seed, **levers):
    workflow = ConfigWorkflow(
        config_file=[str(ROOT / "configs" / name) for name in ("train.json", "quickstart.json")],
        logging_file=False,
        workflow_type="train",
        run_id="training",
        dataset_dir=str(study),
        ckpt_dir=str(folder / "models"),
        output_dir=str(folder / "eval"),
        image_size=64,
        micro_batch_size=1,
        seed=seed,
        **levers,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    metrics = workflow.evaluator.state.metrics
    return {name: float(metrics[name]) for name in METRICS}


@pytest.mark.slow
def test_bf16_ends_within_the_spread_of_fp32(tmp_path, capsys):
    """Three seeds each, quickstart on a phantom of 20 women at 64 px: the mean over bf16's lies among fp32's."""
    study = tmp_path / "phantom"
    write_folds(write_study(study, patients=20, image_size=128, num_workers=1))
    ended = {
        name: [_validated(study, tmp_path / f"{name}_{seed}", seed, **levers) for seed in SEEDS]
        for name, levers in (("fp32", {}), ("bf16", LEVERS))
    }
    with capsys.disabled():
        for name, runs in ended.items():
            print(name, *({metric: round(value, 5) for metric, value in run.items()} for run in runs))
    for metric in METRICS:
        fp32, bf16 = ([run[metric] for run in ended[name]] for name in ("fp32", "bf16"))
        assert min(fp32) <= statistics.mean(bf16) <= max(fp32), (metric, fp32, bf16)
