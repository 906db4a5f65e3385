"""Which MLflow run a training is, when it is killed, begun anew, or run twice; and what is said without MLflow."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
import torch
from monai.handlers import MLFlowHandler

from bundle.experiments import read_command_line
from bundle.handlers import LossCurves, RunRecord, TrackedRun
from bundle.handlers.logins import without_logins
from bundle.handlers.tracked_run import require_mlflow

mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install -e '.[tracking]'")
pytestmark = pytest.mark.filterwarnings("ignore:.*loader strategy is deprecated")  # mlflow's use of SQLAlchemy


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('tracking')}/mlruns.db"


@pytest.fixture
def track(script, uri, tmp_path, request):
    """Runs a counting trainer as ``--tracking mlflow`` would have it, in an experiment of this test."""

    def run(tracked, epochs=1, ends=True, outputs=None):
        mine = script(outputs)
        tracker = MLFlowHandler(uri, experiment_name=request.node.name, close_on_complete=ends)
        mine.trainer.handlers = (tracked, tracker)
        return mine.run([LossCurves(), tracked, tracker], epochs=epochs)

    run.client = mlflow.MlflowClient(uri)

    def runs():
        found = run.client.get_experiment_by_name(request.node.name)
        return run.client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"])

    run.runs = runs
    return run


def test_a_run_that_was_killed_and_begun_anew_is_closed(track, tmp_path):
    track(TrackedRun(tmp_path, name="one"), ends=False)
    track(TrackedRun(tmp_path / "elsewhere", name="other"), ends=False)
    track(TrackedRun(tmp_path, name="one"))
    assert sorted((run.info.run_name, run.info.status) for run in track.runs()) == [
        ("one", "FINISHED"),
        ("one", "KILLED"),
        ("other", "RUNNING"),
    ]


def test_a_resume_of_another_folder_is_a_run_of_its_own(track, tmp_path):
    track(TrackedRun(tmp_path / "one", name="one"))
    track(TrackedRun(tmp_path / "two", name="two", resume=True))
    assert sorted(run.info.run_name for run in track.runs()) == ["one", "two"]


def test_an_engine_that_is_run_again_stays_in_its_run(track, script, tmp_path):
    tracked = TrackedRun(tmp_path)
    engine = track(tracked)
    engine.run(range(2), max_epochs=2)
    (run,) = track.runs()
    assert run.info.status == "FINISHED"


def test_iterations_are_not_logged_and_epochs_are(track, tmp_path):
    track(
        TrackedRun(tmp_path),
        epochs=2,
        outputs=lambda iteration: {"loss": torch.tensor(float(iteration)), "loss_cycle": 0.5, "le": None},
    )
    (run,) = track.runs()
    history = [(point.step, point.value) for point in track.client.get_metric_history(run.info.run_id, "loss")]
    assert history == [(1, 1.5), (2, 3.5)]
    assert run.data.metrics == {"loss": 3.5, "loss_cycle": 0.5}


def test_long_and_odd_parameters(track, tmp_path):
    track(TrackedRun(tmp_path, parameters={"device": torch.device("cpu"), "long": "x" * 7000, "none": None}))
    (run,) = track.runs()
    assert run.data.params["none"] == "null"
    assert len(run.data.params["long"]) == 6000
    assert "cpu" in run.data.params["device"]


def test_without_tracking_it_does_nothing(script, tmp_path):
    engine = script().run([TrackedRun(tmp_path, files={"": [str(tmp_path)]})], epochs=1)
    assert engine.state.epoch == 1


def test_missing_mlflow_is_named_with_the_command(monkeypatch):
    require_mlflow()
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ModuleNotFoundError, match=r"--tracking mlflow needs MLflow.*\.\[tracking\]"):
        require_mlflow()
    command_line = read_command_line(["monai/bundle/__main__.py", "run", "--config_file", "x", "--tracking", "mlflow"])
    assert command_line is not None
    assert command_line.overrides == {}
    with pytest.raises(SystemExit, match="leave --tracking out"):
        require_mlflow(command_line)


@pytest.mark.parametrize(
    ("uri", "recorded"),
    [
        ("postgresql://ann:secret@db.local:5432/runs", "postgresql://db.local:5432/runs"),
        ("mysql+pymysql://ann:se/cr@et@db/runs", "mysql+pymysql://db/runs"),
        ("https://ann@clinic.org:secret@tracker.local/", "https://tracker.local/"),
        ("https://token@tracker.local:5000/x@y", "https://tracker.local:5000/x@y"),
        (
            "postgresql://db/runs?user=ann&password=secret&sslmode=on",
            "postgresql://db/runs?user=***&password=***&sslmode=on",
        ),
        ("$'http://ann:secret@' + @host", "$'http://' + @host"),
        ("http://127.0.0.1:5000/a@b", "http://127.0.0.1:5000/a@b"),
        ("sqlite:////home/ann@clinic/eval/mlruns.db", "sqlite:////home/ann@clinic/eval/mlruns.db"),
        ("$@bundle_root + '/eval'", "$@bundle_root + '/eval'"),
    ],
)
def test_a_record_names_no_login(uri, recorded):
    assert without_logins({"a": [uri, 3], "b": None}) == {"a": [recorded, 3], "b": None}


def test_logins_are_not_recorded(track, script, tmp_path):
    config = {"tracking_uri": "postgresql://ann:secret@db/runs", "gamma": 35}
    track(TrackedRun(tmp_path, config=config, parameters={"uri": config["tracking_uri"]}))
    script().run([RunRecord(tmp_path, config=config)], epochs=1)
    (run,) = track.runs()
    kept = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/config.json")
    for text in (kept, (tmp_path / "run.json").read_text(), str(run.data.params)):
        assert "postgresql://db/runs" in text
        assert "secret" not in text


def test_the_log_names_no_login(track, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(mlflow.MlflowClient, "tracking_uri", "postgresql://ann:secret@db/runs")
    with caplog.at_level(logging.INFO, "bundle"):
        track(TrackedRun(tmp_path))
    assert "in postgresql://db/runs" in caplog.text
    assert "secret" not in caplog.text


def test_a_client_of_its_telemetry_that_stands_already_is_taken_away():
    code = (
        "import mlflow, mlflow.telemetry as t; assert t.get_telemetry_client() is not None; "
        "import bundle.handlers; assert t.get_telemetry_client() is None"
    )
    talks = ("CI", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "PYTEST", "GITHUB", "GITLAB")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(talks)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
