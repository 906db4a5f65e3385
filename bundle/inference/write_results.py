"""Writing beside the network: geometry undone, objects encoded and written while the next batch is translated."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor

from ..keys import BatchKeys
from .exam_folder import TIMES, ExamFolder

__all__ = ["WriteResults"]


class WriteResults:
    """A handler that hands each prediction to processes that write, and enters what became of it in the journal.

    Args:
        folder: the work list.
        postprocessing: takes an item with ``image`` (the network's input, as MetaTensor), ``pred`` and what
            :func:`bundle.inference.exam_loader.prepare` gave; undoes the geometry and saves.
        num_workers: processes that write; 0 writes in this one.
        waiting: results that may wait for each of them before the network has to, which bounds the memory.
    """

    def __init__(
        self, folder: ExamFolder, postprocessing: Callable[[Any], Any], num_workers: int = 1, waiting: int = 4
    ) -> None:
        self.folder, self.postprocessing = folder, postprocessing
        self.num_workers, self.most = num_workers, max(1, waiting * num_workers)
        self._pool: Executor | None = None
        self._pending: dict[Future[float], dict[str, Any]] = {}
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
            row = {key: value for key, value in row.items() if key not in ("tensor", "air", "air_value")}
            self._submit(row, {**item, BatchKeys.PRED: prediction})
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

    def _submit(self, row: dict[str, Any], item: dict[str, Any]) -> None:
        while len(self._pending) >= self.most:
            self._enter_done(wait=True)
        if not self.num_workers:
            future: Future[float] = Future()
            try:
                future.set_result(write(self.postprocessing, item))
            except Exception as error:
                future.set_exception(error)
        else:
            if self._pool is None:
                context = get_context("spawn")  # a fork would inherit the locks of threads that it does not have
                self._pool = ProcessPoolExecutor(self.num_workers, context, _begin)
            future = self._pool.submit(write, self.postprocessing, item)
        self._pending[future] = row

    def _enter_done(self, wait: bool = False) -> None:
        if wait:
            next(iter(self._pending)).exception()  # the one that has waited longest
        for future in [future for future in self._pending if future.done()]:
            row = self._pending.pop(future)
            error = future.exception()
            if error is None:
                row |= {"state": "made", "write": future.result()}
                row["seconds"] = sum(row[step] for step in TIMES)
            else:
                if isinstance(error, BrokenProcessPool):
                    self._pool = None  # a fresh one for the rest
                reason = str(error) if isinstance(error, ValueError) else f"it was not written: {_named(error)}"
                row |= {"state": "failed", "reason": reason, "output": ""}
            self.folder.journal.enter(row | {"model_sha256": self.folder.synthesis.weights})


def _begin() -> None:
    """In a process that writes: one thread, and a Ctrl-C at the terminal is the parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def write(postprocessing: Callable[[Any], Any], item: Mapping[str, Any]) -> float:
    """Undo the geometry of one prediction and save it; returns the seconds."""
    began = time.monotonic()
    pred = MetaTensor(item[BatchKeys.PRED])
    try:
        postprocessing(
            {**item, "image_path": item[BatchKeys.IMAGE], BatchKeys.IMAGE: item["tensor"], BatchKeys.PRED: pred}
        )
    except RuntimeError as error:  # Compose hides what was raised
        raise error.__cause__ or error from None
    return time.monotonic() - began


def _named(error: BaseException) -> str:
    """An error without its text, which may quote a header; that of the system names only what it could not do."""
    return f"{type(error).__name__}{f' ({error.strerror})' if isinstance(error, OSError) and error.strerror else ''}"
