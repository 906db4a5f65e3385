"""What is wrong with the config of a run, all of it, before anything is built."""

from __future__ import annotations

import difflib
import inspect
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from pydoc import locate
from typing import Any

import torch
from monai.bundle import ComponentLocator, ConfigParser

from ..data.disk_cache import CACHES
from ..dicom.energy import read_rules
from ..dicom.synthesis import Form
from ..dicom.transfer_syntax import SYNTAXES
from ..engines.trainer import COMPILE_MODES
from ..inference.backends import backend_problems
from ..inference.save_dicom import ALSO
from ..metrics.image_quality import VIF_SMALLEST
from .command_line import CommandLine

__all__ = ["config_problems", "override_problems", "setting_problems", "stack_problems"]

REFERENCES = ("$", "@", "%")  # a text that the parser evaluates
NONE = "'$None'"  # the runner drops an override that is None, but not an expression that gives it
TEXT_FOR_VALUE = {"true": "True", "false": "False", "null": NONE, "none": NONE}


def config_problems(
    settings: Mapping[str, Any], command_line: CommandLine | None, world_size: int = 1, here: bool = True
) -> list[str]:
    """Problems of the overrides, then those of the settings that no override was already blamed for."""
    problems = override_problems(command_line)
    settings = {"num_downsamples": _num_downsamples(command_line), **settings}
    named = {problem.split()[0].removeprefix("--").rstrip(":") for problem in problems}
    return problems + [found for found in setting_problems(settings, world_size, here) if found.split()[0] not in named]


def stack_problems(command_line: CommandLine | None) -> list[str]:
    """Overlays of a training that are named by the last one alone, or of which one changes nothing."""
    if command_line is None or not command_line.config_files:
        return []
    contents = [ConfigParser.load_config_file(path) for path in command_line.config_files]
    methods = [content["method"] for content in contents if content.get("method")]
    problems = []
    if len(methods) > 1 and "method" not in command_line.overrides:
        problems.append(
            f"method is {methods[-1]}, which is the last of the stacked overlays {', '.join(methods)} alone. "
            f"Pass --method {'+'.join(methods)}: it names the row of the tables, and the folders."
        )
    config = ConfigParser.load_config_files(command_line.config_files)
    if "lesion_weight" in config and "@lesion_weight" not in json.dumps(config, default=str):
        problems.append(
            f"lesion_weight is {config['lesion_weight']}, but nothing of this config takes it: "
            "configs/ablation/lesion_weighted.json is laid over a baseline of configs/baselines."
        )
    return problems


def _num_downsamples(command_line: CommandLine | None) -> int:
    """The generator's, as config and overrides say; the paper's 2 where a model's card has it, or nothing does."""
    if command_line is None or not command_line.config_files:
        return 2
    parser = ConfigParser(config=ConfigParser.load_config_files(command_line.config_files))
    name = "network_def::num_downsamples"
    declared = command_line.overrides.get(name, parser.get(name))
    return declared if _is_number(declared, whole=True) and declared > 0 else 2


def override_problems(command_line: CommandLine | None) -> list[str]:
    """Overrides that name no key of the config, that the runner drops, or whose value is of another kind."""
    if command_line is None or not command_line.config_files:
        return []
    parser = ConfigParser(config=ConfigParser.load_config_files(command_line.config_files))
    given = {**dict.fromkeys(command_line.left_out), **command_line.overrides}
    problems = [_override_problem(parser, name, value) for name, value in given.items()]
    return [problem for problem in problems if problem]


def _override_problem(parser: ConfigParser, name: str, value: Any) -> str:
    option = "--" + name.replace("::", "#")
    parent, _, last = name.rpartition("::")
    siblings = parser.get(parent)
    if name not in parser:
        known = set(map(str, siblings)) if isinstance(siblings, dict) else set()
        if "_target_" in known:
            arguments = _arguments_of(str(siblings["_target_"]))
            if arguments is None or last in arguments or last.startswith("_"):
                return ""  # a new argument of an object
            known = arguments
        near = difflib.get_close_matches(last, sorted(known), n=1, cutoff=0.5)
        return f"{option}: the config has no such key." + (
            f" Did you mean {option.removesuffix(last)}{near[0]}?" if near else ""
        )
    declared = parser.get(name)
    declared_text = isinstance(declared, str) and not declared.startswith(REFERENCES)
    if value is None:
        return "" if declared is None else f"{option} None: the runner leaves this out. Write {option} {NONE}."
    if isinstance(value, str):
        if value.startswith(REFERENCES):
            return ""
        if value.lower() in TEXT_FOR_VALUE and not declared_text:
            right = TEXT_FOR_VALUE[value.lower()]
            return f"{option} {value}: this arrives as the text {value!r}. Write {option} {right}."
    if isinstance(declared, bool):
        expected, fits = "True or False", isinstance(value, bool)
    elif isinstance(declared, int | float):
        expected, fits = "a number", isinstance(value, int | float) and not isinstance(value, bool)
    elif declared_text and not parent:  # an object's own argument may take other kinds as well
        expected, fits = "text", isinstance(value, str)
    else:
        return ""
    return "" if fits else f"{option} {value}: expected {expected}, like the config's {declared!r}."


def _arguments_of(target: str) -> set[str] | None:
    """The arguments that a config's ``_target_`` takes; None where it takes any, or is not found."""
    module = "" if "." in target else ComponentLocator().get_component_module_name(target)
    component = locate(f"{module}.{target}" if module else target)
    if not callable(component):
        return None
    parameters = inspect.signature(component).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return set(parameters)


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
    "num_writers": (0, True),
    "time_limit": (1, False),
}
OPTIONAL = ("micro_batch_size",)
PATHS = ("dataset_dir", "datalist", "folds", "ckpt_dir", "output_dir", "ckpt_path", "cache_dir")
FLAGS = ("resume", "overwrite", "visible_mark", "unknown_is_le", "channels_last", "batched_calls", "deterministic")


def setting_problems(settings: Mapping[str, Any], world_size: int = 1, here: bool = True) -> list[str]:
    """Root keys whose value cannot work: numbers out of range, precision, device, checkpoints that are not there.

    Args:
        settings: the root keys of a run, resolved; ``with_vif`` says that VIF is computed, ``num_downsamples`` how
            often the generator halves an image, 2 where it is not there.
        world_size: processes that share a batch.
        here: whether this machine is to carry it out; else its devices do not matter.
    """
    problems = []
    for name, (lowest, whole) in NUMBERS.items():
        if name not in settings or (settings[name] is None and name in OPTIONAL):
            continue
        if name == "image_size" and settings[name] == "native" and "backend" in settings:
            continue
        if not _is_number(settings[name], whole) or settings[name] < lowest:
            kind = "a whole number" if whole else "a number"
            problems.append(f"{name} is {settings[name]!r}, expected {kind} of at least {lowest}.")
    image_size, batch_size = settings.get("image_size"), settings.get("batch_size")
    if image_size == "native" and isinstance(batch_size, int) and batch_size > 1:
        problems.append(f"image_size native leaves images of different sizes, but batch_size is {batch_size}: pass 1.")
    halvings = settings.get("num_downsamples", 2)
    step, often = 2**halvings, "twice" if halvings == 2 else f"{halvings} time(s)"
    if isinstance(image_size, int) and image_size % step:
        problems.append(f"image_size is {image_size}, expected a multiple of {step} (the generator halves it {often}).")
    if isinstance(image_size, int) and settings.get("with_vif") and 32 <= image_size < VIF_SMALLEST:
        problems.append(
            f"image_size is {image_size}, but VIF needs images of {VIF_SMALLEST} px: pass --image_size "
            f"{math.ceil(VIF_SMALLEST / step) * step} or more, or leave VIF out (--evaluate#metrics#with_vif False)."
        )
    if isinstance(batch_size, int) and batch_size % world_size:
        problems.append(
            f"batch_size {batch_size} cannot be shared by {world_size} processes: pass a multiple of {world_size}."
        )
    problems += _precision_and_device_problems(settings, here)
    problems += _cache_problems(settings, here)
    for name in PATHS:
        if name in settings and not isinstance(settings[name], str | os.PathLike):
            problems.append(f"{name} is {settings[name]!r}, expected a path as text. Write --{name} ./NAME.")
    for name in FLAGS:
        if name in settings and not isinstance(settings[name], bool):
            problems.append(f"{name} is {settings[name]!r}, expected True or False.")
    return problems + _dicom_problems(settings) + _checkpoint_problems(settings)


def _dicom_problems(settings: Mapping[str, Any]) -> list[str]:
    """Of the form in which a batch of exams is written."""
    problems = []
    syntax, also, window = (settings.get(name) for name in ("transfer_syntax", "also", "des_window"))
    if syntax is not None and syntax not in SYNTAXES:
        problems.append(f"transfer_syntax is {syntax!r}, expected one of {', '.join(SYNTAXES)}.")
    if also is not None and not (isinstance(also, list | tuple) and set(also) <= set(ALSO)):
        problems.append(f"also is {also!r}, expected a list of some of {', '.join(ALSO)}. Write --also \"['png']\".")
    if window is not None and not (
        isinstance(window, list | tuple)
        and len(window) == 2
        and all(_is_number(value, whole=False) for value in window)
        and window[1] > 0
        and window[0] + window[1] / 2 > 0
    ):
        problems.append(
            f"des_window is {window!r}, expected [centre, width] of a DES image in its stored values, width above 0."
        )
    number, description, vendors = (settings.get(name) for name in ("series_number", "series_description", "vendors"))
    if number is not None and not (_is_number(number, whole=True) and 0 <= number < 2**31):
        problems.append(f"series_number is {number!r}, expected None or a whole number from 0 to {2**31 - 1}.")
    try:
        Form(series_description=description)
    except ValueError as error:
        problems.append(str(error).removeprefix("Form: "))
    if vendors is not None:
        try:
            read_rules(vendors)
        except (OSError, TypeError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            problems.append(f"vendors is {vendors!r}, expected a vendor file: {' '.join(said.split())}")
    return problems


def _is_number(value: Any, whole: bool) -> bool:
    return isinstance(value, int if whole else int | float) and not isinstance(value, bool) and math.isfinite(value)


def _cache_problems(settings: Mapping[str, Any], here: bool) -> list[str]:
    cache, folder = settings.get("cache", "memory"), settings.get("cache_dir")
    if cache not in CACHES:
        return [f"cache is {cache!r}, expected one of {', '.join(CACHES)}."]
    if cache == "memory" or not here or not isinstance(folder, str | os.PathLike):
        return []
    there = next(path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists())
    needed = os.R_OK if there == Path(folder).absolute() else os.W_OK  # one that is whole may be read-only
    if there.is_dir() and os.access(there, needed | os.X_OK):
        return []
    lack = "read" if needed == os.R_OK and there.is_dir() else "written to"
    return [f"cache is disk, but {folder} cannot be {lack}. Pass another --cache_dir, or --cache memory."]


def _precision_and_device_problems(settings: Mapping[str, Any], here: bool) -> list[str]:
    problems = []
    try:
        device = torch.device(settings["device"])
    except (RuntimeError, TypeError) as error:
        return [f"device is {settings['device']!r}, expected cpu, cuda or cuda:N ({str(error).splitlines()[0]})."]
    if here and device.type == "cuda" and not torch.cuda.is_available():
        problems.append(f"device is {device}, but this machine has no CUDA device. Pass --device cpu.")
    elif here and device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        problems.append(f"device is {device}, but this machine has cuda:0 to cuda:{torch.cuda.device_count() - 1}.")
    precision = settings.get("precision", "fp32")
    if "backend" in settings:  # of an inference
        problems += backend_problems(settings["backend"], precision, device, settings.get("backend_tolerance"))
    elif precision not in ("fp32", "bf16", "fp16"):
        problems.append(f"precision is {precision!r}, expected fp32, bf16 or fp16.")
    elif precision == "fp16" and device.type != "cuda":
        problems.append(f"precision fp16 needs a CUDA device, but device is {device}. Take bf16 or fp32.")
    mode, fused = settings.get("compile"), settings.get("fused")
    if mode is not None and mode not in COMPILE_MODES:
        problems.append(f"compile is {mode!r}, expected {NONE} or one of {', '.join(COMPILE_MODES)}.")
    if fused is not None and not isinstance(fused, bool):
        problems.append(f"fused is {fused!r}, expected True, False or {NONE} (PyTorch's own choice).")
    return problems


def _checkpoint_problems(settings: Mapping[str, Any]) -> list[str]:
    folder, init = settings.get("ckpt_dir"), settings.get("init_checkpoint")
    folder = Path(folder) if isinstance(folder, str | os.PathLike) else None
    if settings.get("resume") is True:  # init_checkpoint counts no more
        if folder is None or (folder / "checkpoint.pt").is_file():
            return []
        return [
            f"resume is True, but {folder} has no checkpoint.pt. Point --ckpt_dir at the run that stopped, or start "
            "anew without --resume and resume.json."
        ]
    if init is None:
        return []
    init = Path(str(init))
    if not init.is_file():
        return [
            f"there is no init_checkpoint {init}. Pre-train first (configs/pretrain.json) or pass --init_checkpoint."
        ]
    if folder is not None and init.resolve().parent == folder.resolve():
        return [
            f"init_checkpoint {init} lies in ckpt_dir, whose former run is moved aside before a new one. "
            "Pass another --ckpt_dir."
        ]
    return []
