"""The whole protocol in one command on two tiny phantoms: two stages, gammas, folds, test parts, choice, report."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from workflows_support import ROOT, TINY

from bundle.data import write_folds
from bundle.experiments.plan import Plan, State
from bundle.phantom import write_study


@pytest.fixture(scope="module")
def public(tmp_path_factory) -> Path:
    """The study of stage 1."""
    folder = tmp_path_factory.mktemp("public") / "phantom"
    write_folds(write_study(folder, patients=6, seed=1, image_size=64, num_workers=1), k=3)
    return folder


@pytest.fixture(scope="module")
def start(study, public):
    """Starts the command; 64 px, because VIF takes images of 41 px and more."""

    def command(output, *arguments, folds="all", report=False):
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "scripts.cross_validate", "--output", str(output), "--jobs", "2"),
                *("--dataset_dir", str(study), "--pretrain_dir", str(public), "--gammas", "0,35", "--folds", folds),
                *("--config_file", str(TINY), "--overrides", "{'image_size': 64}", "--device", "cpu"),
                *("--num_workers", "0", "--report", str(report), *arguments),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )

    return command


def to_its_end(process) -> str:
    told, _ = process.communicate(timeout=900)
    assert process.returncode == 0, told[-4000:]
    return told


def tables(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("metrics.csv"))}


def test_two_stages_two_gammas_and_a_test_part(start, tmp_path):
    told = to_its_end(start(tmp_path / "runs", folds="0"))
    folder = tmp_path / "runs"
    plan = Plan.read(folder)
    assert {run.state for run in plan} == {State.DONE}
    assert "5 of 5 runs are done" in told
    assert list(tables(folder)) == [f"gamma_{gamma}/fold_0/eval/metrics.csv" for gamma in (0, 35)]
    for gamma, model in ((0, "cyclegan"), (35, "seg_cyclegan")):
        table = pd.read_csv(folder / f"gamma_{gamma}/fold_0/eval/metrics.csv")
        assert set(table["model"]) == {model, "floor_le", "floor_constant"}
        assert table["fold"].eq(0).all()
        assert table.loc[table["model"] == model, "gamma"].eq(gamma).all()
        cases = set(table["case_id"])
        images = {path.name for path in (folder / f"gamma_{gamma}/fold_0/eval/images").iterdir()}
        assert {f"{case}_virtual_des.png" for case in cases} <= images
        card = json.loads((folder / f"gamma_{gamma}/fold_0/models/model.json").read_text())
        first = json.loads((folder / "pretrain/models/model.json").read_text())
        assert card["gamma"] == gamma
        assert card["init"]["data_hash"] == first["data_hash"]  # it went on from stage 1
        assert first["gamma"] == 0
    choice = json.loads((folder / "choice.json").read_text())
    assert choice["gamma"] in (0, 35)


def kill_all(folder: Path) -> None:
    """Every process whose command names the folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        told = path.read_bytes() if path.exists() else b""
        if str(folder).encode() in told and b"monai.bundle" in told:
            os.kill(int(path.parent.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def straight_and_seconds(start, tmp_path_factory):
    """All folds in one go, with the report: under five minutes on two cores."""
    folder = tmp_path_factory.mktemp("straight") / "runs"
    began = time.monotonic()
    to_its_end(start(folder, report=True))
    seconds = time.monotonic() - began
    print(f"three folds, two gammas, two stages: {seconds:.0f} s")
    assert seconds < 300
    assert len(tables(folder)) == 6
    return folder, seconds


@pytest.fixture(scope="module")
def straight(straight_and_seconds):
    return straight_and_seconds[0]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the processes to kill by /proc")
def test_killed_at_five_random_moments_the_tables_are_the_same(start, straight_and_seconds, tmp_path):
    straight, seconds = straight_and_seconds
    folder, moments = tmp_path / "runs", random.Random(5)
    for kill in range(5):
        process = start(folder)
        time.sleep(moments.uniform(0.06, 0.18) * seconds)  # on any machine five kills come before the end
        at_its_end = process.poll() is not None
        process.kill()
        process.communicate()
        assert not at_its_end, "it was at its end before the kill"
        if kill % 2 == 0:  # else the runs go on alone, and the next call waits for them
            kill_all(folder)
    to_its_end(start(folder))
    assert tables(folder) == tables(straight)
    assert json.loads((folder / "choice.json").read_text()) == json.loads((straight / "choice.json").read_text())


@pytest.mark.slow
def test_ray_gives_the_same_tables(start, straight, tmp_path):
    pytest.importorskip("ray")
    began = time.monotonic()
    to_its_end(start(tmp_path / "runs", "--backend", "ray", "--cpus_per_run", "1"))
    assert time.monotonic() - began < 300
    assert tables(tmp_path / "runs") == tables(straight)
