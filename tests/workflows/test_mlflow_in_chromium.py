"""MLflow's own pages over a tiny training, as a browser shows them: loss terms, tags, notice, and the panels."""

from __future__ import annotations

import json

import pytest
from devtools import Browser
from loopback import serving, show
from monai.bundle import ConfigWorkflow
from workflows_support import config_files

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install -e '.[tracking]'")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*loader strategy is deprecated"),  # mlflow's use of SQLAlchemy
]
TERMS = ("adversarial_des", "adversarial_le", "cycle", "identity", "lesion_cycle", "lesion_identity")


@pytest.fixture(scope="module")
def tracked(study, tmp_path_factory):
    """The database of a training of two epochs, and its run."""
    folder = tmp_path_factory.mktemp("shown")
    uri = f"sqlite:///{folder}/mlruns.db"
    workflow = ConfigWorkflow(
        config_file=json.loads(config_files("train.json").replace("'", '"')),
        logging_file=False,
        run_id="training",
        tracking="mlflow",
        dataset_dir=str(study),
        ckpt_dir=str(folder / "models"),
        output_dir=str(folder / "eval"),
        tracking_uri=uri,
        max_epochs=2,
    )
    workflow.initialize()
    workflow.run()
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("seg_cyclegan_cesm")
    (run,) = client.search_runs([experiment.experiment_id])
    return folder, uri, run.info


def test_terms_and_panels_are_shown(tracked, tmp_path):
    folder, uri, run = tracked
    options = ("server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--workers", "1")
    with (
        serving("mlflow", *options, path="/health", folder=folder) as address,
        Browser(tmp_path, 1500, 1600) as browser,
    ):
        page = f"{address}/#/experiments/{run.experiment_id}/runs"
        show(browser, page, "gamma 35, fold 0, seed 0")
        browser.screenshot(tmp_path / "runs.png")
        losses = [*(f"loss_{term}" for term in TERMS), "loss_disc_des", "loss_disc_le"]
        validation = [f"val_generator_{term}" for term in (*TERMS, "total")]
        about = ("not for diagnosis", "data_hash", "learning_rate")
        show(browser, f"{page}/{run.run_id}", *about, *losses, *validation, "val_loss")
        browser.screenshot(tmp_path / "overview.png")
        show(browser, f"{page}/{run.run_id}/model-metrics", *losses)  # charts below the window wait for a scroll
        browser.screenshot(tmp_path / "metrics.png")
        panel = f"{page}/{run.run_id}/artifacts/panels/panel_epoch_0002.png"
        show(browser, panel, "panel_epoch_0001.png")
        found = "[...document.querySelectorAll('img')].filter(image => image.src.startsWith('blob:'))"
        browser.wait(f"{found}.some(image => image.naturalWidth > 400)")
        browser.screenshot(tmp_path / "panel.png")
        assert [url for url in browser.requests if not url.startswith((address, "data:", "blob:", "about:"))] == []
