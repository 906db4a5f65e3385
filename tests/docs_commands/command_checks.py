"""What can be said of a command without running it: files, targets, extras, verbs, options, config keys exist."""

from __future__ import annotations

import functools
import importlib
import inspect
import io
import re
import runpy
import signal
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser
from page_commands import ROOT, Command, words_of

import scripts.command_line
from bundle.experiments import merged_config, read_command_line
from bundle.experiments.check_config import override_problems
from bundle.experiments.command_line import RUNNER_ARGUMENTS, CommandLine
from scripts.reference_pages.configs import base_of, configs

RUNNER = str(Path(monai.bundle.__file__).with_name("__main__.py"))
LEFT_OUT = "..."  # what a page leaves out of a command
SKETCHED = re.compile(r" \||\s\[|<")  # from here on there is something to choose


def problems(command: Command) -> list[str]:
    """What is wrong with a command; nothing where it could be typed, data and machines apart."""
    text = command.text if command.whole else SKETCHED.split(command.text)[0] + f" {LEFT_OUT}"
    try:
        program, *arguments = words_of(text)
    except ValueError as error:
        return [f"it is no command for a shell: {error}"]
    return [*_missing_files(command), *CHECKS.get(program, _nothing)(arguments)]


def _nothing(arguments: list[str]) -> list[str]:
    return []


def _missing_files(command: Command) -> Iterator[str]:
    """Configs and files of the repository that a command names."""
    for word in command.text.replace('"', " ").replace("'", " ").replace("[", " ").replace("]", " ").split():
        for name in word.split(","):
            of_ours = name.startswith(("configs/", "tests/", "bundle/", "scripts/")) or name == "constraints.txt"
            if of_ours and name.removeprefix("configs/") not in MADE_BY_PAGES and not (ROOT / name).exists():
                yield f"there is no {name}"


MADE_BY_PAGES = {"paired_l1.json"}  # files that a page tells to write


def _python(arguments: list[str]) -> list[str]:
    if arguments[:1] != ["-m"] or len(arguments) < 2:
        return []
    module, rest = arguments[1], arguments[2:]
    if module.endswith("."):  # scripts.<verb>
        return []
    if module == "monai.bundle":
        return _runner(rest)
    if module.startswith("scripts."):
        return _script(module, rest)
    return []


def _runner(arguments: list[str]) -> list[str]:
    """A command of ``python -m monai.bundle``: its verb and options; of a run its configs, run id and overrides."""
    arguments = [word for word in arguments if word != LEFT_OUT]
    verb, rest = (arguments or ["run"])[0], arguments[1:]
    function = getattr(monai.bundle, verb, None)
    if function is None:
        return [f"monai.bundle has no {verb}"]
    if verb != "run":
        known = inspect.signature(function).parameters
        options = [word[2:].partition("=")[0] for word in rest if word.startswith("--")]
        takes_more = any(each.kind is each.VAR_KEYWORD for each in known.values())
        unknown = [name for name in options if name not in known and not takes_more]
        return [f"--{name}: monai.bundle {verb} has no such option" for name in unknown]
    told = read_command_line([RUNNER, *arguments])
    if told is None or not told.config_files:
        return [] if "--config_file" not in rest else ["its configs cannot be read"]
    absent = [name for name in told.config_files if not (ROOT / name).is_file()]
    if absent:
        return [] if all(name.removeprefix("configs/") in MADE_BY_PAGES for name in absent) else [f"no {absent}"]
    run_id = rest[0] if rest and not rest[0].startswith("--") else "run"
    has_it = ConfigParser(config=merged_config(told)).get(run_id) is not None
    return [*([] if has_it else [f"its configs have no run id {run_id}"]), *override_problems(told)]


def _torchrun(arguments: list[str]) -> list[str]:
    from torch.distributed.run import get_args_parser

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            parsed = get_args_parser().parse_args(arguments)
    except SystemExit:
        return [said.getvalue().strip().splitlines()[-1]]
    return _python(["-m", parsed.training_script, *parsed.training_script_args])


def _script(module: str, arguments: list[str]) -> list[str]:
    """The script's own way through its arguments, with commands that do nothing."""
    if not (ROOT / module.replace(".", "/")).with_suffix(".py").is_file():
        return [f"there is no {module}"]
    said = io.StringIO()
    try:
        with _idle_commands(), redirect_stdout(said), redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # runpy's, of a module that a test has imported
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__")
    except SystemExit as ended:
        if ended.code not in (None, 0):
            return [ended.code if isinstance(ended.code, str) else said.getvalue().strip().splitlines()[0]]
    return []


@contextmanager
def _idle_commands() -> Iterator[None]:
    """Has ``call`` of scripts/command_line.py check and bind arguments, and carry nothing out."""
    real, before = scripts.command_line.call, sys.argv
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def call(*commands: Callable[..., None], arguments: Any = None, **more: Any) -> None:
        given = list(sys.argv[1:] if arguments is None else arguments)
        if LEFT_OUT in given:  # what is required may be among what is left out
            named = {command.__name__: command for command in commands}
            by_name = len(commands) > 1 or more.get("by_name")
            if by_name and given[0] != LEFT_OUT and given[0] not in named:
                raise SystemExit(f"there is no {given[0]}: expected one of {', '.join(named)}")
            scripts.command_line._refuse_unknown(named.get(given[0], commands[0]), given)
            return
        real(*map(_idle, commands), arguments=given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts.command_line, "call", call)
        try:
            yield
        finally:
            sys.argv = before
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _idle(command: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(command)
    def bind(*values: Any, **options: Any) -> None:
        inspect.signature(command).bind(*values, **options)

    return bind


def _make(arguments: list[str]) -> list[str]:
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()}
    return [f"the Makefile has no target {name}" for name in arguments if name not in {*targets, LEFT_OUT}]


def _pip(arguments: list[str]) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = []
    for word in arguments:
        if word.startswith(".["):
            asked = word[2:-1].split(",")
            found += [f"there is no extra {name}" for name in asked if name not in project["optional-dependencies"]]
    return found


CHECKS: dict[str, Callable[[list[str]], list[str]]] = {
    "python": _python,
    "python3.11": _python,
    "torchrun": _torchrun,
    "make": _make,
    "pip": _pip,
}


def id_problems(span: str) -> list[str]:
    """What is wrong with the config ids that a code span names, as ``--network_def#width 32`` or ``train#handlers#1``.

    Each is held against the first config that has it, with the one that it is laid over: the trainings go first.
    """
    found: list[str] = []
    for config_id, value in _ids_of(span).items():
        unknown: list[str] = []
        for files in _merged():
            wrong = override_problems(CommandLine(files, {config_id: value}))
            if "no such key" not in "".join(wrong):
                found += wrong
                break
            unknown = unknown or wrong
        else:
            found += unknown
    return found


def _ids_of(span: str) -> dict[str, Any]:
    """Ids that reach into an object, with the values that python-fire makes of what stands behind them."""
    if re.fullmatch(r"[a-z_]+(#\w+)+", span):
        return {span.replace("#", "::"): "$None"}  # fits whatever is there
    if not span.startswith("--") or "#" not in span:
        return {}
    found = {}
    words = words_of(span)
    for place, word in enumerate(words):
        name, _, value = word.partition("=")
        if name.startswith("--") and "#" in name:
            behind = words[place + 1] if not value and words[place + 1 :] else value
            given = DefaultParseValue(behind) if behind and not behind.startswith("--") else "$None"
            found[name[2:].replace("#", "::")] = given
    return found


@functools.cache
def _merged() -> list[list[str]]:
    """Each config, below it the one that it is laid over."""
    names = [name for name in configs() if name != "metadata.json"]
    return [[str(ROOT / "configs" / each) for each in (base_of(name), name) if each] for name in names]


def known_options() -> set[str]:
    """Names of all options that a command of this project has: of scripts, of the runner, and root keys of configs."""
    names = set(RUNNER_ARGUMENTS) | {"help"}
    for verb in ("verify_metadata", "verify_net_in_out", "ckpt_export", "push_to_hf_hub"):
        names |= set(inspect.signature(getattr(monai.bundle, verb)).parameters)
    for path in (ROOT / "configs").rglob("*.json"):
        names |= {key.lstrip("+") for key in ConfigParser.load_config_file(path)}
    for path in (ROOT / "scripts").glob("[a-z]*.py"):
        module = importlib.import_module(f"scripts.{path.stem}")
        for _, function in inspect.getmembers(module, inspect.isfunction):
            names |= set(inspect.signature(function).parameters)
    return names
