"""What evaluate.json writes on request, for either part of a fold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image
from workflows_support import config_files

from bundle.data import fold_items
from bundle.metrics import columns
from bundle.networks import ResnetGenerator
from bundle.networks.weights import save_weights

LEADING = ["case_id", "patient_id", "laterality", "view", "fold", "model", "gamma", "has_seg"]
KINDS = ("le", "des", "seg", "virtual_des")


@pytest.fixture
def evaluate(study, tmp_path):
    """Evaluates a network that was not trained, at a size that VIF takes."""
    card = {"image_size": 48, "gamma": 35, "network": {"width": 4, "num_blocks": 1}, "intensity": {"method": "window"}}
    save_weights(tmp_path / "model.pt", ResnetGenerator(width=4, num_blocks=1), card)

    def evaluate(part: str, **overrides) -> Path:
        workflow = ConfigWorkflow(
            config_file=json.loads(config_files("train.json", "evaluate.json").replace("'", '"')),
            logging_file=False,
            workflow_type="train",
            run_id="evaluating",
            dataset_dir=str(study),
            output_dir=str(tmp_path / part),
            ckpt_path=str(tmp_path / "model.pt"),
            image_size=48,
            part=part,
            **overrides,
        )
        workflow.initialize()
        workflow.run()
        return tmp_path / part

    return evaluate


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_part_is_evaluated_in_the_columns_of_the_contract(part, evaluate, study):
    folder = evaluate(part)
    table = pd.read_csv(folder / "metrics.csv")
    assert list(table.columns) == [*LEADING, *columns()]
    cases = [item["case_id"] for item in fold_items(study / "datalist.json", study / "folds.json", 0, part)]
    for _, images in table.groupby("model"):
        assert images["case_id"].tolist() == cases
    lesions = table["has_seg"]
    for column in ("lesion_l1", "lesion_contrast_real", "lesion_cnr_real"):
        assert (table[column].notna() == lesions).all()
    assert table.loc[~lesions, "enhancement_missed"].isna().all()
    constant = table[table["model"] == "floor_constant"]
    assert constant["lesion_contrast_virtual"].dropna().max() < 1e-6  # below 0 where a map leaves the breast
    assert set(constant["enhancement_missed"].dropna()) <= {1}
    assert constant["invented_count"].eq(0).all()
    assert "enhancement missed" in (folder / "summary.md").read_text()
    assert not (folder / "images").exists()
    assert not (folder / "detectability.json").exists()


def test_images_and_detectability_on_request(evaluate, study):
    folder = evaluate(
        "test",
        keep_images=True,
        detectability=True,
        **{"evaluate#handlers#4#size": 32, "evaluate#handlers#4#steps": 3, "evaluate#metrics#with_vif": False},
    )
    cases = [item["case_id"] for item in fold_items(study / "datalist.json", study / "folds.json", 0, "test")]
    expected = {f"{case}_{kind}.png" for case in cases for kind in KINDS}
    assert {path.name for path in (folder / "images").iterdir()} == expected
    table = pd.read_csv(folder / "metrics.csv").query("model == 'seg_cyclegan'").set_index("case_id")
    virtual, real = (
        np.asarray(Image.open(folder / f"images/{cases[0]}_{kind}.png"), dtype=float) / 65535
        for kind in ("virtual_des", "des")
    )
    assert np.abs(virtual - real).mean() == pytest.approx(table.loc[cases[0], "l1"], abs=1e-4)
    found = json.loads((folder / "detectability.json").read_text())
    assert set(found["kid_random_features"]) == {"seg_cyclegan", "floor_le", "floor_constant"}
    assert found["test_images"] == len(cases)
