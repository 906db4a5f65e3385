"""The same plan as tasks of Ray: packed on its GPUs, the same tables, and a lost worker's run goes on."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import scripts.cross_validate as command
from bundle.experiments import run_ray
from bundle.experiments.attempt import Workplace
from bundle.experiments.plan import Plan, Run, State
from bundle.experiments.run_ray import (
    _a_share,
    _cpus_of_a_run,
    _gpu_bytes,
    _raise_if_too_much,
    ray_runs,
    runs_on_one_gpu,
    runs_that_fit,
)
from bundle.experiments.schedule import carry_out

FAKE = (str(Path(__file__).with_name("fake_runner.py")),)
ROOT = Path(__file__).parents[2]
# Ray's own files, sockets and processes, which it leaves to the interpreter to clean up
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning:ray")]


def a_plan(folder, gammas=(0, 35)):
    runs = []
    for gamma in gammas:
        place = folder / f"gamma_{gamma}/fold_0"
        own = {"ckpt_dir": str(place / "models"), "output_dir": str(place / "eval"), "gamma": gamma, "fold": 0}
        name = f"gamma_{gamma}/fold_0"
        runs.append(Run(name, "training", 2, gamma, 0, [], ["configs/train.json"], own))
        runs.append(Run(f"{name}/eval", "evaluating", 2, gamma, 0, [name], ["configs/evaluate.json"], own))
    return Plan(folder, {}, runs)


def test_without_ray_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"--backend ray needs Ray.*pip install -c constraints.txt -e \"\.\[ray\]\""):
        ray_runs(Workplace(str(tmp_path), str(ROOT))).__enter__()


def test_a_request_that_no_machine_fulfils_is_refused():
    nodes = [{"Alive": True, "Resources": {"CPU": 4.0}}, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}]
    _raise_if_too_much(nodes, 4, 0)
    with pytest.raises(ValueError, match=r"asks for 4 CPU and 1 GPU, but no machine .*\(4 CPU, 0 GPU\)"):
        _raise_if_too_much(nodes, 4, 1)


def test_the_command_hands_its_requests_to_ray(phantom, tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(command, "ray_runs", lambda workplace, **request: asked.update(request) or no_runs())
    monkeypatch.setattr(command, "carry_out", lambda plan, submit, at_once, **_: asked.update(at_once=at_once))
    monkeypatch.setattr(command, "_finish", lambda plan, report: True)
    command.cross_validate(
        phantom, tmp_path / "runs", backend="ray", cpus_per_run=3, gpus_per_run=0.5, ray_address="auto"
    )
    assert asked == {
        "address": "auto",
        "cpus": 3,
        "gpus": 0.5,
        "peak_bytes": None,
        "per_machine": 1,
        "at_once": None,
    }


class no_runs:
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return None


def test_the_command_takes_peak_memory_from_the_benchmark(phantom, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(command, "ray_runs", lambda workplace, **request: asked.append(request) or no_runs())
    monkeypatch.setattr(command, "carry_out", lambda plan, submit, **_: None)
    monkeypatch.setattr(command, "_finish", lambda plan, report: True)
    step = {"what": "step", "variant": "fp32", "image_size": 256, "batch_size": 8, "precision": "fp32"}
    step |= {"seconds": {"median": 1, "q1": 1, "q3": 1}, "peak_bytes": 7 * GIB}
    path = tmp_path / "train.json"
    for micro_batch_size in (None, 2):
        path.write_text(json.dumps({"machine": {"gpu": "X"}, "rows": [step]}))
        overrides = {"micro_batch_size": micro_batch_size}
        command.cross_validate(
            *(phantom, tmp_path / "runs"), backend="ray", measured=str(path), overrides=overrides, overwrite=True
        )
    assert [request["peak_bytes"] for request in asked] == [7 * GIB, None]
    assert "no peak memory of a step of 2 pair(s) at 256 px in fp32 on a GPU: one run a GPU" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"gpus_per_run": 2}, "gpus_per_run is 2, expected at most 1: .*docs/explanation/scaling.md"),
        ({"backend": "ray", "device": "cuda:3"}, "device is 'cuda:3', expected cuda or cpu with --backend ray"),
    ],
)
def test_what_a_packed_run_cannot_have_is_refused(phantom, tmp_path, wrong, text):
    with pytest.raises(ValueError, match=text):
        command.cross_validate(phantom, tmp_path / "runs", **wrong)
    assert not (tmp_path / "runs").exists()


GIB = 2**30


class TestPacking:
    """Which part of a GPU, and how many CPUs, a run asks for."""

    @pytest.mark.parametrize(
        ("peak", "memory", "runs"), [(6, 80, 4), (14, 80, 4), (20, 80, 3), (30, 80, 2), (60, 80, 1), (90, 80, 1)]
    )
    def test_as_many_as_fit_and_at_least_one(self, peak, memory, runs):
        assert runs_that_fit(peak * GIB, memory * GIB) == runs

    def test_the_share_is_never_more_than_fits(self):
        for runs in range(1, 50):
            nodes = [{"Resources": {"GPU": 1.0}}]
            share = _a_share(nodes, GIB, (runs + 0.5) * (1.25 * GIB + GIB))
            assert runs_on_one_gpu(share) == min(runs, 4)
        for runs in range(1, 100):
            assert runs_on_one_gpu(10_000 // runs / 10_000) == runs
        assert [runs_on_one_gpu(share) for share in (1, 0.6, 0.5, 0.4, 0.25)] == [1, 1, 2, 2, 4]

    def test_what_nobody_measured_gets_a_gpu_of_its_own(self):
        assert _a_share([{"Resources": {"GPU": 8.0}}], None, None) == 1
        assert _a_share([{"Resources": {"GPU": 8.0}}], 6.0 * GIB, None) == 1
        assert _a_share([{"Resources": {"CPU": 8.0}}], 6.0 * GIB, None) == 0

    @pytest.mark.parametrize(
        ("offers", "gpus", "per_machine", "cpus"),
        [
            ([{"CPU": 64, "GPU": 8}], 1, 1, 8),
            ([{"CPU": 64, "GPU": 8}], 0.25, 1, 2),
            ([{"CPU": 64, "GPU": 8}, {"CPU": 12, "GPU": 2}], 0.5, 1, 3),
            ([{"CPU": 64, "GPU": 8}, {"CPU": 4}], 1, 1, 8),  # the head has no GPU and gets no run
            ([{"CPU": 8, "GPU": 4}], 0.25, 1, 0.5),
            ([{"CPU": 2}], 0, 1, 2),
            ([{"CPU": 8}, {"CPU": 7}], 0, 2, 3),
        ],
    )
    def test_the_cpus_of_a_machine_are_shared_among_its_runs(self, offers, gpus, per_machine, cpus):
        nodes = [{"Resources": offer} for offer in offers]
        assert _cpus_of_a_run(nodes, gpus, per_machine) == cpus

    def test_the_driver_tells_the_memory_of_the_smallest_gpu(self, nvidia_smi, tmp_path, monkeypatch):
        nvidia_smi("81559\n40960")
        assert _gpu_bytes() == 40960 * 2**20
        nvidia_smi("[N/A]")
        assert _gpu_bytes() is None
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
        assert _gpu_bytes() is None


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A driver that tells the memory of its GPUs, in MiB."""
    folder = tmp_path / "driver"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def write(told):
        program = folder / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nprintf '{told}\\n'\n")
        program.chmod(0o755)

    return write


def most_at_once(noted):
    """By GPU, the most runs that were on it at one time."""
    most = {}
    for run in noted:
        there = [each for each in noted if each["gpu"] == run["gpu"]]
        beside = sum(each["began"] <= run["began"] < each["ended"] for each in there)
        most[run["gpu"]] = max(most.get(run["gpu"], 0), beside)
    return most


def test_runs_share_the_gpus_as_their_memory_allows(tmp_path, monkeypatch):
    """Two logical GPUs of 80 GiB, runs that take 30: two share one, each sees its own alone, and no third joins."""
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", functools.partial(ray.init, num_gpus=2, num_cpus=4))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    @dataclass
    class Light:  # what a worker takes in without importing the bundle
        root: str = str(tmp_path)
        cpus: int | None = None
        patience: float = 1.0

    def note(run, workplace):
        began = time.time()
        Path(workplace.root, f"{began}_{os.getpid()}.begun").touch()
        while len(list(Path(workplace.root).glob("*.begun"))) < 4 and time.time() < began + 30:
            time.sleep(0.02)
        time.sleep(0.1)
        told = {key: os.environ.get(key) for key in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}
        return {"gpu": told["CUDA_VISIBLE_DEVICES"], "threads": (told["OMP_NUM_THREADS"], workplace.cpus)} | {
            "began": began,
            "ended": time.time(),
        }

    monkeypatch.setattr(run_ray, "attempt", note)
    monkeypatch.setattr(run_ray, "_smallest_gpu", lambda ray, nodes: 80 * GIB)
    with ray_runs(Light(), peak_bytes=30 * GIB) as submit:
        noted = [future.result(timeout=60) for future in [submit(Light()) for _ in range(9)]]
    assert most_at_once(noted) == {"0": 2, "1": 2}
    assert {run["threads"] for run in noted} == {("1", 1)}  # four CPUs, four runs at once


NOTING = """
import json, os, sys, time
from pathlib import Path
models = Path(next(each for each in sys.argv if each.startswith("--ckpt_dir=")).partition("=")[2])
began, gpu = time.time(), os.environ["CUDA_VISIBLE_DEVICES"]
time.sleep(0.4)
for path, text in (
    (models / "model.pt", ""),
    (models / "checkpoint.pt", ""),
    (models / "noted.json", json.dumps({"began": began, "ended": time.time(), "gpu": gpu})),
    (models.parent / "eval/run.json", json.dumps({"state": "completed", "epochs": 1})),
):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
"""


@pytest.mark.slow
def test_the_process_of_a_run_sees_its_gpu_alone(tmp_path, monkeypatch, nvidia_smi):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", functools.partial(ray.init, num_gpus=2, num_cpus=4))
    nvidia_smi("81920\n81920")
    (tmp_path / "noting.py").write_text(NOTING)
    plan = a_plan(tmp_path / "runs", gammas=range(7))
    plan.runs = [run for run in plan if run.run_id == "training"]
    workplace = Workplace(str(plan.folder), str(ROOT), runner=(str(tmp_path / "noting.py"),), poll=0.02)
    with ray_runs(workplace, peak_bytes=30 * GIB) as submit:
        carry_out(plan, submit, at_once=None)
    assert {run.state for run in plan} == {State.DONE}
    noted = [json.loads((plan.folder / run.name / "models/noted.json").read_text()) for run in plan]
    most = most_at_once(noted)
    assert most.keys() == {"0", "1"}
    assert max(most.values()) <= 2


@pytest.mark.slow
def test_ray_gives_the_tables_and_survives_a_lost_worker(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("FAKE_SECONDS", "0.5")
    monkeypatch.setenv("FAKE_FAILURES", "gamma_0/fold_0/eval:1")
    plan = a_plan(tmp_path / "runs")
    killed: list[int] = []

    def kill_a_worker(plan):
        """Once a training has a checkpoint, end the worker that waits for it, and the training with it."""
        checkpoint = plan.folder / "gamma_35/fold_0/models/checkpoint.pt"
        if not killed and checkpoint.is_file():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                told = path.read_bytes() if path.exists() else b""
                if FAKE[0].encode() in told and b"gamma_35/fold_0/models" in told and b"training" in told:
                    status = (path.parent / "status").read_text()
                    worker = int(status.split("PPid:")[1].split()[0])
                    killed.extend([worker, int(path.parent.name)])
                    for process in killed:
                        os.kill(process, signal.SIGKILL)

    workplace = Workplace(str(plan.folder), str(ROOT), runner=FAKE, poll=0.02, patience=5)
    with ray_runs(workplace, cpus=0.5, gpus=0) as submit:
        carry_out(plan, submit, at_once=None, retries=1, changed=kill_a_worker)
    assert len(killed) == 2
    assert {run.state for run in plan} == {State.DONE}
    assert plan["gamma_0/fold_0/eval"].attempts == 2  # failed once by itself
    log = (plan.folder / "gamma_35/fold_0/run.log").read_text()
    assert log.count("== ") == 2
    assert "configs/resume.json" in log.split("== ")[2]
    assert log.count("epoch ") <= 4
    for gamma in (0, 35):
        table = (plan.folder / f"gamma_{gamma}/fold_0/eval/metrics.csv").read_text()
        assert table == f"gamma,fold,model\n{gamma},0,012\n"


@pytest.mark.slow
def test_ctrl_c_ends_the_tasks(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("FAKE_SECONDS", "30")
    plan = a_plan(tmp_path / "runs", gammas=[0])
    log = plan.folder / "gamma_0/fold_0/run.log"
    workplace = Workplace(str(plan.folder), str(ROOT), runner=FAKE, poll=0.02, patience=5)

    def interrupt(plan):
        if log.is_file() and "epoch 0" in log.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), ray_runs(workplace, cpus=0.5, gpus=0) as submit:
        carry_out(plan, submit, at_once=None, changed=interrupt)
    assert plan["gamma_0/fold_0"].state == State.WAITING
    end = time.monotonic() + 5
    while "KeyboardInterrupt" not in log.read_text():
        assert time.monotonic() < end, "its process was not interrupted"
        time.sleep(0.05)
