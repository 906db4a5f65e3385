"""What waits in the queue, through the batch inference."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from time import monotonic

import pandas as pd

from ...dicom.energy import other_than_le
from .answer import read_parcel
from .batch_inference import TranslationFailed
from .disk_queue import RESULT, DiskQueue
from .whole import sync

__all__ = ["Translate", "Translator"]

logger = logging.getLogger(__name__)
Translate = Callable[[Path, Path], None]


class Translator:
    """Takes objects from ``incoming`` to ``outgoing``, ``aside`` or ``failed``.

    Args:
        queue: of the objects.
        translate: takes (folder of DICOM files, folder of the results) and writes ``results.csv`` there, with the
            columns image, output (the path of the derived object), state (made, kept, skipped, failed) and reason.
        batch: objects a call.
        settle: seconds to wait for the rest of an exam after an object arrived.
        pause: seconds before the next attempt after a call that failed as a whole, doubled each time up to
            ``longest``. What failed together is tried in halves; what fails alone as well stands behind the others and
            is tried for ever. Only what its own row calls failed, in a call of its own, goes to ``failed``.
        longest: pause in seconds.
        keep_aside: keep under ``aside/`` also what is known to be no LE image; its row stays in any case.
    """

    def __init__(
        self,
        queue: DiskQueue,
        translate: Translate,
        batch: int = 32,
        settle: float = 2.0,
        pause: float = 5.0,
        longest: float = 300.0,
        keep_aside: bool = False,
    ) -> None:
        self.queue, self.translate, self.keep_aside = queue, translate, keep_aside
        self.batch, self.settle, self.pause, self.longest = batch, settle, pause, longest
        self._span = batch
        self._failures = 0
        self._alone: dict[str, tuple[int, float]] = {}  # how often it failed alone, when it is tried again

    def run(self, stop: Event) -> None:
        """Translate what arrives until told to stop."""
        while not stop.is_set():
            waiting = self._next()
            if not waiting:
                self.queue.wait(1.0, lambda: self._next() or stop.is_set())
                continue
            if len(waiting) < self._span:
                stop.wait(self.settle)
            if not stop.is_set() and not self.step(stop.is_set):
                stop.wait(self._pause(self._failures))

    def _pause(self, failures: int) -> float:
        return min(self.longest, self.pause * 2 ** min(failures - 1, 20)) if failures else 0.0

    def _next(self) -> list[str]:
        waiting = self.queue.waiting("incoming")
        together = [sop for sop in waiting if sop not in self._alone][: self._span]
        due = [sop for sop in waiting if sop in self._alone and self._alone[sop][1] <= monotonic()]
        return together or sorted(due, key=lambda sop: self._alone[sop])[:1]

    def step(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Translate one batch of what waits; False when it failed as a whole."""
        for sop in self.queue.waiting("working"):  # an error left it there
            self.queue.move(sop, "working", "incoming")
        ready = []
        for sop in self._next():
            self.queue.move(sop, "incoming", "working")
            other = other_than_le(self.queue.file("working", sop))
            if other:
                self._take_off(sop, "aside", f"not an LE image: {other}", keep=self.keep_aside)
            else:
                ready.append(sop)
        if not ready:
            return True
        began = monotonic()
        scratch = Path(tempfile.mkdtemp(dir=self.queue.scratch()))
        try:
            source, target = scratch / "in", scratch / "out"
            source.mkdir()
            for sop in ready:
                _link(self.queue.file("working", sop), source / f"{sop}.dcm")
            self.translate(source, target)
            rows = _read_results(target)
        except Exception as error:
            self._go_back(ready, error, stopped())
            return False
        else:
            self._failures, self._span = 0, min(self.batch, 2 * self._span)
            for sop in ready:
                try:
                    self._sort(sop, rows.get(sop), target, alone=len(ready) == 1)
                except OSError as error:
                    self._go_back([sop], error, stopped())
            logger.info(f"translated {len(ready)} object(s) in {monotonic() - began:.1f} s")
            return True
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _go_back(self, batch: Sequence[str], error: Exception, stopped: bool) -> None:
        told = str(error) if isinstance(error, TranslationFailed) else type(error).__name__
        if not stopped:
            logger.error(f"the translation of {len(batch)} object(s) failed, and is tried again: {told}")
            self._span = max(1, len(batch) // 2)
            if len(batch) > 1 or batch[0] not in self._alone:  # one that is known to fail alone holds up nobody
                self._failures += 1
            if len(batch) == 1:
                failures = self._alone.get(batch[0], (0, 0.0))[0] + 1
                self._alone[batch[0]] = (failures, monotonic() + self._pause(failures))
        for sop in batch:
            self.queue.move(sop, "working", "incoming")

    def _sort(self, sop: str, row: dict[str, str] | None, target: Path, alone: bool) -> None:
        """One object to where its row in the results says."""
        if row is None:
            self._take_off(sop, "failed", "the translation says nothing about it")
        elif row["state"] == "skipped":
            self._take_off(sop, "aside", row["reason"])
        elif row["state"] not in ("made", "kept") and not alone:  # the fault may be the batch's
            self._alone[sop] = (0, 0.0)
            self.queue.move(sop, "working", "incoming")
        elif row["state"] not in ("made", "kept"):
            self._take_off(sop, "failed", row["reason"])
        else:
            result = target / row["output"]  # an absolute path stays one
            problem = _problem(self.queue.file("working", sop), result)
            if problem:
                self._take_off(sop, "failed", problem)
                return
            place = self.queue.file("working", sop, RESULT)
            shutil.copyfile(result, place)  # the results may lie on another disk
            sync(place)
            sync(place.parent)
            self._alone.pop(sop, None)
            self.queue.move(sop, "working", "outgoing")

    def _take_off(self, sop: str, state: str, reason: str, keep: bool = True) -> None:
        self._alone.pop(sop, None)
        logger.log(logging.ERROR if state == "failed" else logging.INFO, f"{sop}: {state}: {reason}")
        self.queue.finish(sop, "working", state, reason, keep=keep)


def _link(path: Path, place: Path) -> None:
    try:
        os.link(path, place)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, place)


def _read_results(target: Path) -> dict[str, dict[str, str]]:
    """The rows of results.csv by SOP Instance UID, which names each file."""
    table = pd.read_csv(target / "results.csv", dtype=str, keep_default_na=False)
    missing = {"image", "output", "state", "reason"} - set(table.columns)
    if missing:
        raise TranslationFailed(f"results.csv lacks the columns {sorted(missing)}")
    return {Path(row["image"]).name.removesuffix(".dcm"): row for row in table.to_dict("records")}


def _problem(source: Path, result: Path) -> str:
    """Why a result must not be sent for its source; "" when it may."""
    try:
        before, after = read_parcel(source), read_parcel(result)
    except (ValueError, OSError) as error:
        return f"its result cannot be sent: {error if isinstance(error, ValueError) else type(error).__name__}"
    if before is None or after is None:
        return "its result is no DICOM object"
    if not after.synthetic:
        return "its result does not say Synthetic Data YES"
    if after.sop == before.sop:
        return "its result bears the UID of its source"
    if (before.study, before.patient) != (after.study, after.patient):
        return "its result belongs to another patient or study"
    return ""
