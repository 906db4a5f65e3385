"""The same plan as tasks of Ray: the same tables, and a run whose worker is lost goes on from its checkpoint."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

import scripts.cross_validate as command
from bundle.experiments.attempt import Workplace
from bundle.experiments.plan import Plan, Run, State
from bundle.experiments.run_ray import _raise_if_too_much, ray_runs
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
    assert asked == {"address": "auto", "cpus": 3, "gpus": 0.5, "at_once": None}


class no_runs:
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return None


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
