"""A run that is killed and resumed ends where the straight run ends, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from workflows_support import TINY, config_files

SETTINGS = (*("--max_epochs", 4), *("--pool_size", 3), *("--gamma", 35), *("--warmup_epochs", 1), *("--num_workers", 2))
ITERATIONS_AN_EPOCH = 2
KILLED_RUN = Path(__file__).with_name("killed_run.py")


def _arguments(study, folder):
    return ("--dataset_dir", study, "--ckpt_dir", folder / "models", "--output_dir", folder / "eval", *SETTINGS)


def _leaves(value, path=""):
    """Every tensor and number of a nested state, by its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}/{key}")
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}/{place}")
    else:
        yield path, value


def assert_same_end(one: Path, other: Path) -> None:
    for name in ("model.pt", "checkpoint.pt"):
        states = [torch.load(folder / "models" / name, weights_only=True) for folder in (one, other)]
        mine, others = (dict(_leaves(state)) for state in states)
        assert mine.keys() == others.keys()
        for path, value in mine.items():
            same = torch.equal(value, others[path]) if isinstance(value, torch.Tensor) else value == others[path]
            assert same, f"{name}{path}"
        assert (one / "models" / name).read_bytes() == (other / "models" / name).read_bytes()
    assert (one / "models/model.json").read_bytes() == (other / "models/model.json").read_bytes()


@pytest.fixture(scope="module")
def straight(study, tmp_path_factory, run_bundle):
    folder = tmp_path_factory.mktemp("straight")
    run_bundle("training", "--config_file", config_files("train.json"), *_arguments(study, folder))
    return folder


def _killed_and_resumed(kill_at, study, folder, run_bundle):
    arguments = _arguments(study, folder)
    killed = run_bundle(
        *("training", "--config_file", config_files("train.json"), *arguments),
        script=(KILLED_RUN,),
        status=None,
        KILL_AT=kill_at,
    )
    assert killed.returncode == -9, killed.stderr[-2000:]
    resumed = config_files("train.json", "resume.json")
    if not (folder / "models/checkpoint.pt").exists():  # killed before the first epoch was saved
        resumed = config_files("train.json")
    return run_bundle("training", "--config_file", resumed, *arguments)


# in the third epoch's first iteration; while checkpoint.pt of the second judged epoch is half written
@pytest.mark.parametrize("kill_at", ["iteration:5", "write:7"])
def test_killed_and_resumed_equals_straight(kill_at, study, straight, tmp_path, run_bundle):
    _killed_and_resumed(kill_at, study, tmp_path, run_bundle)
    assert_same_end(straight, tmp_path)


# eight iterations; ten writes: checkpoint.pt after each of four epochs, model.pt and model.json after three of them
@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [f"iteration:{n}" for n in range(1, 9)] + [f"write:{n}" for n in range(1, 11)])
def test_every_kill(kill_at, study, straight, tmp_path, run_bundle):
    _killed_and_resumed(kill_at, study, tmp_path, run_bundle)
    assert_same_end(straight, tmp_path)


@pytest.mark.forks
def test_a_finished_run_can_be_resumed_and_stays_what_it_was(study, straight, tmp_path, run_bundle):
    before = {name: (straight / "models" / name).read_bytes() for name in ("model.pt", "checkpoint.pt")}
    run_bundle("training", "--config_file", config_files("train.json", "resume.json"), *_arguments(study, straight))
    assert before == {name: (straight / "models" / name).read_bytes() for name in before}


def test_a_fresh_process_loads_both_files_with_weights_only(straight):
    assert TINY.is_file()
    checkpoint = torch.load(straight / "models/checkpoint.pt", weights_only=True)
    model = torch.load(straight / "models/model.pt", weights_only=True)
    assert set(checkpoint["networks"]) == {"gen_le_to_des", "gen_des_to_le", "disc_des", "disc_le"}
    assert model.keys() == checkpoint["networks"]["gen_le_to_des"].keys()
