"""How long the rest of a plan takes, from the runs that are done."""

from __future__ import annotations

import math
from datetime import timedelta

from .plan import Plan, Run, State

__all__ = ["as_time", "seconds_left", "seconds_per_epoch"]


def seconds_per_epoch(plan: Plan) -> float | None:
    """Mean over the trainings of the plan that went through at the first attempt; None where there is none."""
    measured = [
        run.seconds / run.epochs for run in plan if run.state == State.DONE and run.attempts == 1 and run.epochs
    ]
    return sum(measured) / len(measured) if measured else None


def seconds_left(plan: Plan, per_epoch: float | None = None, at_once: int = 1) -> float | None:
    """Seconds until all runs are done, None where nothing tells; at most, since a training may stop early.

    Args:
        plan: some of whose runs may be done.
        per_epoch: seconds of a training's epoch; None measures it.
        at_once: runs at a time.
    """
    per_epoch = seconds_per_epoch(plan) if per_epoch is None else per_epoch
    evaluations = [run.seconds for run in plan if run.run_id == "evaluating" and run.state == State.DONE]
    per_evaluation = sum(evaluations) / len(evaluations) if evaluations else per_epoch
    total = 0.0
    for run in plan:
        if run.state == State.DONE:
            continue
        seconds = _seconds_of(run, per_epoch, per_evaluation)
        if seconds is None:
            return None
        total += seconds
    return total / at_once


def _seconds_of(run: Run, per_epoch: float | None, per_evaluation: float | None) -> float | None:
    if run.run_id == "evaluating":
        return per_evaluation  # about an epoch, until one was measured
    return None if per_epoch is None or run.max_epochs is None else per_epoch * run.max_epochs


def as_time(seconds: float | None) -> str:
    """Hours, minutes and seconds for a reader."""
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    return str(timedelta(seconds=round(seconds)))
