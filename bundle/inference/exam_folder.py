"""The work list of a batch of DICOM exams: which objects are LE images, where each result goes, what became of it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..data.exam_files import find_exam_files
from ..data.whole_files import write_json
from ..dicom.energy import Rules, classify, read_rules
from ..dicom.files import read_dataset
from ..dicom.identity import patient_key
from ..dicom.transfer_syntax import SYNTAXES
from ..dicom.uid import is_uid
from ..dicom.whole_object import whole_object
from ..dicom.write import Form, Synthesis, derived_uids
from .journal import FULL, Journal
from .output_folder import hold
from .save_dicom import ALSO

__all__ = ["COLUMNS", "ExamFolder", "from_first"]

logger = logging.getLogger(__name__)
TIMES = ("decode", "preprocess", "network", "write")  # seconds of each step
ROW = 1024  # bytes of a row of results.csv, generously
MEASURED = ("outside", "seconds", *TIMES, "model_sha256")
COLUMNS = ("image", "output", "state", "reason", "rule", *MEASURED[:-1], "sop_instance_uid", "model_sha256")


def from_first(value: Any) -> Any:
    """What the first process of the group has, in each of them."""
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


class ExamFolder:
    """LE objects of an exam tree, a medium with DICOMDIR or a flat folder, and a row in ``results.csv`` for every file.

    A result is named by UIDs that follow from those of its LE object, the model and the options that change pixels:
    ``<study>/<series>/<object>.dcm``. So a second call knows what is there, another model writes beside it, and no file
    is ever written twice. Files that are no LE object of a CESM exposure get their reason, and the rest goes on. One
    call at a time may write to ``output_dir``; of several processes the first one looks through the exams.

    Args:
        dataset_dir: folder of exams, at any depth.
        output_dir: receives the tree of results and ``results.csv``; it may lie inside ``dataset_dir``.
        synthesis: what makes the images, see :class:`bundle.dicom.write.Synthesis`.
        form: of the objects, see :class:`bundle.dicom.write.Form`.
        overwrite: make results anew that exist already.
        vendors: a vendor file of one's own, see ``bundle/dicom/vendors.json``.
        unknown_is_le: take objects whose header does not say LE, DES or HE for LE images.
        also: further files beside each object, see :class:`bundle.inference.SaveDicomd`; an object without them is made
            anew.
        rank, world_size: this process takes every ``world_size``-th LE object.
    """

    def __init__(
        self,
        dataset_dir: str | os.PathLike,
        output_dir: str | os.PathLike,
        synthesis: Synthesis,
        form: Form,
        overwrite: bool = False,
        vendors: str | os.PathLike | None = None,
        unknown_is_le: bool = False,
        also: Sequence[str] = (),
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.dataset_dir, self.output_dir = Path(dataset_dir), Path(output_dir)
        self.synthesis, self.form = synthesis, form
        self.overwrite, self.unknown_is_le, self.also = overwrite, unknown_is_le, tuple(also)
        self.rules: Rules = read_rules(vendors)
        self.rank, self.world_size = rank, world_size
        self.journal = Journal(self.output_dir, COLUMNS, rank)
        self._items: list[dict[str, Any]] | None = None
        self._reserve = self.output_dir / ".results.reserve"  # room for results.csv once the disk is full
        self._release: Callable[[], object] = lambda: None

    def begin(self, share: Callable[[Any], Any] | None = None) -> None:
        """Lock ``output_dir``, take up what an earlier call left, and look through the exams.

        Only headers are read. Every file that needs no result is entered in the journal with its reason.

        Args:
            share: gives every process what the first one has, see :func:`from_first`; None where there is one.

        Raises:
            SystemExit: in one line, where another call writes to ``output_dir`` or nothing can be written.
        """
        found: str | list[dict[str, Any]] = []
        if self.rank == 0:
            try:
                lock = hold(self.output_dir, self.dataset_dir)
                self._release = weakref.finalize(self, lock.close)
                self.journal.take_up()
                found = self._found() if self.dataset_dir.is_dir() else []
                self._require_room(found)
                self._reserve.write_bytes(bytes((1 + len(found)) * ROW))
            except ValueError as error:
                found = str(error)
            except OSError as error:
                found = f"{self.output_dir} cannot be used ({error.strerror}): make room, or pass another --output_dir."
        found = share(found) if share else found
        if isinstance(found, str):
            self.journal.close()
            self._release()
            raise SystemExit(found if self.rank == 0 else 1)
        self._items = found[self.rank :: self.world_size]

    def items(self) -> list[dict[str, Any]]:
        """``image`` (path), ``output`` (path), ``sop_instance_uid``, ``rule`` and ``copies`` (other files that say they
        hold the same object) of each LE object that needs a result from this process.
        """
        if self._items is None:
            self.begin()
        return self._items or []

    def _found(self) -> list[dict[str, Any]]:
        files = find_exam_files(self.dataset_dir, without=(self.output_dir.resolve(),))
        for other in files.skipped:
            state = "skipped" if other.expected else "failed"
            self.journal.enter({"image": str(other.path), "state": state, "reason": other.reason})
        alike: dict[str, list[dict[str, Any]]] = {}
        for path in tqdm(files.dicom, desc="looking through the exams", unit="file", dynamic_ncols=True):
            row = {"image": str(path)} | self._look(path)
            if row["state"] == "made":
                alike.setdefault(row["sop_instance_uid"], []).append(row)
            else:
                self.journal.enter(row)
        return [item for rows in alike.values() for item in self._of_one_object(rows)]

    def _of_one_object(self, rows: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """At most one item of all files with the same SOP Instance UID.

        They are copies where patient, study and series agree. Pixels are not compared: one copy may be damaged, and
        then another is read.
        """
        first, *others = rows
        if len({row["belongs_to"] for row in rows}) > 1:
            for row, other in zip(rows, [others[0], *(first for _ in others)], strict=True):
                what = f"the same SOP Instance UID as {other['image']}"
                reason = f"{what}, but not of the same patient, study and series in all files: export them again"
                self.journal.enter(row | {"state": "failed", "output": "", "reason": reason})
            return
        for row in others:
            reason = f"the same SOP Instance UID as {first['image']}"
            self.journal.enter(row | {"state": "skipped", "output": "", "reason": reason})
        if reason := self._kept(Path(first["output"])):
            former = self.journal.former(first["output"])
            measured = {key: former[key] for key in MEASURED if former.get(key)}
            kept = {"state": "kept", "reason": reason, "model_sha256": self.synthesis.weights}
            self.journal.enter(first | kept | measured)
        else:
            item = {key: first[key] for key in ("image", "output", "sop_instance_uid", "rule", "bytes")}
            yield item | {"copies": [row["image"] for row in others]}

    def _kept(self, output: Path) -> str:
        """Why a result is not made anew; "" where it is to be made, or was not wholly."""
        if self.overwrite or not output.is_file():
            return ""
        there = whole_object(output)
        if there is None or not all(output.with_suffix(ALSO[kind]).is_file() for kind in self.also):
            return ""
        syntax = str(there.file_meta.TransferSyntaxUID)
        names = {uid: name for name, uid in SYNTAXES.items()}
        differs = f", {names.get(syntax, syntax)}" if syntax != SYNTAXES[self.form.transfer_syntax] else ""
        return f"the result exists already{differs}; --overwrite True makes it anew"

    def _require_room(self, items: list[dict[str, Any]]) -> None:
        free = shutil.disk_usage(self.output_dir).free
        needed = sum(item["bytes"] for item in items) if self.form.transfer_syntax == "uncompressed" else 1
        if items and free < needed:
            raise ValueError(
                f"{self.output_dir} has room for {free / 1e9:.3g} GB, but {len(items)} results need {needed / 1e9:.3g} "
                "GB: make room, pass another --output_dir or --transfer_syntax jpegls."
            )

    def _look(self, path: Path) -> dict[str, Any]:
        try:
            ds = read_dataset(path, pixels=False)
            decision = classify(ds, self.rules)
            uid = str(ds.get("SOPInstanceUID") or "")
            about = {"sop_instance_uid": uid if is_uid(uid) else "", "rule": decision.rule}
            if decision.taken_for not in ("LE", "unknown" if self.unknown_is_le else "LE"):
                damaged = "Modality" not in ds and "SOPClassUID" not in ds
                reason = "its header is damaged" if damaged else decision.reason or f"it is {decision.taken_for}"
                advice = "; --unknown_is_le True takes it for LE" if decision.taken_for == "unknown" else ""
                state = "failed" if damaged else "skipped"
                return {"state": state, "reason": f"not an LE image: {reason}{advice}"} | about
            uids = {key: str(ds.get(key) or "") for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
            missing = [key for key, value in uids.items() if not is_uid(value)]
            if missing:
                return {"state": "failed", "reason": f"it has no valid {', '.join(missing)}: export it again"} | about
            series, name = derived_uids(ds, self.synthesis, self.form)
            output = self.output_dir / uids["StudyInstanceUID"] / series / f"{name}.dcm"
            belongs_to = (*patient_key(ds), *uids.values())
            size = 2 * int(ds.get("Rows") or 0) * int(ds.get("Columns") or 0)
        except Exception as error:  # of a damaged header, whose text may hold a name
            return {"state": "failed", "reason": f"its header cannot be read ({type(error).__name__}): export it again"}
        about["rule"] = decision.rule or "--unknown_is_le True"
        return {"state": "made", "output": str(output), "belongs_to": belongs_to, "bytes": size} | about

    def work(self, run: Callable[[], object], wait: Callable[[], object] | None = None) -> None:
        """Make the results by ``run``, and :meth:`finish`; what ends it early leaves ``results.csv`` too.

        Raises:
            SystemExit: see :meth:`finish`; also when the disk is full or the call is stopped.
        """
        try:
            if self.items():
                run()
        except BaseException as error:
            if self._items is not None:
                self._end("stopped")
            if isinstance(error, OSError) and error.errno in FULL:
                advice = "make room, and the same call goes on"
                raise SystemExit(f"stopped: {self.output_dir}: {error.strerror}; {advice}.") from None
            raise
        self.finish(wait)

    def finish(self, wait: Callable[[], object] | None = None) -> None:
        """Write ``results.csv``, one row a file in the order of their names, and log the count of each state.

        Args:
            wait: returns when every process has come here; the first one then writes the rows of all.

        Raises:
            SystemExit: with status 1 when a file failed, or when no LE object was found.
        """
        self.items()
        self.journal.close()
        if wait is not None:
            wait()
        states = self._end("completed")
        if self.rank == 0 and not {"made", "kept"} & set(states):
            logger.error(f"there is no LE object in {self.dataset_dir}: the column 'reason' says what its files are")
            raise SystemExit(1)
        if "failed" in states:
            raise SystemExit(1)

    def _end(self, state: str) -> dict[str, int]:
        """Write what became of the files, and the count of each state, which it returns; the first process does."""
        self.journal.close()
        if self.rank:
            return {}
        try:
            self._reserve.unlink(missing_ok=True)
            table = self.journal.table()
            lost = (table["state"] == "made") & ~table["output"].map(lambda output: Path(output).is_file()).astype(bool)
            table.loc[lost, ["state", "reason"]] = "failed", "no result was written"
            counts = {str(state): int(count) for state, count in table["state"].value_counts().items()}
            path = self.journal.finish(table, self.synthesis.weights)
            if state == "completed" or self.world_size == 1:  # else other processes may still write theirs
                self.journal.remove()
            self._record(state, counts)
        except OSError as error:
            if state == "completed":
                raise SystemExit(f"{error.filename}: {error.strerror}; make room, and the same call goes on.") from None
            logger.error(f"{self.output_dir}: {error.strerror}, so results.csv waits for the same call again")
            return {}
        finally:
            self._release()
        told = ", ".join(f"{count} {state}" for state, count in counts.items()) or "no file"
        logger.info(f"{path}: {told}")
        for row in table[table["state"] == "failed"].itertuples():
            logger.error(f"{row.image}: {row.reason}")
        return counts

    def _record(self, state: str, counts: dict[str, int]) -> None:
        """Say in ``run.json``, where there is one, how the call ended."""
        path = self.output_dir / "run.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        write_json(path, record | {"state": state, "files": counts})
