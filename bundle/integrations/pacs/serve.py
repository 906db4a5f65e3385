"""The receiver as a whole: what arrives is kept, translated, sent on."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from .commitment import CommitmentReports
from .disk_queue import DiskQueue, Limits, QueueFull
from .forwarding import Forwarder
from .listener import Door, Listener
from .nodes import DicomwebNode, DimseNode
from .push import Sender
from .push_dicomweb import StowSender
from .push_dimse import StoreSender
from .translation import Translate, Translator
from .whole import locked

__all__ = ["Service"]

logger = logging.getLogger(__name__)


class Service:
    """A C-STORE receiver that answers each LE image with a virtual DES. A context: it runs inside the block.

    Args:
        queue_dir: folder of the queue; a restart goes on with what it holds.
        door: where and for whom it listens. The node may report storage commitment there.
        node: gets the results.
        translate: see :class:`Translator`.
        limits: of the queue.
        keep: see :class:`Forwarder`.
        commitment: see :class:`StoreSender`.
        settle, batch, pause: see :class:`Translator`; the pause is that of the forwarder too.
        stop: set, it ends the work.
        keep_aside: see :class:`Translator`.
        requeue_failed: try again what failed in an earlier life.
        commitment_hours: see :class:`Forwarder`'s ``late``.

    Raises:
        ValueError: when another process has the queue.
        OSError: when the port is taken.
    """

    def __init__(
        self,
        queue_dir: str | os.PathLike,
        door: Door,
        node: DicomwebNode | DimseNode,
        translate: Translate,
        limits: Limits | None = None,
        keep: bool = False,
        commitment: bool = True,
        settle: float = 2.0,
        batch: int = 32,
        pause: float = 2.0,
        stop: threading.Event | None = None,
        keep_aside: bool = False,
        requeue_failed: bool = False,
        commitment_hours: float = 24.0,
    ) -> None:
        self.queue_dir, self.door, self.node, self.translate = Path(queue_dir), door, node, translate
        self.limits, self.keep, self.commitment = limits, keep, commitment
        self.settle, self.batch, self.pause = settle, batch, pause
        self.stop = stop or threading.Event()
        self.keep_aside, self.requeue_failed, self.commitment_hours = keep_aside, requeue_failed, commitment_hours

    def __enter__(self) -> Service:
        with ExitStack() as stack:
            stack.enter_context(locked(self.queue_dir))
            self.queue = DiskQueue(self.queue_dir, self.limits, str(self.node))
            if self.requeue_failed:
                logger.info(f"{self.queue.requeue_failed()} failed object(s) are tried again")
            reports = CommitmentReports()
            self.listener = Listener(self.door, receive=self._receive, report=reports.handle)
            translator = Translator(
                self.queue, self.translate, self.batch, self.settle, self.pause, keep_aside=self.keep_aside
            )
            sender = self._sender(reports)
            forwarder = Forwarder(self.queue, sender, self.keep, pause=self.pause, late=self.commitment_hours)
            self.workers = [
                threading.Thread(target=self._guarded, args=(worker.run,), name=type(worker).__name__, daemon=True)
                for worker in (translator, forwarder)
            ]
            stack.callback(self._stop_workers)
            stack.enter_context(self.listener)
            for worker in self.workers:
                worker.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _sender(self, reports: CommitmentReports) -> Sender:
        if isinstance(self.node, DicomwebNode):
            return StowSender(self.node)
        return StoreSender(self.node, self.commitment, reports)

    def _receive(self, sop: str, content: Callable[[], bytes], _: str) -> int:
        try:
            new = self.queue.put(sop, content)
        except QueueFull as full:
            logger.warning(f"an object was refused: {full}")
            return 0xA700
        except ValueError:
            logger.warning("an object was refused: its SOP instance UID is none")
            return 0xC000
        if new:
            logger.info(f"{sop}: received")
        return 0x0000

    def _guarded(self, work: Callable[[threading.Event], None]) -> None:
        """Nothing that goes wrong with one object ends the service; what it was is said without values."""
        while not self.stop.is_set():
            try:
                work(self.stop)
            except Exception as error:
                trace = error.__traceback__
                while trace is not None and trace.tb_next is not None:
                    trace = trace.tb_next
                where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
                logger.error(f"{threading.current_thread().name}: {type(error).__name__} at {where}; it goes on")
                self.stop.wait(self.pause)

    def _stop_workers(self) -> None:
        self.stop.set()
        with self.queue.changed:
            self.queue.changed.notify_all()
        for worker in self.workers:
            if worker.ident is not None:
                worker.join()
