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
        retries: further attempts at an object after a call that failed as a whole, then alone.
        pause: seconds before the next attempt, doubled each time.
    """

    def __init__(
        self,
        queue: DiskQueue,
        translate: Translate,
        batch: int = 32,
        settle: float = 2.0,
        retries: int = 2,
        pause: float = 5.0,
    ) -> None:
        self.queue, self.translate = queue, translate
        self.batch, self.settle, self.retries, self.pause = batch, settle, retries, pause
        self._attempts: dict[str, int] = {}

    def run(self, stop: Event) -> None:
        """Translate what arrives until told to stop."""
        while not stop.is_set():
            waiting = self.queue.waiting("incoming")
            if not waiting:
                self.queue.wait(1.0, lambda: self.queue.waiting("incoming") or stop.is_set())
                continue
            if len(waiting) < self.batch:
                stop.wait(self.settle)
            if not stop.is_set() and not self.step(stop.is_set):
                tried = max(self._attempts.values(), default=1)
                stop.wait(self.pause * 2 ** (tried - 1))

    def step(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Translate one batch of what waits; False when it failed as a whole."""
        for sop in self.queue.waiting("working"):  # an error left it there
            self.queue.move(sop, "working", "incoming")
        fresh = [sop for sop in self.queue.waiting("incoming") if sop not in self._attempts]
        batch = fresh[: self.batch] or self.queue.waiting("incoming")[:1]  # what failed together is tried alone
        ready = []
        for sop in batch:
            self.queue.move(sop, "incoming", "working")
            other = other_than_le(self.queue.file("working", sop))
            if other:
                self._take_off(sop, "aside", f"not an LE image: {other}")
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
            for sop in ready:
                try:
                    self._sort(sop, rows.get(sop), target)
                except OSError as error:
                    self._go_back([sop], error, stopped())
            logger.info(f"translated {len(ready)} object(s) in {monotonic() - began:.1f} s")
            return True
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _go_back(self, batch: Sequence[str], error: Exception, stopped: bool) -> None:
        told = str(error) if isinstance(error, TranslationFailed) else type(error).__name__
        if not stopped:
            logger.error(f"the translation of {len(batch)} object(s) failed: {told}")
        for sop in batch:
            if not stopped:
                self._attempts[sop] = self._attempts.get(sop, 0) + 1
            if self._attempts.get(sop, 0) > self.retries:
                self._take_off(sop, "failed", f"the translation failed {self.retries + 1} times: {told}")
            else:
                self.queue.move(sop, "working", "incoming")

    def _sort(self, sop: str, row: dict[str, str] | None, target: Path) -> None:
        """One object to where its row in the results says."""
        if row is None:
            self._take_off(sop, "failed", "the translation says nothing about it")
        elif row["state"] == "skipped":
            self._take_off(sop, "aside", row["reason"])
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
            self._attempts.pop(sop, None)
            self.queue.move(sop, "working", "outgoing")

    def _take_off(self, sop: str, state: str, reason: str) -> None:
        self._attempts.pop(sop, None)
        logger.log(logging.ERROR if state == "failed" else logging.INFO, f"{sop}: {state}: {reason}")
        self.queue.finish(sop, "working", state, reason)


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
