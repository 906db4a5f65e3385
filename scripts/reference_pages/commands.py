"""The page of the commands: what ``python -m scripts.<verb>`` takes, from signatures and docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from .configs import RUN_IDS, configs
from .markdown import MADE, code, prose, table

__all__ = ["Command", "commands", "commands_page"]

SCRIPTS = Path(__file__).resolve().parents[1]
KINDS = {"str": "text", "int": "a whole number", "float": "a number", "bool": "True or False"}

INTRODUCTION = """\
Two families of commands, both run from the repository's root: `python -m monai.bundle run` trains, evaluates and
infers by a [config](configs.md); `python -m scripts.<verb>` brings data in and tables out.

Options are written `--name value` or `--name=value`. Those in capitals are needed; they may stand without their
name, in that order. `--overwrite` is short for `--overwrite True`, `--nooverwrite` for `--overwrite False`. An
option that a command does not have is refused before anything is done; null means the default `None`. The exit
status is 0 when all went well."""

RUNNER = """\
## python -m monai.bundle run

```
python -m monai.bundle run [RUN_ID] --config_file CONFIG | "['CONFIG','OVERLAY',...]" [--KEY VALUE ...]
```

`RUN_ID` is `run` where it is left out. `initialize` runs before it, `finalize` after it. Every `--KEY` is a key of
the config."""


class Command(NamedTuple):
    """What one writes behind ``python -m scripts.``, and the function that it runs."""

    words: str
    function: Callable[..., None]


def commands() -> Iterator[tuple[str, str, list[Command]]]:
    """Every module of scripts that has commands: its name, its docstring and its commands."""
    for path in sorted(SCRIPTS.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = [] if path.stem == "command_line" else list(_handed_to_call(tree, path.stem))
        if named:
            module = importlib.import_module(f"scripts.{path.stem}")
            found = [Command(words, getattr(module, function)) for words, function in named]
            yield path.stem, inspect.getdoc(module) or "", sorted(found, key=lambda each: each.words != path.stem)


def _handed_to_call(tree: ast.Module, stem: str) -> Iterator[tuple[str, str]]:
    """(words, name of the function) of all that ``call(...)`` hands to python-fire; ``*commands`` is looked up."""
    tuples = {
        target.id: node.value.elts
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "call"):
            continue
        options = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        names = []
        for argument in node.args:
            starred = isinstance(argument, ast.Starred) and isinstance(argument.value, ast.Name)
            names += [each.id for each in (tuples[argument.value.id] if starred else [argument])]
        for name in names:
            by_name = len(names) > 1 or options.get("by_name")
            yield options.get("name") or (f"{stem} {name}" if by_name else stem), name


def commands_page() -> str:
    """Raises ValueError for options that a docstring does not explain, all at once."""
    ids = [
        (code(run_id), ", ".join(code(name) for name in configs() if run_id in configs()[name])) for run_id in RUN_IDS
    ]
    parts = [MADE, "# Commands", INTRODUCTION, RUNNER, table(("run id", "configs that have it"), ids)]
    problems: list[str] = []
    for module, about, found in commands():
        parts += [f"## scripts.{module}", *map(prose, about.split("\n\n"))]
        for command in found:
            parts += [f"### python -m scripts.{command.words}", _command(command, problems)]
    if problems:
        raise ValueError("\n".join(problems))
    return "\n\n".join(parts) + "\n"


def _command(command: Command, problems: list[str]) -> str:
    about, said = described(command.function)
    usage, rows = [f"python -m scripts.{command.words}"], []
    for parameter in inspect.signature(command.function).parameters.values():
        if parameter.name not in said:
            problems.append(f"scripts.{command.words}: --{parameter.name} is not explained in the docstring's Args.")
        needed, default = parameter.default is parameter.empty, ""
        if parameter.kind is parameter.VAR_POSITIONAL:
            usage.append(f"{parameter.name.upper()} ...")
        elif needed:
            usage.append(parameter.name.upper())
        else:
            default = code(_default(parameter.default))
        name = parameter.name.upper() if needed else f"--{parameter.name}"
        rows.append((code(name), _kind(parameter.annotation), default, prose(said.get(parameter.name, ""))))
    options = [] if all(row[2] == "" for row in rows) else ["[options]"]
    return "\n\n".join(
        [prose(about), f"```\n{' '.join(usage + options)}\n```", table(("option", "takes", "default", "meaning"), rows)]
    )


def described(function: Callable[..., None]) -> tuple[str, dict[str, str]]:
    """What a docstring says before ``Args:``, and of each argument there."""
    about, _, rest = (inspect.getdoc(function) or "").partition("\nArgs:\n")
    said, last = {}, ""
    for line in rest.splitlines():
        found = re.match(r" {4}(\w[\w, ]*): (.*)", line)
        if found:
            last = found[1]
            said.update(dict.fromkeys(last.split(", "), found[2]))
        elif line.startswith(" " * 5) and last:
            said.update({name: f"{said[name]} {line.strip()}" for name in last.split(", ")})
        elif line and not line.startswith(" "):
            break  # the next section
    return about, said


def _default(value: object) -> str:
    return str(value).replace(f"{SCRIPTS.parent}/", "") if value != "" else '""'


def _kind(annotation: str) -> str:
    kinds = [KINDS[word] for word in annotation.split(" | ") if word in KINDS]
    return " or ".join(kinds)
