"""A plan on disk: what is ready, what is blocked, what differs, and how a command is read back."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest

from bundle.experiments.command_line import read_command_line
from bundle.experiments.estimate import as_time, seconds_left, seconds_per_epoch, under_way
from bundle.experiments.plan import Plan, Run, State, command_of


def run_of(name, needs=(), run_id="training", **changed):
    return Run(name, run_id, 2, 35, 0, list(needs), ["configs/train.json"], {}, **changed)


@pytest.fixture
def plan(tmp_path):
    """One before two, each with an evaluation."""
    runs = [
        run_of("first", max_epochs=10),
        run_of("a", ["first"], max_epochs=10),
        run_of("a/eval", ["a"], "evaluating"),
        run_of("b", ["first"], max_epochs=10),
    ]
    return Plan(tmp_path, {"gammas": [35], "overrides": {"seed": 0}}, runs)


def names(runs):
    return [run.name for run in runs]


def test_a_run_is_ready_when_all_that_it_needs_is_done(plan):
    assert names(plan.ready()) == ["first"]
    plan["first"].state = State.RUNNING
    assert names(plan.ready()) == []
    plan["first"].state = State.DONE
    assert names(plan.ready()) == ["a", "b"]
    plan["a"].state = State.DONE
    assert names(plan.ready()) == ["a/eval", "b"]


def test_what_needs_a_failed_run_is_blocked_and_its_cause_named(plan):
    assert plan.blocked() == {}
    plan["a"].state = State.FAILED
    assert plan.blocked() == {"a/eval": "a"}
    plan["a"].state, plan["first"].state = State.WAITING, State.FAILED
    assert plan.blocked() == {"a": "first", "a/eval": "first", "b": "first"}


def test_a_plan_comes_back_from_the_disk_as_it_was(plan, tmp_path):
    plan["a"].state, plan["a"].attempts, plan["a"].seconds = State.RUNNING, 2, 1.5
    plan.write()
    assert Plan.read(tmp_path) == plan
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    written = json.loads((tmp_path / "plan.json").read_text())
    assert written["runs"][0]["command"][:5] == ["python", "-m", "monai.bundle", "run", "training"]
    assert Plan.read(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"format": 2}', "its format is 2, expected 1"),
        ("{", "JSONDecodeError"),
        ('{"format": 1, "protocol": {}, "runs": [{"name": "a"}]}', "TypeError"),
        ("[]", "TypeError"),
    ],
)
def test_a_damaged_plan_is_refused(text, said, tmp_path):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ValueError, match=rf"plan.json is no plan \(.*{said}.*Restore it, or choose another --output"):
        Plan.read(tmp_path)


def test_differences_name_what_was_and_what_is_wanted(plan, tmp_path):
    other = Plan(tmp_path, {"gammas": (35,), "overrides": {"seed": 1, "max_epochs": 3}})
    assert other.differences(plan) == [
        "overrides.max_epochs: the plan on disk has 'nothing', this call 3",
        "overrides.seed: the plan on disk has 0, this call 1",
    ]
    assert plan.differences(plan) == []


def test_taken_up_what_is_done_stays_done_and_all_else_waits(plan, tmp_path):
    former = Plan(tmp_path, {}, [run_of(name, attempts=1, seconds=7.0) for name in ("first", "a", "b")])
    for name, state in (("first", State.DONE), ("a", State.RUNNING), ("b", State.FAILED)):
        former[name].state = state
    former["b"].reason = "exit status 1"
    plan.take_up(former)
    assert [run.state for run in plan] == [State.DONE, State.WAITING, State.WAITING, State.WAITING]
    assert [run.attempts for run in plan] == [1, 1, 0, 1]
    assert plan["b"].reason == ""
    assert plan["first"].seconds == 7.0


def test_the_runner_reads_a_command_back_as_it_was_meant():
    overrides = {
        "max_epochs": 3,
        "learning_rate": 1e-05,
        "amp": True,
        "ckpt_dir": "/data/with space/2024",
        "name": "2024",  # a text that looks like a number
        "init_checkpoint": "/it's/here.pt",
        "window": [1.0, 2],
        "network_def#width": 4,
        "dtype": "$torch.float32",
    }
    command = command_of(Run("a", "training", 2, 0, 0, [], ["a.json"], overrides))
    argv = ["/somewhere/monai/bundle/__main__.py", *command]
    read = read_command_line(argv)
    assert read.config_files == ["a.json"]
    assert read.overrides == {name.replace("#", "::"): value for name, value in overrides.items()}
    assert type(read.overrides["name"]) is str
    resumed = read_command_line(["/somewhere/monai/bundle/__main__.py", *command_of(run_of("a"), "r.json")])
    assert resumed.config_files == ["configs/train.json", "r.json"]


def test_none_reaches_the_config_as_an_expression():
    assert command_of(Run("a", "training", 2, 0, 0, [], [], {"micro_batch_size": None}))[-1] == (
        "--micro_batch_size=$None"
    )


def test_time_left_is_unknown_until_an_epoch_was_measured(plan):
    assert seconds_per_epoch(plan, 2) is None
    assert seconds_left(plan) is None
    # 3 trainings of 10 epochs and an evaluation, which counts as an epoch
    assert seconds_left(plan, per_epoch=2) == 3 * 20 + 2
    assert seconds_left(plan, per_epoch=2, at_once=2) == 31
    first = plan["first"]
    first.state, first.attempts, first.seconds, first.epochs = State.DONE, 1, 20.0, 4  # stopped early: 5 s an epoch
    assert seconds_per_epoch(plan, 2) == 5
    assert seconds_left(plan) == 2 * 50 + 5
    first.attempts = 2  # its seconds may lack those of a killed attempt
    assert seconds_per_epoch(plan, 2) is None


def test_what_is_measured_counts_more_than_what_is_foreseen_each_stage_by_itself(plan):
    foreseen = {"first": 100.0, "a": 300.0, "a/eval": 7.0, "b": 300.0}
    assert seconds_left(plan, foreseen=foreseen) == 707
    first = plan["first"]
    first.stage, first.state, first.attempts, first.seconds, first.epochs = 1, State.DONE, 1, 40.0, 10
    assert (seconds_per_epoch(plan, 1), seconds_per_epoch(plan, 2)) == (4, None)
    assert seconds_left(plan, foreseen=foreseen) == 607
    assert seconds_left(plan) is None
    for run in plan:  # without a forecast stage 2 takes as long a pair as stage 1 did
        run.pairs = {"training": 8, "validation": 2} if run is first else {"training": 16, "validation": 4}
    assert seconds_left(plan) == 2 * 10 * 8 + 8
    plan["a"].state, plan["a"].attempts, plan["a"].seconds, plan["a"].epochs = State.DONE, 1, 90.0, 10
    plan["a/eval"].state, plan["a/eval"].seconds = State.DONE, 3.0
    assert seconds_left(plan, foreseen=foreseen) == 90
    plan["b"].state = State.DONE
    plan["a/eval"].state = State.WAITING
    assert seconds_left(plan, foreseen=foreseen) == 7


def test_a_run_is_under_way_when_its_process_has_begun_to_write(plan):
    for name in ("a", "b"):
        plan[name].state, plan[name].began = State.RUNNING, "2026-01-01T12:00:00+0000"
        (plan.folder / name).mkdir()
    assert under_way(plan) == []  # tasks that wait for a place in a cluster
    began = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
    for name, written in (("a", began + 1), ("b", began - 60)):  # b's log is of a former attempt
        (plan.folder / name / "run.log").touch()
        os.utime(plan.folder / name / "run.log", (written, written))
    assert names(under_way(plan)) == ["a"]
    plan["a"].state = State.DONE
    assert under_way(plan) == []


def test_time_for_a_reader():
    assert as_time(None) == "unknown"
    assert as_time(3661.2) == "1:01:01"
