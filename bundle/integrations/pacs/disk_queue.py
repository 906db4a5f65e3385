"""What the receiver holds, on disk: one folder an object, whose place says how far it is.

``incoming/<SOP Instance UID>/source.dcm`` waits for its translation, ``working/`` is being translated, ``outgoing/``
has its ``virtual_des.dcm`` beside it and waits for the node, ``stored/`` is at the node, whose commitment is awaited,
``done/`` is kept on demand, ``aside/`` holds what may be no LE image and ``failed/`` what could not be translated or
sent. A step is one renaming of a folder, so a process that is killed leaves each object in one of these places, whole.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Condition
from typing import Any

from ...dicom.uid import is_uid
from .ledger import Ledger
from .whole import sync

__all__ = ["RESULT", "SOURCE", "DiskQueue", "Limits", "QueueFull"]

logger = logging.getLogger(__name__)
SOURCE, RESULT = "source.dcm", "virtual_des.dcm"
UNDER_WAY, AT_REST = ("incoming", "working", "outgoing", "stored"), ("done", "aside", "failed")
ARRIVING, SCRATCH = "arriving", "scratch"
COLUMNS = ("sop_instance_uid", "result", "state", "reason", "source", "node")


class QueueFull(Exception):
    """No room for this object now."""


@dataclass(frozen=True)
class Limits:
    """Of the queue: objects and bytes under way, bytes that rest in aside, failed and done, bytes to leave free on
    the disk."""

    objects: int = 2000
    bytes: int = 50 * 2**30
    resting_bytes: int = 50 * 2**30
    free_bytes: int = 2 * 2**30


class DiskQueue:
    """Objects under way. One process at a time; its methods may be called from any thread.

    ``results.csv`` has a row for each result, by the SHA-256 of its source and the node that it went to. The folder is
    its owner's alone.

    Args:
        root: its folder; what an earlier process was at work on waits again.
        limits: beyond which nothing is taken in.
        node: that gets the results; what an earlier process stored at another one is sent to this one.
    """

    def __init__(self, root: str | os.PathLike, limits: Limits | None = None, node: str = "") -> None:
        self.root, self.limits, self.node = Path(root), limits or Limits(), node
        self.changed = Condition()
        self._numbers = count()
        for state in (*UNDER_WAY, *AT_REST):
            (self.root / state).mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for name in (ARRIVING, SCRATCH):
            shutil.rmtree(self.root / name, ignore_errors=True)
            (self.root / name).mkdir()
        for job in (self.root / "working").iterdir():
            (job / RESULT).unlink(missing_ok=True)
            job.rename(self.root / "incoming" / job.name)
        for job in (self.root / "stored").iterdir():  # the forwarder knows what was stored here
            job.rename(self.root / "outgoing" / job.name)
        self._bytes = {job.name: _size(job) for state in UNDER_WAY for job in (self.root / state).iterdir()}
        self._resting = self._measure()
        key = ("sop_instance_uid", "result", "source", "node")
        self.ledger = Ledger(self.root / "results.csv", COLUMNS, key)

    def put(self, sop: str, content: Callable[[], bytes]) -> bool:
        """Take an object in; when this returns it is on the disk.

        Returns:
            False where the same object, byte for byte, is under way already.

        Raises:
            QueueFull: beyond the limits, or while another object of this UID is under way: its correction may come
                once that one is through.
            ValueError: when ``sop`` is no UID.
        """
        if not is_uid(sop):
            raise ValueError("the SOP instance UID is none")
        arrived = content()
        with self.changed:
            if sop in self._bytes:
                if hashlib.sha256(arrived).hexdigest() == self._source(sop):
                    return False
                raise QueueFull("another object of its SOP instance UID is under way")
            self._check_room()
            self._bytes[sop] = 0  # from now on it counts
        arriving = self.root / ARRIVING / f"{next(self._numbers)}"
        try:
            arriving.mkdir()
            (arriving / SOURCE).write_bytes(arrived)
            sync(arriving / SOURCE)
            sync(arriving)
            with self.changed:
                size = _size(arriving)
                arriving.rename(self._place("incoming", sop))
                sync(self.root / "incoming")
                self._bytes[sop] = size
                self.changed.notify_all()
        except BaseException:
            shutil.rmtree(arriving, ignore_errors=True)
            with self.changed:
                if not self._place("incoming", sop).exists():
                    self._bytes.pop(sop, None)
            raise
        return True

    def _check_room(self) -> None:
        limits, used = self.limits, sum(self._bytes.values())
        if len(self._bytes) >= limits.objects or used >= limits.bytes:
            raise QueueFull(f"{len(self._bytes)} objects of {used} bytes are under way")
        if self._resting >= limits.resting_bytes:
            self._resting = self._measure()  # somebody may have cleared them away
        if self._resting >= limits.resting_bytes:
            raise QueueFull(f"{self._resting} bytes rest in {', '.join(AT_REST)}: look at them and clear them away")
        if shutil.disk_usage(self.root).free < limits.free_bytes:
            raise QueueFull("the disk is full")

    def _measure(self) -> int:
        return sum(_size(job) for state in AT_REST for job in (self.root / state).glob("*"))

    def _source(self, sop: str) -> str:
        """The SHA-256 of an object under way; "" while it arrives."""
        with self.changed:
            for state in UNDER_WAY:
                if self.file(state, sop).is_file():
                    with open(self.file(state, sop), "rb") as file:
                        return hashlib.file_digest(file, "sha256").hexdigest()
        return ""

    def _place(self, state: str, sop: str) -> Path:
        return self.root / state / sop

    def file(self, state: str, sop: str, name: str = SOURCE) -> Path:
        """A file of an object."""
        return self._place(state, sop) / name

    def scratch(self) -> Path:
        """The folder for what may be lost, on the disk of the queue."""
        return self.root / SCRATCH

    def waiting(self, state: str) -> list[str]:
        """The objects in a state, those that came first in front."""
        entries = [(entry.stat().st_mtime_ns, entry.name) for entry in os.scandir(self.root / state)]
        return [name for _, name in sorted(entries)]

    def move(self, sop: str, before: str, after: str) -> None:
        """Take an object one step on, or back."""
        with self.changed:
            self._place(before, sop).rename(self._place(after, sop))
            sync(self.root / after)
            sync(self.root / before)
            self._bytes[sop] = _size(self._place(after, sop))
            self.changed.notify_all()

    def write_down(self, sop: str, state: str, reason: str = "", result: str = "") -> None:
        """A row of the ledger for an object under way."""
        source = self._source(sop)
        self.ledger.add(sop_instance_uid=sop, result=result, state=state, reason=reason, source=source, node=self.node)

    def finish(self, sop: str, before: str, state: str, reason: str = "", result: str = "", keep: bool = True) -> None:
        """Take an object off: ``state`` is sent, aside or failed. First it is written down, then moved or removed."""
        self.write_down(sop, state, reason, result)
        place, target = self._place(before, sop), self._place("done" if state == "sent" else state, sop)
        with self.changed:
            if target.exists():  # the same object, from before
                self._resting -= _size(target)
                self._remove(target)
            if keep:
                place.rename(target)
                sync(target.parent)
                self._resting += _size(target)
            else:
                self._remove(place)
            sync(place.parent)
            self._bytes.pop(sop, None)
            self.changed.notify_all()

    def requeue_failed(self) -> int:
        """Put what failed back to what waits, but for what came again meanwhile; returns how many."""
        again = [sop for sop in self.waiting("failed") if sop not in self._bytes]
        for sop in again:
            self.file("failed", sop, RESULT).unlink(missing_ok=True)
            self._resting -= _size(self._place("failed", sop))
            self.move(sop, "failed", "incoming")
        return len(again)

    def _remove(self, job: Path) -> None:
        """At once, not file by file."""
        rest = self.root / SCRATCH / f"removed-{next(self._numbers)}"
        job.rename(rest)
        shutil.rmtree(rest, ignore_errors=True)

    def state_at_node(self, sop: str, result: str) -> str:
        """How far a result of this very source came at this node, now or in an earlier life: sent, stored or ""."""
        row = self.ledger.get(sop, result, self._source(sop), self.node)
        return row["state"] if row else ""

    def wait(self, seconds: float, until: Callable[[], Any] = lambda: False) -> None:
        """Wait for a change, or some seconds."""
        with self.changed:
            if not until():
                self.changed.wait(seconds)


def _size(job: Path) -> int:
    size = 0
    for path in job.glob("*"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:  # cleared away by hand
            continue
    return size
