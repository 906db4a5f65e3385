"""The command line of a run: what python-fire hands to the runner, and the config that comes of it."""

from __future__ import annotations

import inspect
import json
import sys
import warnings
from pathlib import Path

import fire
import monai.bundle
import pytest
from monai.bundle import ConfigWorkflow, scripts, update_kwargs

from bundle.experiments import merged_config, read_command_line
from bundle.experiments.command_line import RUNNER_ARGUMENTS

RUNNER = str(Path(monai.bundle.__file__).with_name("__main__.py"))


def read(*arguments):
    return read_command_line([RUNNER, "run", *arguments])


@pytest.mark.parametrize(
    ("arguments", "overrides"),
    [
        (["--a", "1"], {"a": 1}),
        (["--a=1"], {"a": 1}),
        (["--a", "-1"], {"a": -1}),
        (["--a", "1e-5"], {"a": 1e-05}),
        (["--a", "True"], {"a": True}),
        (["--a", "true"], {"a": "true"}),
        (["--a"], {"a": True}),
        (["--a", "--b", "2"], {"a": True, "b": 2}),
        (["--noresume"], {"resume": False}),
        (["-gamma", "3"], {"gamma": 3}),
        (["--a", "[1,2]"], {"a": [1, 2]}),
        (["--a", "(1,2)"], {"a": (1, 2)}),
        (["--a", "{b: 1}"], {"a": {"b": 1}}),
        (["--a", "cuda:0"], {"a": "cuda:0"}),
        (["--a", "/data/my study"], {"a": "/data/my study"}),
        (["--a=b=c"], {"a": "b=c"}),
        (["--a", "$None"], {"a": "$None"}),
        (["--batch-size", "4"], {"batch_size": 4}),
        (["--train#trainer#max_epochs", "3"], {"train::trainer::max_epochs": 3}),
        (["--train::trainer::max_epochs=3"], {"train::trainer::max_epochs": 3}),
        (["--a", "1", "--a", "2"], {"a": 2}),
    ],
)
def test_overrides_arrive_as_python_values(arguments, overrides):
    assert read("training", *arguments).overrides == overrides


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["--config_file", "configs/train.json"], ["configs/train.json"]),
        (["--config_file=configs/train.json"], ["configs/train.json"]),
        (["--config_file", "['a/train.json','b/quickstart.json']"], ["a/train.json", "b/quickstart.json"]),
        (["--config_file", '["train.json", "quick start.json"]'], ["train.json", "quick start.json"]),
        ([], []),
    ],
)
def test_config_files_come_in_the_order_of_merging(arguments, files):
    assert read("training", *arguments).config_files == files


def test_what_belongs_to_the_runner_is_no_override():
    line = read("training", "--meta_file", "m.json", "--init_id", "i", "--logging_file", "l.conf", "--fold", "3")
    assert line.overrides == {"fold": 3}
    named = read("--run_id", "training", "--workflow_type", "train", "--tracking", "mlflow", "--fold=3")
    assert named.overrides == {"fold": 3}


def test_runner_arguments_are_those_of_the_installed_monai():
    of_run = {name for name, p in inspect.signature(scripts.run).parameters.items() if p.kind is not p.VAR_KEYWORD}
    of_workflow = set(inspect.signature(ConfigWorkflow).parameters) - {"override"}
    assert of_run | of_workflow | {"workflow_name"} == RUNNER_ARGUMENTS


def test_none_is_left_out_because_the_runner_leaves_it_out():
    line = read("training", "--init_checkpoint", "None", "--train#dataset", "None", "--meta_file", "None")
    assert line.overrides == {}
    assert line.left_out == ["init_checkpoint", "train::dataset"]


def test_args_file_gives_defaults_that_the_command_line_overrides(tmp_path):
    content = {"config_file": "train.json", "run_id": "training", "gamma": 1, "net": {"width": 8, "depth": 2}}
    path = tmp_path / "args.json"
    path.write_text(json.dumps({**content, "train#trainer#max_epochs": 5}))
    line = read("--args_file", str(path), "--gamma", "3", "--net", "{'width': 16}")
    assert line.config_files == ["train.json"]
    assert line.overrides == {"gamma": 3, "net": {"width": 16, "depth": 2}, "train::trainer::max_epochs": 5}


@pytest.mark.parametrize(
    "argv",
    [
        [],
        [RUNNER],
        [RUNNER, "verify_metadata", "--meta_file", "m.json"],
        ["/usr/bin/pytest", "run", "--fold", "3"],
        ["/somewhere/bundle/__main__.py", "run", "--fold", "3"],
    ],
)
def test_another_process_has_no_command_line_of_ours(argv):
    assert read_command_line(argv) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["training", "--config_file", "['a.json','b.json']", "--gamma=3", "--train#trainer#max_epochs", "2"],
        ["training", "i", "f", "--config_file", "a.json", "--noresume", "--overwrite", "--x", "None", "-f", "1"],
        ["--run_id", "training", "--meta_file", "m.json", "--device", "cuda:1", "--window", "(2085, 265)"],
        [
            "training",
            "--config_file",
            "a.json",
            "--note",
            "a b#c",
            "--list",
            "[a,b]",
            "--neg",
            "-1.5",
            "--",
            "--verbose",
        ],
    ],
)
def test_reads_what_the_runner_itself_is_given(arguments, monkeypatch):
    """Parity with MONAI's entry point, its workflow replaced by a recorder."""
    workflows = []

    class Recorder(ConfigWorkflow):
        def __init__(self, **given):
            workflows.append(given)

        initialize = run = finalize = lambda self: None

    monkeypatch.setattr(scripts, "ConfigWorkflow", Recorder)
    monkeypatch.setattr(scripts, "_log_input_summary", lambda **_: None)
    monkeypatch.setattr(sys, "argv", [RUNNER, "run", *arguments])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "parsing config_file", UserWarning)
        fire.Fire({"run": scripts.run})
    given = workflows[0]
    line = read(*arguments)
    files = given.pop("config_file", None) or []
    assert line.config_files == ([files] if isinstance(files, str) else files)
    assert line.overrides == {
        name.replace("#", "::"): value for name, value in given.items() if name not in RUNNER_ARGUMENTS
    }


class TestMergedConfig:
    @pytest.fixture
    def files(self, tmp_path):
        base = {"about": "base", "gamma": 35, "net": {"width": 64}, "handlers": [1], "init": "a.pt"}
        overlay = {"about": "overlay", "net#width": 16, "+handlers": [2]}
        for name, content in (("base.json", base), ("overlay.json", overlay)):
            (tmp_path / name).write_text(json.dumps(content))
        return str([str(tmp_path / "base.json"), str(tmp_path / "overlay.json")])

    def test_holds_overlays_and_overrides(self, files):
        line = read("training", "--config_file", files, "--gamma", "3", "--net#depth", "2", "--init", "None")
        assert merged_config(line) == {
            "about": "overlay",
            "gamma": 3,
            "net": {"width": 16, "depth": 2},
            "handlers": [1, 2],
            "init": "a.pt",
        }

    def test_there_is_none_without_config_files(self):
        assert merged_config(None) is None
        assert merged_config(read("training", "--gamma", "3")) is None


def test_the_runner_still_drops_none():
    """What ``left_out`` stands for; were it to change, the check would refuse what works."""
    assert update_kwargs(args={"a": 1}, a=None, b=None) == {"a": 1}
