"""The folder of a plan, for one program at a time: what it holds is gone on with, refused, or moved aside."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .attempt import LOCK_FILE, is_finished, try_lock
from .plan import Plan, State

__all__ = ["take_up", "working_on"]

logger = logging.getLogger(__name__)
PLAN_LOCK = ".plan.lock"


@contextmanager
def working_on(plan: Plan, overwrite: bool = False) -> Iterator[None]:
    """Put a plan into its folder and keep other programs off it.

    Runs that the same plan has done before stay done. A plan of which nothing has begun gives way to another.

    Args:
        plan: as it was built from this call.
        overwrite: where the folder holds another plan, or something else, rename it to ``<folder>.former_<N>``.

    Raises:
        ValueError: where it holds such and ``overwrite`` is not set, with what differs; or where another program, or a
            run of the former plan, is at work.
    """
    folder = plan.folder
    lock = _locked(folder)
    try:
        former = Plan.read(folder)
        strange = former is None and any(not path.name.startswith(".") for path in folder.iterdir())
        different = [] if former is None else plan.differences(former)
        replaced = strange or (former is not None and bool(different) and former.has_begun())
        if replaced and not overwrite:
            what = "something else than a plan." if strange else "another plan:\n  " + "\n  ".join(different)
            raise ValueError(
                f"{folder} holds {what}\nGive the same call as before, choose another --output, or pass --overwrite "
                "to move all that is there aside."
            )
        if replaced:
            _move_aside(folder)
            lock.close()
            lock = _locked(folder)
        elif former is not None and not different:
            take_up(plan, former)
        plan.write()
        yield
    finally:
        lock.close()


def take_up(plan: Plan, former: Plan) -> None:
    """Go on from a former state of the same plan; a run whose files were removed is to be done again."""
    plan.take_up(former)
    for run in plan:
        if run.state == State.DONE and not is_finished(run, plan.folder):
            run.state = State.WAITING


def _locked(folder: Path) -> IO[str]:
    lock = try_lock(folder / PLAN_LOCK)
    if lock is None:
        raise ValueError(f"another cross_validate works on {folder}. Wait for its end, or choose another --output.")
    return lock


def _move_aside(folder: Path) -> None:
    for path in folder.rglob(LOCK_FILE):
        lock = try_lock(path)
        if lock is None:
            raise ValueError(f"a run still goes on in {path.parent}. Wait for its end, or end it, and try again.")
        lock.close()
    number = 1
    while (place := folder.with_name(f"{folder.name}.former_{number}")).exists():
        number += 1
    folder.rename(place)
    logger.warning(f"what {folder} held is now in {place}")
