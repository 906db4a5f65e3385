"""What python-fire lets pass: a misspelt option, named after the command has run, and a value of another kind."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import fire

__all__ = ["call"]

KINDS: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float)}
EXPECTED = {"bool": "True or False", "int": "a whole number", "float": "a number"}


def call(
    *commands: Callable[..., None],
    arguments: Sequence[str] | None = None,
    name: str | None = None,
    by_name: bool | None = None,
) -> None:
    """Run the command that the arguments name, or the only one.

    Texts stay texts: Fire would take a folder ``2024`` for a number and a name ``a, b`` for a tuple.

    Args:
        commands: functions with annotated parameters.
        arguments: None for those of this process.
        name: of the script, for its help.
        by_name: whether the first argument names the command; None where there are several.

    Raises:
        SystemExit: for options that the command does not have, before anything is done.
        ValueError: for values of another kind than the command's parameters, all at once.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    named = {command.__name__: command for command in commands}
    by_name = len(commands) > 1 if by_name is None else by_name
    chosen = named.get(given[0].replace("-", "_") if given else "") if by_name else commands[0]
    if chosen is not None:
        _refuse_unknown(chosen, given)
    ready = {key: _as_typed(_checked(command)) for key, command in named.items()}
    fire.Fire(ready if by_name else ready[commands[0].__name__], command=given, name=name)


def _refuse_unknown(command: Callable[..., None], arguments: Sequence[str]) -> None:
    parameters = inspect.signature(command).parameters
    known = [key for key, value in parameters.items() if value.kind is not inspect.Parameter.VAR_POSITIONAL]
    allowed = {*known, *(f"no{key}" for key in known), "help"}
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments  # what follows is Fire's
    problems = []
    for option in own:
        key = option.removeprefix("--").partition("=")[0].replace("-", "_")
        if option.startswith("--") and key not in allowed:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f" Did you mean --{near[0]}?" if near else f" Expected some of: {', '.join(known)}."
            problems.append(f"--{key}: there is no such option.{hint}")
    if problems:
        raise SystemExit("\n".join(problems))


def _checked(command: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(command)

    @functools.wraps(command)
    def check_and_run(*values: Any, **options: Any) -> None:
        problems = []
        for key, value in signature.bind(*values, **options).arguments.items():
            words = str(signature.parameters[key].annotation).split(" | ")
            if words[0] not in KINDS or (value is None and "None" in words):
                continue
            if not isinstance(value, KINDS[words[0]]) or (isinstance(value, bool) and words[0] != "bool"):
                expected = " or ".join([EXPECTED[words[0]], *(["None"] if "None" in words else [])])
                problems.append(f"--{key} is {value!r}, expected {expected}.")
        if problems:
            raise ValueError("\n".join(problems))
        command(*values, **options)

    return check_and_run


def _as_typed(command: Callable[..., None]) -> Callable[..., None]:
    parameters = inspect.signature(command).parameters.values()
    texts = [each for each in parameters if str(each.annotation).split(" ")[0] == "str"]
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in texts):
        command = fire.decorators.SetParseFn(str)(command)
        others = [each.name for each in parameters if each not in texts]
        return fire.decorators.SetParseFns(**dict.fromkeys(others, fire.parser.DefaultParseValue))(command)
    return fire.decorators.SetParseFns(**{each.name: str for each in texts})(command)
