"""Writing beside the network: geometry undone, objects encoded and written while the next batch is translated."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as Late
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor

from ..keys import BatchKeys
from .exam_folder import TIMES, ExamFolder

__all__ = ["WriteResults"]

START = 60  # seconds that a process may need to begin


@dataclass
class _Job:
    """What is being written: its row, the item itself, and whether it is written alone, its pool having died once."""

    row: dict[str, Any]
    item: dict[str, Any]
    alone: bool = False


class WriteResults:
    """A handler that hands each prediction to processes that write, and enters what became of it in the journal.

    Args:
        folder: the work list.
        postprocessing: takes an item with ``image`` (the network's input, as MetaTensor), ``pred`` and what
            :func:`bundle.inference.exam_loader.prepare` gave; undoes the geometry and saves.
        num_workers: processes that write; 0 writes in this one.
        waiting: results that may wait for each of them before the network has to, which bounds the memory.
        time_limit: seconds for one of them.
    """

    def __init__(
        self,
        folder: ExamFolder,
        postprocessing: Callable[[Any], Any],
        num_workers: int = 1,
        waiting: int = 4,
        time_limit: float = 120.0,
    ) -> None:
        self.folder, self.postprocessing = folder, postprocessing
        self.num_workers, self.most = num_workers, max(1, waiting * num_workers)
        self.time_limit = time_limit
        self._pool: ProcessPoolExecutor | None = None
        self._pending: dict[Future[float], _Job] = {}
        self._start = 0.0
        self._began = 0.0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_STARTED, self.iteration_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.COMPLETED, self.completed)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.exception_raised)

    def iteration_started(self, engine: Engine) -> None:
        self._began = time.monotonic()

    def iteration_completed(self, engine: Engine) -> None:
        output: Any = engine.state.output
        items: list[dict[str, Any]] = engine.state.batch["items"]  # type: ignore[index,call-overload]
        predictions = output[BatchKeys.PRED].float().cpu()
        network = (time.monotonic() - self._began) / max(1, len(items))
        for item, prediction in zip(items, predictions, strict=True):
            row = {**item, "network": network}
            row = {key: value for key, value in row.items() if key not in ("header", "tensor", "air", "air_value")}
            self._submit(_Job(row, {**item, BatchKeys.PRED: prediction}))
        self._enter_done()

    def completed(self, engine: Engine) -> None:
        """Wait for what is being written."""
        while self._pending:
            self._enter_done(wait=True)
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def exception_raised(self, engine: Engine, error: BaseException) -> None:
        """Leave what waits; what is being written is finished or, in a killed process, never renamed."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        if isinstance(error, KeyboardInterrupt):
            raise SystemExit("stopped; the same call goes on") from None
        raise error

    def _submit(self, job: _Job) -> None:
        while len(self._pending) >= self.most:
            self._enter_done(wait=True)
        if not self.num_workers:
            future: Future[float] = Future()
            try:
                future.set_result(write(self.postprocessing, job.item))
            except Exception as error:
                future.set_exception(error)
        else:
            try:
                future = self._processes().submit(write, self.postprocessing, job.item)
            except BrokenProcessPool:  # a process was killed while it had nothing to do
                self._recover()
                future = self._processes().submit(write, self.postprocessing, job.item)
        self._pending[future] = job

    def _processes(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = get_context("spawn")  # a fork would inherit the locks of threads that it does not have
            self._pool, self._start = ProcessPoolExecutor(self.num_workers, context, _begin), START
        return self._pool

    def _enter_done(self, wait: bool = False) -> None:
        if wait:
            oldest = next(iter(self._pending))  # it has been begun, so that it alone has to answer for its time
            try:
                oldest.exception(self.time_limit + self._start)
                self._start = 0.0
            except Late:
                reason = f"it was not written: that took more than {self.time_limit:g} s"
                self._enter(self._pending.pop(oldest).row | {"state": "failed", "reason": reason})
                self._recover()
        if any(isinstance(future.exception(), BrokenProcessPool) for future in self._pending if future.done()):
            self._recover()
        for future in [future for future in self._pending if future.done()]:
            self._enter(self._pending.pop(future).row | _outcome(future))

    def _recover(self) -> None:
        """Kill what is left of the pool; what it has not done is done by a fresh one, each alone, so that an image
        which kills its process costs itself."""
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
            self._pool.shutdown()
            self._pool = None
        pending, self._pending = self._pending, {}
        for future, job in pending.items():
            if job.alone or not isinstance(future.exception(), BrokenProcessPool):
                self._enter(job.row | _outcome(future))
                continue
            job.alone = True
            self._submit(job)
            while self._pending:
                self._enter_done(wait=True)

    def _enter(self, row: dict[str, Any]) -> None:
        if row["state"] == "made":
            row["seconds"] = sum(row[step] for step in TIMES)
        else:
            row["output"] = ""
        self.folder.journal.enter(row | {"model_sha256": self.folder.synthesis.weights})


def _outcome(future: Future[float]) -> dict[str, Any]:
    """What a row says of an item, once that is done."""
    error = future.exception()
    if error is None:
        return {"state": "made", "write": future.result()}
    if isinstance(error, BrokenProcessPool):
        return {"state": "failed", "reason": "it was not written: its process was killed, twice"}
    return {
        "state": "failed",
        "reason": str(error) if isinstance(error, ValueError) else f"it was not written: {_named(error)}",
    }


def _begin() -> None:
    """In a process that writes: one thread, and a Ctrl-C at the terminal is the parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def write(postprocessing: Callable[[Any], Any], item: Mapping[str, Any]) -> float:
    """Undo the geometry of one prediction and save it; returns the seconds."""
    began = time.monotonic()
    pred = MetaTensor(item[BatchKeys.PRED])
    try:
        postprocessing({**item, BatchKeys.IMAGE: item["tensor"], BatchKeys.PRED: pred})
    except RuntimeError as error:  # Compose hides what was raised
        raise error.__cause__ or error from None
    return time.monotonic() - began


def _named(error: BaseException) -> str:
    """An error without its text, which may quote a header; that of the system names only what it could not do."""
    return f"{type(error).__name__}{f' ({error.strerror})' if isinstance(error, OSError) and error.strerror else ''}"
