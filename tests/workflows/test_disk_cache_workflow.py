"""A training whose prepared images lie on the disk equals the one that keeps them in memory."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from monai.bundle import ConfigWorkflow
from workflows_support import config_files

FILES = ("checkpoint.pt", "model.pt", "model.json")


def _train(study, folder, name, **overrides):
    workflow = ConfigWorkflow(
        config_file=json.loads(config_files("train.json").replace("'", '"')),
        logging_file=False,
        workflow_type="train",
        run_id="training",
        dataset_dir=str(study),
        ckpt_dir=str(folder / name),
        output_dir=str(folder / name),
        **overrides,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return {file: sha256((folder / name / file).read_bytes()).hexdigest() for file in FILES}


@pytest.mark.forks
def test_disk_cold_and_warm_equal_memory(study, tmp_path, monkeypatch):
    in_memory = _train(study, tmp_path, "memory")
    disk = {"cache": "disk", "cache_dir": str(tmp_path / "cache")}
    assert _train(study, tmp_path, "cold", **disk) == in_memory
    assert len(list((tmp_path / "cache").iterdir())) == 16  # training and validation part
    monkeypatch.setattr("bundle.transforms.read.read_image", None)  # nothing is decoded but what the check looks at
    assert _train(study, tmp_path, "warm", **disk, num_workers=1) == in_memory


def test_a_wrong_cache_is_refused(study, tmp_path):
    (tmp_path / "file").touch()
    for wrong, text in (
        ({"cache": "ram"}, "cache is 'ram', expected one of memory, disk"),
        ({"cache": "disk", "cache_dir": str(tmp_path / "file" / "in")}, r"in cannot be written to. Pass another"),
    ):
        with pytest.raises(RuntimeError) as caught:
            _train(study, tmp_path, "refused", **wrong)
        assert isinstance(caught.value.__cause__, ValueError)
        assert text in str(caught.value.__cause__)
