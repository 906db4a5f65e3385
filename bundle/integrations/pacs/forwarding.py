"""Results to the node, each until it was confirmed."""

from __future__ import annotations

import logging
from dataclasses import replace
from threading import Event
from time import monotonic, time

from .answer import Answer, Parcel, read_parcel
from .disk_queue import RESULT, DiskQueue
from .nodes import Unreachable
from .push import Sender

__all__ = ["Forwarder"]

logger = logging.getLogger(__name__)
AT_ONCE = 500  # objects a request for commitment


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
        late: hours after which a commitment that did not come is worth a warning; the result waits on.
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
        late: float = 24.0,
    ) -> None:
        self.queue, self.sender, self.keep = queue, sender, keep
        self.batch, self.retries, self.pause, self.longest = batch, retries, pause, longest
        self.late = late
        self._refusals: dict[str, int] = {}
        self._failures = 0
        self._warned: set[str] = set()
        self._stored: dict[str, tuple[Parcel, float, float]] = {}  # since when, and when to ask again

    def run(self, stop: Event) -> None:
        """Send what is ready until told to stop."""
        while not stop.is_set():
            self.ask()
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
            elif (state := self.queue.state_at_node(sop, parcel.sop)) == "sent":
                self.queue.finish(sop, "outgoing", "sent", "", parcel.sop, self.keep)
            elif state == "stored":
                self._wait_for_commitment(sop, parcel, ask_in=0.0)
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
            if answer.stored:
                logger.info(f"{sop}: its result is stored; commitment pending")
                self.queue.write_down(sop, "stored", answer.reason, parcel.sop)
                self._wait_for_commitment(sop, parcel, ask_in=self.longest)
                continue
            whole = False
            self._refuse(sop, answer)
        self._failures = 0 if whole else self._failures + 1
        return whole

    def _wait_for_commitment(self, sop: str, parcel: Parcel, ask_in: float) -> None:
        place = self.queue.file("stored", sop, RESULT)
        since = parcel.path.stat().st_mtime
        self.queue.move(sop, "outgoing", "stored")
        self._stored[sop] = (replace(parcel, path=place), since, monotonic() + ask_in)

    def ask(self) -> None:
        """Take up commitments to what is stored, and ask again for those that are due. Nothing is stored again, unless
        the node says that it does not keep it.
        """
        for sop in self.queue.waiting("stored"):
            if sop not in self._stored:  # an error left it there; the next step finds its row
                self.queue.move(sop, "stored", "outgoing")
        now = monotonic()
        due = sorted((when, sop) for sop, (_, _, when) in self._stored.items() if when <= now)[:AT_ONCE]
        asked = {sop for _, sop in due}
        for some, ask in ((asked, True), (self._stored.keys() - asked, False)):
            parcels = [self._stored[sop][0] for sop in some]
            try:
                answers = self.sender.confirm(parcels, ask) if parcels else {}
            except Unreachable:
                answers = {}
            for sop in some:
                parcel, since, when = self._stored.pop(sop)
                answer = answers.get(parcel.sop, Answer(False, stored=True))
                if answer.confirmed:
                    self.queue.finish(sop, "stored", "sent", answer.reason, parcel.sop, self.keep)
                    logger.info(f"{sop}: its result was sent")
                elif answer.stored:
                    self._stored[sop] = (parcel, since, now + self.longest if ask else when)
                    if sop not in self._warned and time() - since > 3600 * self.late:
                        self._warned.add(sop)
                        logger.warning(f"{sop}: stored, but after {self.late:g} hours still without its commitment")
                else:
                    self.queue.write_down(sop, "outgoing", answer.reason, parcel.sop)
                    self.queue.move(sop, "stored", "outgoing")
                    self._refuse(sop, answer)

    def _refuse(self, sop: str, answer: Answer) -> None:
        self._refusals[sop] = self._refusals.get(sop, 0) + 1
        logger.warning(f"{sop}: its result was not confirmed: {answer.reason}")
        if not answer.again and self._refusals[sop] > self.retries:
            self._fail(sop, answer.reason)

    def _fail(self, sop: str, reason: str) -> None:
        self._refusals.pop(sop, None)
        logger.error(f"{sop}: failed: {reason}")
        self.queue.finish(sop, "outgoing", "failed", reason)
