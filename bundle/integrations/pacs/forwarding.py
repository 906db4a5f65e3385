"""Results to the node, each until it was confirmed."""

from __future__ import annotations

import logging
from threading import Event

from .answer import Parcel, read_parcel
from .disk_queue import RESULT, DiskQueue
from .nodes import Unreachable
from .push import Sender

__all__ = ["Forwarder"]

logger = logging.getLogger(__name__)


class Forwarder:
    """Takes objects from ``outgoing`` off the queue.

    Between the node's answer and its row on the disk lies an instant; a process that is killed there sends that one
    again, and only that one.

    Args:
        queue: of the objects.
        sender: to the node.
        keep: keep source and result under ``done/``; otherwise they are removed once the node confirmed the result.
        batch: objects a call of the sender.
        retries: further attempts at an object that the node refuses; one that cannot be delivered is tried for ever.
        pause: seconds before the next attempt, doubled each time up to ``longest``.
        longest: pause in seconds.
    """

    def __init__(
        self,
        queue: DiskQueue,
        sender: Sender,
        keep: bool = False,
        batch: int = 16,
        retries: int = 3,
        pause: float = 2.0,
        longest: float = 300.0,
    ) -> None:
        self.queue, self.sender, self.keep = queue, sender, keep
        self.batch, self.retries, self.pause, self.longest = batch, retries, pause, longest
        self._refusals: dict[str, int] = {}
        self._failures = 0

    def run(self, stop: Event) -> None:
        """Send what is ready until told to stop."""
        while not stop.is_set():
            if not self.queue.waiting("outgoing"):
                self.queue.wait(1.0, lambda: self.queue.waiting("outgoing") or stop.is_set())
            elif not self.step():
                stop.wait(min(self.longest, self.pause * 2 ** min(self._failures - 1, 20)))

    def step(self) -> bool:
        """Send one batch of what is ready; False when something of it has to wait."""
        parcels: dict[str, Parcel] = {}
        # those that were refused stand behind the others, so that they hold up nobody
        order = sorted(self.queue.waiting("outgoing"), key=lambda sop: self._refusals.get(sop, 0))
        for sop in order[: self.batch]:
            try:
                parcel = read_parcel(self.queue.file("outgoing", sop, RESULT))
            except (ValueError, OSError):
                parcel = None
            if parcel is None:
                self._fail(sop, "its result can no longer be read")
            elif self.queue.was_sent(parcel.sop):
                self.queue.finish(sop, "outgoing", "sent", "", parcel.sop, self.keep)
            else:
                parcels[sop] = parcel
        if not parcels:
            return True
        try:
            answers = self.sender.send(list(parcels.values()))
        except Unreachable as error:
            if not self._failures:
                logger.warning(f"{len(parcels)} result(s) wait: {error}")
            self._failures += 1
            return False
        whole = True
        for sop, parcel in parcels.items():
            answer = answers[parcel.sop]
            if answer.confirmed:
                self._refusals.pop(sop, None)
                self.queue.finish(sop, "outgoing", "sent", answer.reason, parcel.sop, self.keep)
                logger.info(f"{sop}: its result was sent")
                continue
            whole = False
            self._refusals[sop] = self._refusals.get(sop, 0) + 1
            logger.warning(f"{sop}: its result was not confirmed: {answer.reason}")
            if not answer.again and self._refusals[sop] > self.retries:
                self._fail(sop, answer.reason)
        self._failures = 0 if whole else self._failures + 1
        return whole

    def _fail(self, sop: str, reason: str) -> None:
        self._refusals.pop(sop, None)
        logger.error(f"{sop}: failed: {reason}")
        self.queue.finish(sop, "outgoing", "failed", reason)
