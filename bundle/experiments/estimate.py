"""How long the rest of a plan takes, from the runs that are done or, before those, from what is foreseen."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from .attempt import LOG_FILE
from .plan import Plan, Run, State

__all__ = ["as_time", "seconds_left", "seconds_per_epoch", "under_way"]


def seconds_per_epoch(plan: Plan, stage: int, method: str | None = None) -> float | None:
    """Mean over the trainings of a stage and method that went through at the first attempt; None where there is none.

    The paper's method at any gamma is ``method`` None.
    """
    alike = [run for run in _measured(plan) if (run.stage, run.method) == (stage, method)]
    measured = [run.seconds / run.epochs for run in alike if run.epochs]
    return sum(measured) / len(measured) if measured else None


def _measured(plan: Plan) -> list[Run]:
    return [run for run in plan if run.state == State.DONE and run.attempts == 1 and run.epochs]


def seconds_left(
    plan: Plan, per_epoch: float | None = None, foreseen: Mapping[str, float] | None = None, at_once: int = 1
) -> float | None:
    """Seconds until all runs are done, None where nothing tells; at most, since a training may stop early.

    Args:
        plan: some of whose runs may be done.
        per_epoch: seconds of a training's epoch; None measures it, each stage and method by itself.
        foreseen: seconds of a run by its name, for what was not measured; without it a stage or method that was not
            measured goes by the others and its number of pairs, and an evaluation takes an epoch.
        at_once: runs at a time.
    """
    done = [run.seconds for run in plan if run.run_id == "evaluating" and run.state == State.DONE]
    per_evaluation = sum(done) / len(done) if done else None
    total = 0.0
    for run in plan:
        if run.state == State.DONE:
            continue
        epoch = per_epoch if per_epoch is not None else seconds_per_epoch(plan, run.stage, run.method)
        of_other, known = _by_other_trainings(run, plan), (foreseen or {}).get(run.name)
        if run.run_id == "evaluating":
            told = [per_evaluation, known, epoch, of_other]
        else:
            told = [_epochs(epoch, run), known, _epochs(of_other, run)]
        seconds = next((each for each in told if each is not None), None)
        if seconds is None:
            return None
        total += seconds
    return total / at_once


def _by_other_trainings(run: Run, plan: Plan) -> float | None:
    """Seconds of an epoch, as if each pair took as long as in the trainings that are done."""
    others = _measured(plan)
    pairs = sum(sum(other.pairs.values()) * (other.epochs or 0) for other in others)
    if not pairs or not run.pairs:
        return None
    return sum(other.seconds for other in others) / pairs * sum(run.pairs.values())


def _epochs(seconds: float | None, run: Run) -> float | None:
    return None if seconds is None or run.max_epochs is None else seconds * run.max_epochs


def under_way(plan: Plan) -> list[Run]:
    """Runs whose process has begun: a task that still waits for a place in a cluster has not written to its log."""
    return [run for run in plan if run.state == State.RUNNING and _has_begun(run, plan.folder)]


def _has_begun(run: Run, folder: str | os.PathLike) -> bool:
    try:
        written = (Path(folder) / run.name / LOG_FILE).stat().st_mtime
    except OSError:
        return False
    return written >= datetime.fromisoformat(run.began).timestamp()


def as_time(seconds: float | None) -> str:
    """Hours, minutes and seconds for a reader."""
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    return str(timedelta(seconds=round(seconds)))
