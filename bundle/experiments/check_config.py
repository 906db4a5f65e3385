"""What is wrong with the config of a run, all of it, before anything is built."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from .command_line import CommandLine

__all__ = ["override_problems", "setting_problems"]

TEXT_FOR_VALUE = {"true": "True", "false": "False", "null": "None", "none": "None"}


def override_problems(command_line: CommandLine | None) -> list[str]:
    """Overrides that name no key of the config, and values that arrived as text."""
    if command_line is None or not command_line.config_files:
        return []
    parser = ConfigParser(config=ConfigParser.load_config_files(command_line.config_files))
    problems = []
    for name, value in command_line.overrides.items():
        if name not in parser and not _is_new_argument(parser, name):
            parent, _, last = name.rpartition("::")
            siblings = parser.get(parent) if not parent or parent in parser else parser.get("")
            near = difflib.get_close_matches(last, [str(key) for key in siblings or {}], n=1, cutoff=0.5)
            hint = f" Did you mean --{parent + '::' if parent else ''}{near[0]}?" if near else ""
            problems.append(f"--{name}: the config has no such key.{hint}")
            continue
        if isinstance(value, str) and value.lower() in TEXT_FOR_VALUE:
            right = TEXT_FOR_VALUE[value.lower()]
            problems.append(f"--{name} {value}: this arrives as the text {value!r}. Write --{name} {right}.")
            continue
        problems += _type_problem(name, parser.get(name), value)
    return problems


def _is_new_argument(parser: ConfigParser, name: str) -> bool:
    """Whether the override adds an argument to an object; its class says itself which ones it takes."""
    parent = name.rpartition("::")[0]
    return bool(parent) and parent in parser and isinstance(parser.get(parent), dict) and "_target_" in parser[parent]


def _type_problem(name: str, declared: Any, value: Any) -> list[str]:
    if isinstance(value, str) and value[:1] in ("$", "@", "%"):
        return []
    if isinstance(declared, bool):
        wrong = not isinstance(value, bool)
    elif isinstance(declared, int | float):
        wrong = isinstance(value, bool) or not isinstance(value, int | float)
    else:
        return []
    expected = "True or False" if isinstance(declared, bool) else "a number"
    return [f"--{name} {value}: expected {expected}, like the config's {declared!r}."] if wrong else []


# setting -> (lowest value, whole number)
NUMBERS: dict[str, tuple[float, bool]] = {
    "fold": (0, True),
    "image_size": (32, True),
    "batch_size": (1, True),
    "micro_batch_size": (1, True),
    "num_workers": (0, True),
    "learning_rate": (0, False),
    "weight_decay": (0, False),
    "max_epochs": (1, True),
    "val_interval": (1, True),
    "patience": (1, True),
    "warmup_epochs": (0, True),
    "lambda_cycle": (0, False),
    "lambda_identity": (0, False),
    "gamma": (0, False),
    "pool_size": (0, True),
}
OPTIONAL = ("micro_batch_size", "init_checkpoint")


def setting_problems(settings: Mapping[str, Any], world_size: int = 1) -> list[str]:
    """Root keys whose value cannot work: numbers out of range, precision, device, checkpoints that are not there."""
    problems = []
    for name, (lowest, whole) in NUMBERS.items():
        if name not in settings or (settings[name] is None and name in OPTIONAL):
            continue
        value = settings[name]
        is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not is_number or value < lowest:
            kind = "a whole number" if whole else "a number"
            problems.append(f"{name} is {value!r}, expected {kind} of at least {lowest}.")
    if isinstance(settings.get("image_size"), int) and settings["image_size"] % 4:
        problems.append(
            f"image_size is {settings['image_size']}, expected a multiple of 4 (the generator halves it twice)."
        )
    if isinstance(settings.get("batch_size"), int) and settings["batch_size"] % world_size:
        problems.append(f"batch_size {settings['batch_size']} cannot be shared by {world_size} processes.")
    problems += _precision_and_device_problems(settings)
    for name in ("resume", "overwrite"):
        if name in settings and not isinstance(settings[name], bool):
            problems.append(f"{name} is {settings[name]!r}, expected True or False.")
    if settings.get("resume") is True and not (Path(settings["ckpt_dir"]) / "checkpoint.pt").is_file():
        problems.append(f"resume is True, but {settings['ckpt_dir']} has no checkpoint.pt. Start without --resume.")
    init = settings.get("init_checkpoint")
    if init is not None and not settings.get("resume") and not Path(str(init)).is_file():
        problems.append(
            f"there is no init_checkpoint {init}. Pre-train first (configs/pretrain.json) or pass --init_checkpoint."
        )
    return problems


def _precision_and_device_problems(settings: Mapping[str, Any]) -> list[str]:
    problems = []
    try:
        device = torch.device(settings["device"])
    except (RuntimeError, TypeError) as error:
        return [f"device is {settings['device']!r}, expected cpu, cuda or cuda:N ({str(error).splitlines()[0]})."]
    if device.type == "cuda" and not torch.cuda.is_available():
        problems.append(f"device is {device}, but this machine has no CUDA device. Pass --device cpu.")
    precision = settings.get("precision", "fp32")
    if precision not in ("fp32", "bf16", "fp16"):
        problems.append(f"precision is {precision!r}, expected fp32, bf16 or fp16.")
    elif precision == "fp16" and device.type != "cuda":
        problems.append(f"precision fp16 needs a CUDA device, but device is {device}. Take bf16 or fp32.")
    return problems
