"""Every mistake in a config or on a command line is named, with what came, what was expected and what to do."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from bundle.experiments.check_config import (
    NUMBERS,
    config_problems,
    override_problems,
    setting_problems,
    stack_problems,
)
from bundle.experiments.command_line import CommandLine

CONFIGS = Path(__file__).parents[2] / "configs"


def problems_of(left_out=(), config=CONFIGS / "train.json", **overrides):
    overrides = {name.replace("__", "::"): value for name, value in overrides.items()}
    return override_problems(CommandLine([str(config)], overrides, list(left_out)))


class TestDicom:
    def problems(self, **settings):
        return setting_problems({"device": "cpu", **settings})

    def test_everything_at_once(self, tmp_path):
        (tmp_path / "mine.json").write_text('{"vendors": [{"name": "X", "image_typ": {}}]}')
        missing = tmp_path / "no.json"
        assert self.problems(series_number="nine", series_description="Ä" * 3, vendors=str(missing)) == [
            f"series_number is 'nine', expected None or a whole number from 0 to {2**31 - 1}.",
            "series_description is 'ÄÄÄ', expected at most 34 ASCII letters, no backslash.",
            f"vendors is {str(missing)!r}, expected a vendor file: No such file or directory",
        ]
        (found,) = self.problems(vendors=str(tmp_path / "mine.json"))
        assert "has 1 problem(s): entry 1: 'image_typ', expected one of" in found
        assert "\n" not in found

    @pytest.mark.parametrize("number", [-1, 2**31, 1.5, True])
    def test_no_series_number(self, number):
        assert self.problems(series_number=number) == [
            f"series_number is {number!r}, expected None or a whole number from 0 to {2**31 - 1}."
        ]

    def test_good_ones(self):
        assert self.problems(series_number=9000, series_description="virtual DES 2", vendors=None) == []


class TestStacks:
    def problems(self, *names, **overrides):
        return stack_problems(CommandLine([str(CONFIGS / f"{name}.json") for name in ("train", *names)], overrides))

    def test_the_last_overlay_does_not_name_them_all(self):
        stack = ("baselines/resnet_l1", "ablation/lesion_weighted", "quickstart", "ablation/averaged")
        assert self.problems(*stack) == [
            "method is averaged, which is the last of the stacked overlays resnet_l1, lesion_weighted, averaged alone. "
            "Pass --method resnet_l1+lesion_weighted+averaged: it names the row of the tables, and the folders."
        ]
        assert self.problems(*stack, method="mine") == []

    def test_a_weight_that_nothing_takes(self):
        for names in (["ablation/lesion_weighted"], ["ablation/paired", "ablation/lesion_weighted"]):
            (found,) = self.problems(*names, method="mine")
            assert found == (
                "lesion_weight is 10.0, but nothing of this config takes it: configs/ablation/lesion_weighted.json is "
                "laid over a baseline of configs/baselines."
            )

    def test_one_overlay_and_none(self):
        assert self.problems() == self.problems("ablation/paired", "fast") == stack_problems(None) == []


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("name", "nearest"),
        [
            ("gama", "--gamma"),
            ("Gamma", "--gamma"),
            ("epochs", "--max_epochs"),
            ("checkpoint_dir", "--ckpt_dir"),
            ("train::datset", "--train#dataset"),
            ("train::trainer::max_epoch", "--train#trainer#max_epochs"),
            ("network_def::widht", "--network_def#width"),
            ("network_def::init_std", None),  # an argument that the class takes and the config does not name
        ],
    )
    def test_the_nearest_key_is_named(self, name, nearest):
        found = override_problems(CommandLine([str(CONFIGS / "train.json")], {name: 3}))
        option = "--" + name.replace("::", "#")
        said = [f"{option}: the config has no such key. Did you mean {nearest}?"]
        assert found == (said if nearest else [])

    def test_nothing_near_is_no_guess(self):
        assert problems_of(xyzzy=3) == ["--xyzzy: the config has no such key."]

    def test_a_key_under_a_value_or_under_nothing_is_unknown(self):
        assert problems_of(fold__first=3) == ["--fold#first: the config has no such key."]
        assert problems_of(nowhere__first=3) == ["--nowhere#first: the config has no such key."]

    def test_a_misspelt_key_without_a_value_is_unknown_too(self):
        assert problems_of(left_out=["gama"]) == ["--gama: the config has no such key. Did you mean --gamma?"]

    def test_the_keys_of_an_overlay_are_known(self):
        files = [str(CONFIGS / "train.json"), str(CONFIGS / "evaluate.json")]
        assert override_problems(CommandLine(files, {"part": "validation"})) == []
        assert override_problems(CommandLine(files[:1], {"part": "validation"})) != []

    def test_a_new_argument_of_an_object_is_its_own_business(self):
        assert problems_of(network_def__init_std=0.02, train__handlers__4__interval=2) == []


class TestValues:
    @pytest.mark.parametrize(("value", "right"), [("true", "True"), ("false", "False"), ("False", "False")])
    def test_truth_as_text(self, value, right):
        assert problems_of(resume=value) == [
            f"--resume {value}: this arrives as the text {value!r}. Write --resume {right}."
        ]

    @pytest.mark.parametrize("value", ["null", "None", "none"])
    def test_null_as_text(self, value):
        said = f"--init_checkpoint {value}: this arrives as the text {value!r}. Write --init_checkpoint '$None'."
        assert problems_of(init_checkpoint=value) == [said]

    def test_null_as_text_under_an_object(self):
        said = "--network_def#norm null: this arrives as the text 'null'. Write --network_def#norm '$None'."
        assert problems_of(network_def__norm="null") == []  # text in the config, text it stays
        assert problems_of(gen_des_to_le="null") == [said.replace("network_def#norm", "gen_des_to_le")]

    def test_the_advised_null_is_one(self):
        assert ConfigParser({"init_checkpoint": "$None"}).get_parsed_content("init_checkpoint") is None

    def test_none_that_the_runner_drops(self):
        said = "--gamma None: the runner leaves this out. Write --gamma '$None'."
        assert problems_of(left_out=["gamma"]) == [said]
        assert problems_of(left_out=["init_checkpoint"]) == []  # null already

    def test_words_that_an_option_is_made_of_stay_words(self, tmp_path):
        config = tmp_path / "config.json"
        config.write_text(
            json.dumps({"stretch": {"_target_": "bundle.transforms.ContrastStretchd", "method": "window"}})
        )
        assert problems_of(config=config, stretch__method="none") == []

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("gamma", "lots", "expected a number, like the config's 35"),
            ("gamma", [35], "expected a number, like the config's 35"),
            ("gamma", True, "expected a number, like the config's 35"),
            ("learning_rate", "1e-5,", "expected a number, like the config's 1e-05"),
            ("resume", 1, "expected True or False, like the config's False"),
            ("resume", "yes", "expected True or False, like the config's False"),
            ("precision", 16, "expected text, like the config's 'fp32'"),
        ],
    )
    def test_values_of_another_kind(self, name, value, said):
        assert problems_of(**{name: value}) == [f"--{name} {value}: {said}."]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("gamma", 0.5),
            ("gamma", "$2 * @lambda_cycle"),
            ("gamma", "@lambda_cycle"),
            ("resume", True),
            ("precision", "bf16"),
            ("device", "cpu"),
            ("dataset_dir", "/data/true"),
            ("micro_batch_size", 2),
            ("init_checkpoint", "$None"),
            ("network_def", {"_target_": "bundle.networks.ResnetGenerator"}),
        ],
    )
    def test_what_fits(self, name, value):
        assert problems_of(**{name: value}) == []

    def test_all_at_once_in_the_order_given(self):
        found = problems_of(gama=3, resume="true", batch_size="8x")
        assert [re.match(r"--(\w+)", line)[1] for line in found] == ["gama", "resume", "batch_size"]

    def test_no_command_line_is_no_problem(self):
        assert override_problems(None) == override_problems(CommandLine([], {"gama": 3})) == []


@pytest.fixture
def problems(settings_of, tmp_path):
    def found(world_size=1, **changed):
        return setting_problems(settings_of(tmp_path, **changed), world_size)

    return found


class TestSettings:
    def test_a_good_run(self, problems):
        assert problems() == []

    @pytest.mark.parametrize("name", NUMBERS)
    def test_every_number_has_a_lower_end(self, problems, name):
        lowest, whole = NUMBERS[name]
        kind = "a whole number" if whole else "a number"
        said = f"{name} is {{!r}}, expected {kind} of at least {lowest}."
        assert problems(**{name: lowest}) == []
        assert said.format(lowest - 1) in problems(**{name: lowest - 1})
        for wrong in ("8", None if name != "micro_batch_size" else "null", True, [lowest], math.nan, math.inf):
            assert said.format(wrong) in problems(**{name: wrong})
        half = lowest + 0.5
        assert problems(**{name: half}) == ([said.format(half)] if whole else [])

    def test_numbers_that_the_run_has_not_are_not_asked_for(self):
        assert setting_problems({"device": "cpu"}) == []

    def test_micro_batch_size_may_be_none(self, problems):
        assert problems(micro_batch_size=None) == []

    def test_image_size_is_a_multiple_of_four(self, problems):
        assert problems(image_size=130) == [
            "image_size is 130, expected a multiple of 4 (the generator halves it twice)."
        ]

    def test_image_size_is_what_the_generator_can_halve(self):
        def found(image_size, config="train.json", **overrides):
            line = CommandLine([str(CONFIGS / config)], {key.replace("__", "::"): overrides[key] for key in overrides})
            return config_problems({"device": "cpu", "image_size": image_size}, line)

        said = ["image_size is 100, expected a multiple of 8 (the generator halves it 3 time(s))."]
        assert found(100, network_def__num_downsamples=3) == said
        assert found(104, network_def__num_downsamples=3) == []
        assert found(98, network_def__num_downsamples=1) == []
        assert found(100) == []
        assert found(98, "inference.json") != []  # the card's number is not known here
        assert setting_problems({"device": "cpu", "image_size": 40, "with_vif": True, "num_downsamples": 3}) == [
            "image_size is 40, but VIF needs images of 41 px: pass --image_size 48 or more, or leave VIF out "
            "(--evaluate#metrics#with_vif False)."
        ]

    def test_batch_is_shared_by_the_processes(self, problems):
        assert problems(world_size=4) == []
        assert problems(world_size=3) == ["batch_size 8 cannot be shared by 3 processes: pass a multiple of 3."]

    @pytest.mark.parametrize("name", ["dataset_dir", "datalist", "folds", "ckpt_dir", "output_dir"])
    def test_a_folder_named_by_a_number(self, problems, name):
        said = f"{name} is 2024, expected a path as text. Write --{name} ./NAME."
        assert problems(**{name: 2024}) == [said]
        assert problems(**{name: Path("2024")}) == []

    @pytest.mark.parametrize("name", ["resume", "overwrite"])
    @pytest.mark.parametrize("value", ["true", 1, None])
    def test_flags(self, problems, name, value):
        assert problems(**{name: value}) == [f"{name} is {value!r}, expected True or False."]


class TestDevice:
    @pytest.mark.parametrize("value", ["cpuu", "cuda:x", 3.5])
    def test_unknown(self, problems, value):
        found = problems(device=value)
        assert len(found) == 1
        assert found[0].startswith(f"device is {value!r}, expected cpu, cuda or cuda:N (")
        assert "\n" not in found[0]

    def test_cuda_that_is_not_there(self, problems, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        said = "device is cuda:0, but this machine has no CUDA device. Pass --device cpu."
        assert problems(device="cuda:0") == problems(device=torch.device("cuda:0")) == [said]

    def test_cuda_of_a_number_too_high(self, problems, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        assert problems(device="cuda") == problems(device="cuda:1") == []
        assert problems(device="cuda:2") == ["device is cuda:2, but this machine has cuda:0 to cuda:1."]

    def test_precision(self, problems, monkeypatch):
        assert problems(precision="bf16") == []
        assert problems(precision="half") == ["precision is 'half', expected fp32, bf16 or fp16."]
        said = "precision fp16 needs a CUDA device, but device is cpu. Take bf16 or fp32."
        assert problems(precision="fp16") == [said]
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        assert problems(precision="fp16", device="cuda") == []


class TestCheckpoints:
    def test_resume_without_a_checkpoint(self, problems, tmp_path):
        said = (
            f"resume is True, but {tmp_path / 'models'} has no checkpoint.pt. Point --ckpt_dir at the run that "
            "stopped, or start anew without --resume and resume.json."
        )
        assert problems(resume=True) == [said]
        (tmp_path / "models").mkdir()
        (tmp_path / "models/checkpoint.pt").touch()
        assert problems(resume=True) == []

    def test_init_checkpoint_that_is_not_there(self, problems, tmp_path):
        path = tmp_path / "pretrained" / "checkpoint.pt"
        said = f"there is no init_checkpoint {path}. Pre-train first (configs/pretrain.json) or pass --init_checkpoint."
        assert problems(init_checkpoint=str(path)) == [said]
        path.parent.mkdir()
        path.touch()
        assert problems(init_checkpoint=str(path)) == []

    def test_a_resumed_run_asks_no_more_for_what_it_started_from(self, problems, tmp_path):
        (tmp_path / "models").mkdir()
        (tmp_path / "models/checkpoint.pt").touch()
        assert problems(resume=True, init_checkpoint="gone.pt") == []

    def test_init_checkpoint_that_the_run_would_move_aside(self, problems, tmp_path):
        path = tmp_path / "models" / "checkpoint.pt"
        path.parent.mkdir()
        path.touch()
        assert problems(init_checkpoint=str(path)) == [
            f"init_checkpoint {path} lies in ckpt_dir, whose former run is moved aside before a new one. "
            "Pass another --ckpt_dir."
        ]

    def test_a_ckpt_dir_that_is_no_path_is_said_once(self, problems):
        assert len(problems(ckpt_dir=7, resume=True)) == 1


def test_vif_needs_larger_images_where_it_is_computed(settings_of, tmp_path):
    (problem,) = setting_problems(settings_of(tmp_path, image_size=40, with_vif=True))
    assert problem.startswith("image_size is 40, but VIF needs images of 41 px: pass --image_size 44 or more")
    assert setting_problems(settings_of(tmp_path, image_size=44, with_vif=True)) == []
    assert setting_problems(settings_of(tmp_path, image_size=40, with_vif=False)) == []


def test_devices_of_this_machine_do_not_matter_elsewhere(settings_of, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = settings_of(tmp_path, device="cuda:3", precision="fp16")
    assert setting_problems(settings, here=False) == []
    (problem,) = setting_problems(settings)
    assert problem == "device is cuda:3, but this machine has no CUDA device. Pass --device cpu."
    assert "device is 'gpu', expected cpu" in setting_problems({**settings, "device": "gpu"}, here=False)[0]
