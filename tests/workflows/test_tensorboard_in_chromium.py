"""TensorBoard over a tiny training, as a browser shows it: each loss term of training and validation, the panels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from devtools import Browser
from loopback import serving, show
from monai.bundle import ConfigWorkflow
from PIL import Image
from workflows_support import config_files

TERMS = ("adversarial_des", "adversarial_le", "cycle", "identity", "lesion_cycle", "lesion_identity")


@pytest.fixture(scope="module")
def logs(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("curves")
    workflow = ConfigWorkflow(
        config_file=json.loads(config_files("train.json").replace("'", '"')),
        logging_file=False,
        run_id="training",
        dataset_dir=str(study),
        ckpt_dir=str(folder / "models"),
        output_dir=str(folder / "eval"),
        max_epochs=2,
    )
    workflow.initialize()
    workflow.run()
    workflow.parser.get_parsed_content("writer").close()
    return folder / "eval/tensorboard"


def test_terms_and_panels_are_shown(logs, tmp_path):
    names = [*(f"loss_{term}" for term in TERMS), "loss_disc_des", "loss_disc_le", "val_loss"]
    names += [f"val_generator_{term}" for term in (*TERMS, "total")]
    options = ("--logdir", logs, "--host", "127.0.0.1", "--load_fast=false")
    with serving("tensorboard.main", *options, path="/data/runs") as address, Browser(tmp_path, 1400, 1000) as browser:
        text = show(browser, f"{address}/?tagFilter=loss|val_generator#timeseries", "loss_cycle")
        browser.wait("document.querySelectorAll('line-chart svg, line-chart canvas').length >= 4")
        browser.screenshot(tmp_path / "curves.png")
        assert [name for name in names if name not in text] == []
        assert "val_generator_lesion_cycle" in text
        show(browser, f"{address}/?tagFilter=panel#timeseries", "panel")
        found = "[...document.querySelectorAll('img')].filter(image => image.src.includes('imageId='))"
        browser.wait(f"{found}.some(image => image.naturalWidth > 400)")
        assert browser.run(f"{found}.length") == 1
        box = browser.run(f"(b => [b.left, b.top, b.right, b.bottom])({found}[0].getBoundingClientRect())")
        picture = np.asarray(Image.open(browser.screenshot(tmp_path / "panel.png")).convert("L").crop(box))
        assert (picture < 40).mean() > 0.1  # the air of the images
        assert [url for url in browser.requests if not url.startswith((address, "data:", "blob:", "about:"))] == []
