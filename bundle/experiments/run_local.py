"""Runs of a plan on this machine, some at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from .attempt import Workplace, attempt
from .schedule import Submit

__all__ = ["local_runs"]


@contextmanager
def local_runs(workplace: Workplace, jobs: int = 1) -> Iterator[Submit]:
    """Starts each run as a process that a thread waits for; whatever ends the block stops the processes cleanly."""
    stop = Event()
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            yield lambda run: pool.submit(attempt, run, workplace, stop.is_set)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
