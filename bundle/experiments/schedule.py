"""Carries out a plan: starts what is ready, writes down how it ended, tries again, leaves out what cannot be."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait

from .attempt import Outcome
from .plan import Plan, Run, State

__all__ = ["Submit", "carry_out"]

# starts a run and hands back what will be its outcome: a pool of threads here, a task of Ray there
Submit = Callable[[Run], "Future[Outcome]"]


def carry_out(
    plan: Plan,
    submit: Submit,
    at_once: int | None = 1,
    retries: int = 1,
    changed: Callable[[Plan], None] = lambda plan: None,
) -> None:
    """Carry out all runs of a plan that can be; ``plan.json`` follows each change of a run's state.

    Args:
        plan: whose runs wait or are done.
        submit: starts a run.
        at_once: runs at a time; None starts all that are ready.
        retries: further attempts at a run that failed.
        changed: is told of the plan after each change, and every second.

    Raises:
        ValueError: when an outcome says that no further run can start.
        KeyboardInterrupt: and whatever else ends it early; the runs that were under way then wait again.
    """
    underway: dict[Future[Outcome], Run] = {}
    failures: Counter[str] = Counter()
    try:
        while True:
            free = None if at_once is None else at_once - len(underway)
            for run in plan.ready()[:free]:
                run.state, run.attempts, run.reason = State.RUNNING, run.attempts + 1, ""
                run.began, run.ended = _now(), ""
                plan.write()
                underway[submit(run)] = run
            changed(plan)
            if not underway:
                return
            ended, _ = wait(underway, timeout=1, return_when=FIRST_COMPLETED)
            for future in ended:
                run = underway[future]
                if future.exception() is None and future.result().hopeless:
                    raise ValueError(future.result().reason)
                _take_in(run, future)
                failures[run.name] += run.state == State.FAILED
                if run.state == State.FAILED and failures[run.name] <= retries:
                    run.state = State.WAITING
                del underway[future]
                plan.write()
    finally:
        for run in underway.values():
            run.state, run.ended = State.WAITING, _now()
        if underway:
            plan.write()


def _take_in(run: Run, future: Future[Outcome]) -> None:
    error = future.exception()
    if error is None:
        outcome = future.result()
        run.seconds = round(run.seconds + outcome.seconds, 1)
        run.reason, run.epochs = outcome.reason, outcome.epochs
    else:  # a worker that was lost, a disk that is full
        run.reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    run.state, run.ended = State.FAILED if run.reason else State.DONE, _now()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
