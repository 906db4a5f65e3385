"""run.json while a run goes on and after it has ended."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from ignite.engine import Events

from bundle.handlers import RunRecord, package_versions, run_record


def read(folder) -> dict:
    return json.loads((folder / "run.json").read_text())


def test_a_run_is_running_until_it_is_completed(script, tmp_path, monkeypatch):
    clock = iter([100.0, 112.3456])
    monkeypatch.setattr(run_record.time, "monotonic", lambda: next(clock))
    seen = []
    played = script()
    played.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda _: seen.append(read(tmp_path)))
    record = RunRecord(tmp_path, {"gamma": 35}, {"seed": 7, "provenance": {"data_hash": "abc"}})
    played.trainer.add_event_handler(Events.STARTED, lambda _: seen.append(list(tmp_path.iterdir())))
    played.run([record], epochs=2, length=1)
    assert seen.pop(0) == []  # attached, but the run has not begun
    assert [during["state"] for during in seen] == ["running", "running"]
    assert "wall_time_seconds" not in seen[0]
    after = read(tmp_path)
    assert after == {**seen[0], "state": "completed", "epochs": 2, "wall_time_seconds": 12.346}
    assert after["versions"] == package_versions()
    assert (after["seed"], after["provenance"], after["config"]) == (7, {"data_hash": "abc"}, {"gamma": 35})
    assert {"cpu", "cores"} <= after["machine"].keys()
    assert after["began"][4] == "-"
    assert after["began"][10] == "T"


def test_a_run_that_fails_is_not_completed(script, tmp_path):
    played = script()

    def fail(_):
        raise RuntimeError("out of memory")

    played.trainer.add_event_handler(Events.EPOCH_COMPLETED, fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        played.run([RunRecord(tmp_path)], epochs=1)
    assert read(tmp_path)["state"] == "running"


def test_the_hash_is_of_the_config_and_not_of_its_order(tmp_path):
    def config_hash(config):
        return RunRecord(tmp_path, config).record["config_hash"]

    first = config_hash({"gamma": 35, "train": {"lr": 1e-5, "decay": 0}})
    assert first == config_hash({"train": {"decay": 0, "lr": 1e-5}, "gamma": 35})
    assert len(first) == 64
    others = [{"gamma": 100, "train": {"lr": 1e-5, "decay": 0}}, {"gamma": 35, "train": {"lr": 1e-4, "decay": 0}}, None]
    assert len({first, *map(config_hash, others)}) == 4


def test_objects_of_a_config_are_written_as_text(script, tmp_path):
    config = {"device": torch.device("cpu"), "folder": Path("models")}
    script().run([RunRecord(tmp_path, config)], epochs=1)
    assert read(tmp_path)["config"] == {"device": "cpu", "folder": "models"}


def test_the_file_may_have_another_name(script, tmp_path):
    script().run([RunRecord(tmp_path / "new", name="evaluation.json")], epochs=1)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["evaluation.json"]


def test_only_the_first_process_writes(script, tmp_path):
    played = script()
    played.trainer.state.rank = 1
    played.run([RunRecord(tmp_path)], epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_versions_name_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(run_record, "PACKAGES", ("torch", "no-such-package-at-all"))
    versions = package_versions()
    assert versions == {
        "python": platform.python_version(),
        "commit": run_record.commit(),
        "torch": torch.__version__,
        "no-such-package-at-all": "not installed",
    }


def test_the_commit_of_a_checkout_and_whether_it_was_edited(tmp_path, monkeypatch):
    def git(*words):
        names = ["-c", "user.email=somebody@example.org", "-c", "user.name=Somebody"]
        done = subprocess.run(["git", "-C", tmp_path, *names, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(place=tmp_path):
        run_record.commit.cache_clear()
        return run_record.commit(place)

    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    assert commit() == "unknown"
    git("init", "--quiet")
    assert commit() == "unknown"  # no commit yet
    (tmp_path / "code.py").write_text("1")
    git("add", "code.py")
    git("commit", "--quiet", "-m", "first")
    head = git("rev-parse", "HEAD")
    assert commit() == head
    (tmp_path / "notes.txt").write_text("not part of it")
    assert commit() == head
    (tmp_path / "code.py").write_text("2")
    assert commit() == f"{head}, changed"
    (tmp_path / "site-packages").mkdir()
    assert commit(tmp_path / "site-packages") == "unknown"  # below the checkout of something else
    monkeypatch.setenv("PATH", "")
    assert commit() == "unknown"
