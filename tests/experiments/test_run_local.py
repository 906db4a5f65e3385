"""A plan carried out with runs that only write files: order, failures, kills at any moment, Ctrl-C."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest

import scripts.cross_validate as command
from bundle.experiments.attempt import Workplace, attempt, is_finished, try_lock
from bundle.experiments.choice import choose_model
from bundle.experiments.plan import Plan, State
from bundle.experiments.run_local import local_runs
from bundle.experiments.schedule import carry_out
from bundle.experiments.trial import Pace
from scripts.command_line import call

FAKE = (str(Path(__file__).with_name("fake_runner.py")),)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr(command, "Workplace", partial(Workplace, runner=FAKE, poll=0.01, patience=5))


@pytest.fixture
def runs(tmp_path, phantom):
    """The command on the phantom, in this process; ``runs.folder`` is its output."""

    def call(**changed):
        defaults = {"gammas": (0, 35), "folds": (0, 1), "pretrain_dir": None, "report": False, "jobs": 2}
        command.cross_validate(phantom, call.folder, **{**defaults, **changed})
        return Plan.read(call.folder)

    call.folder, call.study = tmp_path / "runs", phantom
    return call


@pytest.fixture
def plan(runs):
    """As the command writes it, without its runs."""
    built = command.build_plan(runs.folder, runs.study, gammas=[0], folds=[0], root=ROOT)
    built.write()
    return built


def tables(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("metrics.csv"))}


def test_all_runs_are_done_in_order_and_the_choice_is_made(runs, capsys):
    plan = runs()
    assert {run.state for run in plan} == {State.DONE}
    assert {run.attempts for run in plan} == {1}
    assert plan["gamma_35/fold_1"].epochs == 3
    for run in plan:
        assert all(plan[need].ended <= run.began for need in run.needs)
        assert "== " in (runs.folder / run.name / "run.log").read_text()
    assert list(tables(runs.folder)) == [f"gamma_{g}/fold_{f}/eval/metrics.csv" for g in (0, 35) for f in (0, 1)]
    assert tables(runs.folder)["gamma_35/fold_1/eval/metrics.csv"] == b"gamma,fold,model\n35,1,012\n"
    assert "8 of 8 runs are done" in capsys.readouterr().out
    choice = json.loads((runs.folder / "choice.json").read_text())
    assert (choice["gamma"], choice["key"]) == (35, "val_lesion_l1")
    assert choice["values"]["35"] == {"mean": 1 / 36, "folds": {"0": 1 / 36, "1": 1 / 36}}


def test_methods_and_seeds_are_carried_out_and_chosen_among(runs, capsys):
    plan = runs(gammas="none", folds=0, seeds=(0, 2), methods=str(ROOT / "configs/baselines/resnet_l1.json"))
    assert {run.state for run in plan} == {State.DONE}
    assert list(tables(runs.folder)) == [f"resnet_l1/{place}fold_0/eval/metrics.csv" for place in ("", "seed_2/")]
    assert "--seed=2" in (runs.folder / "resnet_l1/seed_2/fold_0/run.log").read_text()
    assert "model chosen on validation data: resnet_l1 by val_lesion_l1" in capsys.readouterr().out
    assert json.loads((runs.folder / "choice.json").read_text())["model"] == "resnet_l1"


def test_detectability_is_handed_to_the_evaluations(runs):
    runs(gammas=0, folds=0, detectability=True)
    training, evaluation = (runs.folder / f"gamma_0/fold_0{place}/run.log" for place in ("", "/eval"))
    assert "--detectability=True" in evaluation.read_text()
    assert "--detectability" not in training.read_text()


def test_called_again_nothing_runs_again_but_what_was_removed(runs):
    before = runs()
    again = runs()
    assert [run.attempts for run in again] == [run.attempts for run in before]
    (runs.folder / "gamma_0/fold_1/eval/metrics.csv").unlink()
    assert [run.name for run in runs() if run.attempts == 2] == ["gamma_0/fold_1/eval"]


def test_the_dry_run_prints_the_plan_and_writes_nothing(runs, capsys):
    arguments = {"dry_run": True, "seconds_per_epoch": 10, "overrides": {"max_epochs": 3}, "gammas": 35, "folds": 0}
    command.cross_validate(runs.study, runs.folder, **arguments)
    printed = capsys.readouterr().out
    assert "gamma_35/fold_0/eval  evaluating  waiting          gamma_35/fold_0" in printed
    assert "1 training(s) and 1 evaluation(s) left, 1 at once" in printed
    assert "an epoch of stage 2 takes: 10.0 s, as given" in printed
    assert "time left: at most about 0:00:40" in printed  # three epochs, and one for the evaluation
    assert "run training \"--config_file=['configs/train.json']\"" in printed
    assert not runs.folder.exists()


def test_the_dry_run_tries_a_step_until_runs_are_done(runs, capsys, monkeypatch):
    pace = Pace(training=1, validation=2, evaluation=4, reading=0, source="a guess")
    monkeypatch.setattr(command, "try_out", lambda *_, **__: pace)
    arguments = {"gammas": 35, "folds": 0, "jobs": 1, "overrides": {"max_epochs": 3}}
    runs(dry_run=True, **arguments)
    printed = capsys.readouterr().out
    assert "an epoch of stage 2 takes: about 24.0 s, an estimate" in printed  # 8 pairs train, 8 validate
    assert "the estimate is from a guess, at the present load of this machine" in printed
    assert "time left: at most about 0:01:44" in printed  # 3 epochs, and 8 pairs of the test part
    monkeypatch.setattr(command, "try_out", None)
    runs(**arguments)
    runs(dry_run=True, **arguments)
    printed = capsys.readouterr().out
    assert "s, as the runs took that are done" in printed
    assert "time left: at most about 0:00:00" in printed


def test_the_dry_run_times_a_stage_1_that_only_other_methods_start_from(runs, public, capsys, monkeypatch):
    asked = []

    def trial(training, evaluation, *_, **__):
        asked.append((training.name, evaluation.name))
        return Pace(training=1, validation=2, evaluation=4, reading=0, source="a guess")

    monkeypatch.setattr(command, "try_out", trial)
    methods = ["configs/ablation/paired.json"]
    runs(dry_run=True, gammas="none", folds=0, methods=methods, pretrain_dir=public, overrides={"max_epochs": 3})
    assert asked == [("pretrain", "paired/fold_0/eval"), ("paired/fold_0", "paired/fold_0/eval")]
    printed = capsys.readouterr().out
    assert "an epoch of stage 1 takes: about " in printed
    assert "unknown" not in printed


def test_where_nothing_can_be_tried_the_plan_is_printed_and_the_reason(runs, capsys, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no memory")

    monkeypatch.setattr(command, "try_out", fail)
    runs(dry_run=True)
    printed = capsys.readouterr().out
    assert "a step could not be tried here (RuntimeError: no memory). Pass --seconds_per_epoch for a time." in printed
    assert "an epoch of stage 2 takes: unknown\ntime left: unknown" in printed


def test_the_command_line_refuses_values_of_another_kind(runs):
    arguments = ["--dataset_dir", str(runs.study), "--output", str(runs.folder)]
    with pytest.raises(
        ValueError, match=r"--detectability is 'false', expected True or False\.\n--seconds_per_epoch is"
    ):
        call(command.cross_validate, arguments=[*arguments, "--detectability=false", "--seconds_per_epoch=fast"])
    with pytest.raises(ValueError, match=r"gammas is \['a'\], expected"):  # gammas, folds, overrides as Fire reads them
        call(command.cross_validate, arguments=[*arguments, "--gammas=a", "--overrides={'max_epochs': 2}"])


def test_a_config_that_changed_ends_the_plan_with_a_clear_line(runs, tmp_path, monkeypatch):
    overlay = tmp_path / "mine.json"
    overlay.write_text('{"about": "short", "max_epochs": 3}')
    monkeypatch.setenv("FAKE_FAILURES", "gamma_0/fold_0/eval:1")
    written = Plan.write

    def change(plan):
        written(plan)
        if plan["gamma_0/fold_0"].state == State.DONE:
            overlay.write_text('{"about": "longer", "max_epochs": 4}')

    monkeypatch.setattr(Plan, "write", change)
    arguments = {"config_file": str(overlay), "gammas": 0, "folds": 0, "jobs": 1}
    with pytest.raises(
        ValueError, match=r"mine.json changed while the plan was under way, so no further run was start"
    ):
        runs(**arguments)
    monkeypatch.setattr(Plan, "write", written)
    states = [run.state for run in Plan.read(runs.folder)]
    assert states == [State.DONE, State.WAITING]
    with pytest.raises(ValueError, match=r"config_files.*mine\.json: the plan on disk has"):
        runs(**arguments)
    overlay.write_text('{"about": "short", "max_epochs": 3}')
    assert {run.state for run in runs(**arguments)} == {State.DONE}


def test_a_failed_run_is_tried_again(runs, monkeypatch):
    monkeypatch.setenv("FAKE_FAILURES", "gamma_0/fold_0:1")
    plan = runs()
    assert plan["gamma_0/fold_0"].attempts == 2
    assert {run.state for run in plan} == {State.DONE}


def test_what_needs_a_failed_run_is_not_started_and_all_is_listed_at_the_end(runs, monkeypatch, capsys):
    monkeypatch.setenv("FAKE_FAILURES", "gamma_0/fold_0:9,gamma_35/fold_1/eval:9")
    with pytest.raises(SystemExit) as caught:
        runs()
    assert caught.value.code == 1
    plan = Plan.read(runs.folder)
    states = {run.name: run.state for run in plan if run.state != State.DONE}
    failed = dict.fromkeys(("gamma_0/fold_0", "gamma_35/fold_1/eval"), State.FAILED)
    assert states == failed | {"gamma_0/fold_0/eval": State.WAITING}
    assert plan["gamma_0/fold_0"].attempts == 2
    printed = capsys.readouterr().out
    assert "gamma_0/fold_0 failed in 2 attempt(s): exit status 3. The end of" in printed
    assert printed.count("  the disk of this run is full") == 4
    assert "gamma_0/fold_0/eval was not started: gamma_0/fold_0 failed" in printed
    assert not (runs.folder / "choice.json").exists()
    monkeypatch.delenv("FAKE_FAILURES")
    assert {run.state for run in runs()} == {State.DONE}  # called again, what failed is tried anew


def test_a_process_that_ends_well_without_its_results_has_failed(plan, tmp_path):
    (tmp_path / "silent.py").write_text("")
    run = plan["gamma_0/fold_0"]
    outcome = attempt(run, Workplace(str(plan.folder), str(ROOT), runner=(str(tmp_path / "silent.py"),), poll=0.01))
    assert outcome.reason == "it ended without its results"


def test_an_error_of_a_worker_is_a_failed_attempt(plan):
    def submit(run):
        from concurrent.futures import Future

        future = Future()
        future.set_exception(OSError("no space left\non the device"))
        return future

    carry_out(plan, submit, retries=2)
    run = plan["gamma_0/fold_0"]
    assert (run.state, run.attempts, run.reason) == (State.FAILED, 3, "OSError: no space left")


def test_another_plan_is_refused_with_what_differs_or_moved_aside(runs):
    runs()
    with pytest.raises(ValueError, match=r"(?s)another plan:\n  gammas: .*\[0, 35\], this .*\[0, 100\].*--overwrite"):
        runs(gammas=(0, 100))
    with pytest.raises(ValueError, match=r"overrides.max_epochs: the plan on disk has 'nothing', this call 3"):
        runs(overrides={"max_epochs": 3})
    before = tables(runs.folder)
    plan = runs(gammas=(100,), folds=0, overwrite=True)
    assert [run.name for run in plan] == ["gamma_100/fold_0", "gamma_100/fold_0/eval"]
    assert tables(runs.folder.with_name("runs.former_1")) == before


def test_nothing_is_moved_aside_under_a_run_that_goes_on(runs):
    runs()
    lock = try_lock(runs.folder / "gamma_0/fold_0/.run.lock")
    with lock, pytest.raises(ValueError, match=r"a run still goes on in .*gamma_0/fold_0. Wait for its end"):
        runs(gammas=100, overwrite=True)
    assert runs.folder.is_dir()


def test_a_plan_of_which_nothing_has_begun_may_change(plan, runs):
    assert [run.name for run in plan] == ["gamma_0/fold_0", "gamma_0/fold_0/eval"]
    assert len(runs().runs) == 8


def test_a_folder_of_something_else_is_refused(runs):
    runs.folder.mkdir()
    (runs.folder / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds something else than a plan"):
        runs()
    assert [path.name for path in runs.folder.iterdir() if not path.name.startswith(".")] == ["thesis.tex"]


def test_wrong_arguments(runs):
    for changed, said in (
        ({"backend": "slurm"}, "backend is 'slurm', expected local or ray"),
        ({"jobs": 0}, "jobs is 0, expected a whole number of at least 1"),
        ({"retries": -1}, "retries is -1, expected a whole number of at least 0"),
        ({"num_workers": -1}, "num_workers is -1, expected a whole number of at least 0"),
        ({"gpus_per_run": -0.5}, "gpus_per_run is -0.5, expected a number of at least 0"),
        ({"seconds_per_epoch": 0}, "seconds_per_epoch is 0, expected a number above 0"),
        ({"overrides": "max_epochs"}, "overrides is 'max_epochs', expected a mapping"),
    ):
        with pytest.raises(ValueError, match=said):
            runs(**changed)


def test_the_report_that_fails_leaves_the_runs_intact(runs, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "bundle.evaluation.report", None)
    with pytest.raises(SystemExit):
        runs(report=True)
    assert "the runs are whole, but the report could not be written (" in capsys.readouterr().out
    assert {run.state for run in Plan.read(runs.folder)} == {State.DONE}


def test_the_choice_falls_back_to_the_validation_loss_and_says_so(runs):
    runs()
    for path in runs.folder.rglob("model.json"):
        card = json.loads(path.read_text())
        del card["validation"]["val_lesion_l1"]
        path.write_text(json.dumps(card))
    choice = choose_model(runs.folder)
    assert (choice["gamma"], choice["key"]) == (0, "val_loss")
    for path in runs.folder.rglob("metrics.csv"):  # a choice never looks at these
        path.write_text("broken")
    assert choose_model(runs.folder) == choice
    (runs.folder / "gamma_0/fold_0/models/model.json").write_text('{"validation": {"val_loss": null}}')
    assert choose_model(runs.folder)["reason"] == "no validation error of gamma_0/fold_0"
    with pytest.raises(ValueError, match="there is no plan in"):
        choose_model(runs.folder / "nowhere")


def started(runs, **changed):
    """The command in a process of its own, which a test may kill."""
    process = multiprocessing.get_context("fork").Process(target=_quiet, args=(runs,), kwargs=changed)
    process.start()
    return process


def _quiet(runs, **changed):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        runs(**changed)
    except KeyboardInterrupt:
        os._exit(130)


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def is_free(path):
    lock = try_lock(path)
    if lock is not None:
        lock.close()
    return lock is not None


def starts(folder):
    return sum(path.read_text().count("== ") for path in folder.rglob("run.log"))


def kill_children(folder):
    """What a power cut would do: end the processes that hold the locks of runs."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            told = path.read_bytes()
        except OSError:
            continue
        if FAKE[0].encode() in told and str(folder).encode() in told:
            os.kill(int(path.parent.name), signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds its processes by /proc")
@pytest.mark.parametrize("with_children", [True, False], ids=["all_die", "runs_go_on_alone"])
def test_killed_at_random_moments_the_tables_are_the_same(with_children, runs, tmp_path, monkeypatch):
    runs()
    straight = tables(runs.folder)
    runs.folder = tmp_path / "killed"
    monkeypatch.setenv("FAKE_SECONDS", "0.05")
    moments = random.Random(0)
    for _ in range(5 if with_children else 3):  # runs that go on alone are soon at their end
        begun = starts(runs.folder)
        process = started(runs)
        wait_until(lambda begun=begun: starts(runs.folder) > begun)
        process.join(moments.uniform(0, 0.2 if with_children else 0.05))
        assert process.is_alive(), "it was at its end before the kill"
        process.kill()
        process.join()
        if with_children:
            kill_children(runs.folder)
    plan = runs()
    assert tables(runs.folder) == straight
    assert {run.state for run in plan} == {State.DONE}
    assert max(run.attempts for run in plan) > 1, "no kill has hit a run"
    for run in plan:  # each start loses at most the epoch under way
        log = (runs.folder / run.name / "run.log").read_text()
        lost = log.count("== ") - 1 if with_children else 0  # one that goes on alone is waited for, not doubled
        assert run.run_id != "training" or 3 <= log.count("epoch ") <= 3 + lost


def test_a_run_that_goes_on_without_its_parent_is_waited_for(plan, monkeypatch):
    run = plan["gamma_0/fold_0"]
    workplace = Workplace(str(plan.folder), str(ROOT), runner=FAKE, poll=0.01)
    lock = try_lock(plan.folder / run.name / ".run.lock")
    assert try_lock(plan.folder / run.name / ".run.lock") is None
    looks = []
    assert attempt(run, workplace, lambda: len(looks) > 3 or looks.append(1)).reason == "stopped"
    assert not (plan.folder / run.name / "run.log").exists()  # nothing was started beside it
    lock.close()
    assert attempt(run, workplace).reason == ""
    assert is_finished(run, plan.folder)
    log = (plan.folder / run.name / "run.log").read_text()
    assert attempt(run, workplace).epochs == 3  # its results are there: it does not run again
    assert (plan.folder / run.name / "run.log").read_text() == log


def test_a_run_keeps_its_lock_when_its_parent_is_killed(runs, monkeypatch):
    monkeypatch.setenv("FAKE_SECONDS", "0.3")
    process = started(runs, jobs=1)
    place = runs.folder / "gamma_0/fold_0"
    wait_until(lambda: (place / "run.log").is_file() and "epoch 0" in (place / "run.log").read_text())
    process.kill()
    process.join()
    assert is_free(runs.folder / ".plan.lock")  # the program's own
    assert Plan.read(runs.folder)["gamma_0/fold_0"].state == State.RUNNING
    assert not is_free(place / ".run.lock")
    wait_until(lambda: is_free(place / ".run.lock"))
    assert is_finished(Plan.read(runs.folder)["gamma_0/fold_0"], runs.folder)


def test_two_calls_at_once_are_refused(runs, plan):
    lock = try_lock(runs.folder / ".plan.lock")
    with lock, pytest.raises(ValueError, match="another cross_validate works on"):
        runs()


@pytest.mark.forks
def test_ctrl_c_stops_the_runs_and_they_wait_again(runs, monkeypatch):
    monkeypatch.setenv("FAKE_SECONDS", "30")
    process = started(runs)
    logs = [runs.folder / f"gamma_{gamma}/fold_0/run.log" for gamma in (0, 35)]
    wait_until(lambda: all(log.is_file() and "== " in log.read_text() for log in logs))
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    process.join(10)
    assert process.exitcode == 130
    plan = Plan.read(runs.folder)
    assert {run.state for run in plan} == {State.WAITING}
    for log in logs:
        assert is_free(log.with_name(".run.lock")), "its process still runs"
        assert "KeyboardInterrupt" in log.read_text()


def test_threads_are_shared_among_the_jobs(plan, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    from bundle.experiments.attempt import _environment

    assert _environment(3)["OMP_NUM_THREADS"] == "3"
    assert "OMP_NUM_THREADS" not in _environment(None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert _environment(3)["OMP_NUM_THREADS"] == "1"


def test_a_block_that_ends_early_stops_its_runs(plan, monkeypatch):
    monkeypatch.setenv("FAKE_SECONDS", "30")
    began = time.monotonic()
    with local_runs(Workplace(str(plan.folder), str(ROOT), runner=FAKE, poll=0.01, patience=5)) as submit:
        future = submit(plan["gamma_0/fold_0"])
        wait_until((plan.folder / "gamma_0/fold_0/run.log").is_file)
        time.sleep(0.3)
    assert future.result().reason == "stopped"
    assert time.monotonic() - began < 10
