"""``--tracking mlflow``: what a training, its resume and an evaluation leave in MLflow, and that it is silent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow
from workflows_support import config_files

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install -e '.[tracking]'")

pytestmark = pytest.mark.filterwarnings("ignore:.*loader strategy is deprecated")  # mlflow's use of SQLAlchemy
TERMS = ("adversarial_des", "adversarial_le", "cycle", "identity", "lesion_cycle", "lesion_identity")
COMMAND = Path(__file__).with_name("tracked_command.py")


def database(folder):
    return f"sqlite:///{folder}/mlruns.db"


@pytest.fixture(scope="module")
def trained(study, run_bundle, tmp_path_factory):
    """Two epochs by the command, in a process whose connections are written down."""
    folder = tmp_path_factory.mktemp("tracked")
    said = folder / "connections.txt"
    done = run_bundle(
        *("training", "--config_file", config_files("train.json"), "--dataset_dir", study, "--tracking", "mlflow"),
        *("--ckpt_dir", folder / "models", "--output_dir", folder / "eval", "--tracking_uri", database(folder)),
        *("--max_epochs", 2, "--gamma", 20),
        script=(COMMAND, said),
    )
    return folder, done.stderr + done.stdout


@pytest.fixture(scope="module")
def tracked(trained):
    """Client and run of that training."""
    client = mlflow.MlflowClient(database(trained[0]))
    experiment = client.get_experiment_by_name("seg_cyclegan_cesm")
    (run,) = client.search_runs([experiment.experiment_id], "tags.stage = 'training'")
    return client, run


def workflow(names, folder, study, run_id, kind="train", **overrides):
    made = ConfigWorkflow(
        config_file=json.loads(config_files(*names).replace("'", '"')) if kind == "train" else names[0],
        logging_file=False,
        workflow_type=kind,
        run_id=run_id,
        tracking="mlflow",
        dataset_dir=str(study),
        **overrides,
    )
    made.initialize()
    made.run()
    return made


def test_every_loss_term_of_training_and_validation(tracked):
    client, run = tracked
    assert run.info.status == "FINISHED"
    names = ["loss", "loss_disc_des", "loss_disc_le", "val_loss", "val_lesion_l1", "val_generator_total"]
    names += [f"{prefix}_{term}" for prefix in ("loss", "val_generator") for term in TERMS]
    for name in names:
        assert [point.step for point in client.get_metric_history(run.info.run_id, name)] == [1, 2], name
    metrics = run.data.metrics
    assert metrics["loss"] == pytest.approx(sum(metrics[f"loss_{term}"] for term in TERMS))


def test_what_run_it_was(tracked, trained):
    _, run = tracked
    assert run.info.run_name == "gamma 20, fold 0, seed 0"
    card = json.loads((trained[0] / "models/model.json").read_text())
    assert run.data.tags["data_hash"] == card["data_hash"]
    assert run.data.tags["datalist"] == "CESM phantom"
    assert "not for diagnosis" in run.data.tags["mlflow.note.content"]
    assert [run.data.tags[name] for name in ("gamma", "fold", "seed", "stage")] == ["20", "0", "0", "training"]
    assert run.data.params["learning_rate"] == "0.001"
    assert run.data.params["max_epochs"] == "2"


def test_panels_config_and_model_are_artifacts(tracked, trained):
    client, run = tracked
    listed = {"": set(), "model": set(), "panels": set()}
    for folder in listed:
        listed[folder] = {item.path for item in client.list_artifacts(run.info.run_id, folder)}
    assert listed == {
        "": {"config.json", "model", "panels", "run.json"},
        "model": {"model/model.json", "model/model.pt"},
        "panels": {"panels/panel_epoch_0001.png", "panels/panel_epoch_0002.png"},
    }
    place = Path(run.info.artifact_uri.removeprefix("file://"))
    for kept, written in (("model/model.pt", "models/model.pt"), ("run.json", "eval/run.json")):
        assert (place / kept).read_bytes() == (trained[0] / written).read_bytes()
    config = json.loads((place / "config.json").read_text())
    assert config["gamma"] == 20
    assert config["network_def"]["width"] == 4
    assert not list((trained[0] / "eval").glob("config_*.json"))


def test_it_spoke_to_nobody(trained):
    said = trained[0] / "connections.txt"
    assert not said.exists() or said.read_text() == ""
    assert "MLflow: run 'gamma 20, fold 0, seed 0' in sqlite:///" in trained[1]


def test_a_resume_goes_on_in_its_run(tracked, trained, study):
    client, run = tracked
    folder = trained[0]
    places = {"ckpt_dir": str(folder / "models"), "output_dir": str(folder / "eval"), "tracking_uri": database(folder)}
    client.update_run(run.info.run_id, status="RUNNING")  # as a kill leaves it
    workflow(["train.json", "resume.json"], folder, study, "training", max_epochs=3, gamma=20, **places)
    found = client.search_runs([run.info.experiment_id], "tags.stage = 'training'")
    assert [(each.info.run_id, each.info.status) for each in found] == [(run.info.run_id, "FINISHED")]
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "loss_cycle")]
    assert steps == [1, 2, 3]
    assert found[0].data.params["max_epochs"] == "2"  # a parameter of MLflow cannot change


def test_evaluation(tracked, trained, study, tmp_path):
    client, run = tracked
    folder = trained[0]
    workflow(
        ["train.json", "evaluate.json"],
        folder,
        study,
        "evaluating",
        ckpt_dir=str(folder / "models"),
        output_dir=str(tmp_path / "eval"),
        tracking_uri=database(folder),
        **{"evaluate#metrics#with_vif": False},
    )
    (found,) = client.search_runs([run.info.experiment_id], "tags.stage = 'evaluation'")
    assert found.info.run_name == "evaluation of the test part, gamma 20, fold 0"
    assert found.info.status == "FINISHED"
    assert found.data.metrics["test_psnr"] > 0
    card = json.loads((folder / "models/model.json").read_text())
    assert found.data.tags["model_sha256"] == card["sha256"]
    listed = {item.path for item in client.list_artifacts(found.info.run_id)}
    assert {"metrics.csv", "summary.md", "panel.png"} <= listed


@pytest.mark.parametrize("name", ["inference", "inference_dicom"])
def test_an_inference_refuses_to_be_tracked_and_writes_nothing(name, trained, study, tmp_path):
    files = [str(Path(__file__).parents[2] / f"configs/{each}.json") for each in dict.fromkeys(["inference", name])]
    places = {"output_dir": str(tmp_path / "out"), "ckpt_path": str(trained[0] / "models/model.pt")}
    with pytest.raises(RuntimeError) as caught:
        workflow([files], trained[0], study, "run", "infer", **places, num_workers=0)
    text = "inference cannot start, 1 problem(s):\n  1. --tracking: an inference has no loss and no metric to track."
    assert text in str(caught.value.__cause__)
    assert not (tmp_path / "out").exists()
