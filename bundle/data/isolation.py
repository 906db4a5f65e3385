"""Work on files that may be damaged: what kills a decoder, or keeps it for ever, costs that file alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from tqdm.auto import tqdm

__all__ = ["PACE", "Failure", "work_apart"]

PACE = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"  # never seconds an image


@dataclass(frozen=True)
class Failure:
    """Stands in the place of a result that did not come, with the reason."""

    reason: str


def _serve(connection: Connection, work: Callable[[Any], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, to all its processes: the parent decides
    while (item := connection.recv()) is not None:
        try:
            result = work(item[0])
        except Exception as error:
            result = Failure(f"{type(error).__name__}: {error}")
        connection.send(result)


class _Worker:
    """A process of its own, and the item that it works on."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self.connection, theirs = get_context("spawn").Pipe()
        self.process = get_context("spawn").Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()
        self.index: int | None = None
        self.until = 0.0

    def take(self, index: int, item: Any, time_limit: float) -> bool:
        """Begin with an item; false where the process is dead, as of one that was killed while it had nothing to do."""
        self.index, self.until = index, time.monotonic() + time_limit
        try:
            self.connection.send((item,))
        except OSError:
            return False
        return True

    def result(self) -> Any:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return Failure(f"its decoder crashed (exit status {self.process.exitcode})")

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def work_apart(
    work: Callable[[Any], Any],
    items: Sequence[Any],
    num_workers: int | None = None,
    time_limit: float = 120.0,
    description: str = "",
    unit: str = "file",
) -> Iterator[Any]:
    """Results of ``work`` for each item, in the order of ``items``, from spawned processes, with a progress bar.

    An exception, a crash of the process or more than ``time_limit`` gives a :class:`Failure` in the item's place and
    a fresh process for the rest. ``concurrent.futures`` would lose the whole pool with the first crash. The number
    of finished results that wait for an earlier one is bounded, so that memory does not grow with the number of items.

    Args:
        work: a function that can be pickled; ``functools.partial`` gives it its settings.
        items: what to work on, each small enough to travel to a process.
        num_workers: processes; None for every core.
        time_limit: seconds for one item; the first of a process may take a minute longer, which its start may need.
        description, unit: of the progress bar.

    Raises:
        ValueError: for a number of workers below 1.
    """
    if num_workers is not None and num_workers < 1:
        raise ValueError(f"num_workers is {num_workers}, expected 1 or more, or null for every core.")
    count = min(num_workers or os.cpu_count() or 1, len(items))
    workers: list[_Worker] = []
    done: dict[int, Any] = {}
    handed, given = 0, 0
    try:
        with tqdm(total=len(items), desc=description, unit=unit, bar_format=PACE) as bar:
            while given < len(items):
                for worker in [worker for worker in workers if worker.index is None]:
                    if handed < len(items) and handed < given + 16 * count:
                        if worker.take(handed, items[handed], time_limit):
                            handed += 1
                        else:
                            worker.stop()
                            workers.remove(worker)  # a fresh one takes the same item
                while len(workers) < count and handed < len(items):
                    workers.append(_Worker(work))
                    workers[-1].take(handed, items[handed], time_limit + 60)  # one that is dead says so as its result
                    handed += 1
                for worker in _finished(workers):
                    index, worker.index = worker.index, None
                    assert index is not None
                    late = not worker.connection.poll()
                    result = Failure(f"it took more than {time_limit:g} s") if late else worker.result()
                    done[index] = result
                    if late or not worker.process.is_alive():
                        worker.stop()
                        workers.remove(worker)
                    bar.update()
                while given in done:
                    yield done.pop(given)
                    given += 1
    finally:
        for worker in workers:
            worker.stop()


def _finished(workers: Sequence[_Worker]) -> list[_Worker]:
    """Wait until some worker has an answer, has died or is late; all of those."""
    busy = [worker for worker in workers if worker.index is not None]
    first = min(worker.until for worker in busy)
    wait([worker.connection for worker in busy], timeout=max(0.0, first - time.monotonic()))
    return [worker for worker in busy if worker.connection.poll() or worker.until <= time.monotonic()]
