"""The plan of many runs, on disk before the first one starts: what each is, what it waits for, how far it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue

from ..data.whole_files import write_json

__all__ = ["PLAN_FILE", "Plan", "Run", "State", "command_of"]

PLAN_FILE = "plan.json"
FORMAT = 1
NONE = "$None"  # the runner drops an override that is None, but not an expression that gives it


class State(StrEnum):
    """How far a run is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass
class Run:
    """One process of ``python -m monai.bundle run``.

    Attributes:
        name: such as ``gamma_35/fold_0``, ``resnet_l1/seed_1/fold_0`` or ``gamma_35/fold_0/eval``, and its folder below
            the plan's.
        run_id: what the runner is to run, ``training`` or ``evaluating``.
        stage: 1 pre-trains, 2 goes on from there.
        gamma, fold: of the training; an evaluation has those of its model.
        needs: names of the runs that must be done before.
        config_files, overrides: the runner's arguments.
        max_epochs: of a training, where it is known.
        pairs: in each part of the data that it goes through, where that is known.
        epochs: that it took; an early stop may have made them fewer.
        state, attempts: how far it is, how often it was started.
        seconds: that its attempts took; those that ended with the whole program are not counted.
        began, ended: of the last attempt, as ISO 8601.
        reason: why it failed.
        method: of the training, as an overlay names it; None is the paper's.
        seed: of the training; 0 leaves it to the config where the study has this seed alone.
    """

    name: str
    run_id: str
    stage: int
    gamma: float
    fold: int
    needs: list[str]
    config_files: list[str]
    overrides: dict[str, Any]
    max_epochs: int | None = None
    pairs: dict[str, int] = field(default_factory=dict)
    state: State = State.WAITING
    attempts: int = 0
    seconds: float = 0.0
    epochs: int | None = None
    began: str = ""
    ended: str = ""
    reason: str = ""
    method: str | None = None
    seed: int = 0


LATER = {"method": None, "seed": 0}  # fields that plans from before them do not have: written where they say something
PROGRESS = ("state", "attempts", "seconds", "epochs", "began", "ended", "reason")  # what a run has, beside what it is


def command_of(run: Run, resume_config: str | None = None) -> list[str]:
    """The arguments of ``python -m monai.bundle`` for a run, as python-fire reads them back."""
    files = [*run.config_files, *([resume_config] if resume_config else [])]
    overrides = [f"--{name}={_as_text(value)}" for name, value in run.overrides.items()]
    return ["run", run.run_id, f"--config_file={files!r}", *overrides]


def _as_text(value: Any) -> str:
    if value is None:
        return NONE
    text = str(value)
    parsed = DefaultParseValue(text)
    return text if type(parsed) is type(value) and parsed == value else repr(value)


@dataclass
class Plan:
    """Runs in the order in which they start, and the protocol that they come from.

    Attributes:
        folder: holds ``plan.json`` and, below it, the folders of the runs.
        protocol: what makes two plans the same one: gammas, folds, overrides, hashes of configs and data.
        runs: each after those that it needs.
    """

    folder: Path
    protocol: dict[str, Any]
    runs: list[Run] = field(default_factory=list)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __getitem__(self, name: str) -> Run:
        return next(run for run in self.runs if run.name == name)

    def ready(self) -> list[Run]:
        """Runs that wait for nothing but to be started."""
        done = {run.name for run in self if run.state == State.DONE}
        return [run for run in self if run.state == State.WAITING and done.issuperset(run.needs)]

    def blocked(self) -> dict[str, str]:
        """Runs that cannot start, each with the failed run that they need, directly or not."""
        causes = {run.name: run.name for run in self if run.state == State.FAILED}
        for run in self:
            cause = next((causes[need] for need in run.needs if need in causes), None)
            if cause and run.state == State.WAITING:
                causes[run.name] = cause
        return {name: cause for name, cause in causes.items() if name != cause}

    def has_begun(self) -> bool:
        return any(run.attempts for run in self)

    def write(self) -> None:
        """Write ``plan.json``, whole or not at all."""
        runs = [_as_record(run) | {"command": ["python", "-m", "monai.bundle", *command_of(run)]} for run in self]
        write_json(self.folder / PLAN_FILE, {"format": FORMAT, "protocol": self.protocol, "runs": runs})

    @classmethod
    def read(cls, folder: str | os.PathLike) -> Plan | None:
        """The plan of a folder, or None where there is none.

        Raises:
            ValueError: when the file is no plan of this format.
        """
        path = Path(folder) / PLAN_FILE
        if not path.is_file():
            return None
        known = {entry.name for entry in fields(Run)}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']!r}, expected {FORMAT}")
            runs = [Run(**{key: run[key] for key in run if key in known}) for run in content["runs"]]
            for run in runs:
                run.state = State(run.state)
            return cls(Path(folder), dict(content["protocol"]), runs)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is no plan ({type(error).__name__}: {error}). Restore it, or choose another --output."
            ) from None

    def differences(self, former: Plan) -> list[str]:
        """What this plan wants otherwise than the one that is on disk, a line each."""
        mine, was = dict(_leaves(self.protocol)), dict(_leaves(former.protocol))
        return [
            f"{name}: the plan on disk has {was.get(name, 'nothing')!r}, this call {mine.get(name, 'nothing')!r}"
            for name in sorted(mine.keys() | was.keys())
            if mine.get(name, ...) != was.get(name, ...)
        ]

    def take_up(self, former: Plan) -> None:
        """Go on from a plan of the same protocol: what is done stays done, all else waits anew."""
        before = {run.name: run for run in former}
        for run in self:
            if run.name in before:
                for name in PROGRESS:
                    setattr(run, name, getattr(before[run.name], name))
            if run.state != State.DONE:
                run.state, run.reason = State.WAITING, ""


def _as_record(run: Run) -> dict[str, Any]:
    return {name: value for name, value in asdict(run).items() if name not in LATER or value != LATER[name]}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        # as JSON knows it, where a tuple is a list
        yield path, list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
