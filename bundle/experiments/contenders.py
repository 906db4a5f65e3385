"""What a study compares: gammas of the paper's method, and methods that stand in overlays of their own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Contender", "gamma_contenders", "method_contenders", "relative_to"]

NAME = re.compile(r"[a-z0-9][a-z0-9_.+-]*")  # a folder's
# folders that a study or its report gives a meaning
TAKEN = re.compile(r"pretrain|report|data|models|eval|gamma_[0-9].*|(seed|fold|former)_.*")


@dataclass(frozen=True)
class Contender:
    """A row of the tables.

    Attributes:
        name: of its folder, ``gamma_35`` or the method's own.
        gamma: that its runs are given; None leaves it to the method's overlays.
        method: the root key ``method``; None is the paper's.
        overlays: laid over the study's own, relative to the repository where they lie in it.
        overrides: of its runs alone, over those of the study.
    """

    name: str
    gamma: float | None = None
    method: str | None = None
    overlays: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)


def gamma_contenders(gammas: Sequence[float]) -> list[Contender]:
    """The paper's method at each weight of the masked losses."""
    whole = [float(gamma) if gamma % 1 else int(gamma) for gamma in gammas]
    return [Contender(f"gamma_{gamma:g}", gamma) for gamma in whole]


def method_contenders(
    methods: Sequence[Any], overrides_of: Mapping[str, Any], root: Path, problems: list[str]
) -> list[Contender]:
    """Methods by their overlays; what is wrong with them goes to ``problems``.

    Args:
        methods: each an overlay that names its ``method``, or a list of some that are laid one over the other: such a
            stack is named by all of them, ``paired+averaged``.
        overrides_of: of the runs of a method alone, by its name.
        root: the repository.
    """
    found: list[Contender] = []
    for given in methods:
        stack = list(given) if isinstance(given, list | tuple) else [given]
        told = [_method_of(path, problems) for path in stack]
        names = [name for name in told if name]
        if len(names) < len(stack) or not stack:
            continue
        name = "+".join(names)
        overlays = tuple(relative_to(path, root) for path in stack)
        own = {"method": name} if len(names) > 1 else {}
        found.append(Contender(name, None, name, overlays, {**own, **_mapping(overrides_of.get(name))}))
    known = [contender.name for contender in found]
    problems += [
        f"method {name!r} stands {known.count(name)} times in methods, expected different ones."
        for name in dict.fromkeys(known)
        if known.count(name) > 1
    ]
    problems += _override_problems(overrides_of, known)
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _override_problems(overrides_of: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    allowed = ", ".join(dict.fromkeys(known)) or "the methods, of which none was given"
    problems = [
        f"method_overrides names {name!r}, expected some of {allowed}." for name in overrides_of if name not in known
    ]
    return problems + [
        f"method_overrides of {name} are {own!r}, expected a mapping such as {{'max_epochs': 40}}."
        for name, own in overrides_of.items()
        if not isinstance(own, Mapping)
    ]


def _method_of(path: Any, problems: list[str]) -> str | None:
    """The root key ``method`` of an overlay; None, and a problem, where it names none."""
    if not isinstance(path, str | os.PathLike):
        problems.append(f"methods has {path!r}, expected an overlay such as configs/baselines/resnet_l1.json.")
        return None
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        problems.append(f"methods: {path} cannot be read as a JSON config: {said}.")
        return None
    name = content.get("method") if isinstance(content, dict) else None
    if not isinstance(name, str):
        problems.append(f'methods: {path} names no method. Add "method": "a_name", which its rows and folders have.')
        return None
    if not NAME.fullmatch(name) or TAKEN.fullmatch(name):
        problems.append(
            f"methods: {path} names its method {name!r}, expected small letters, digits and _ . + -, and no name that "
            "a folder of a study has, such as pretrain, gamma_35 or fold_0."
        )
        return None
    return name


def relative_to(path: str | os.PathLike, root: Path) -> str:
    """As a command that starts in the repository names it."""
    place = Path(path).resolve()
    return str(place.relative_to(root)) if place.is_relative_to(root) else str(place)
