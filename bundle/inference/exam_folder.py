"""The work list of a batch of DICOM exams: which objects are LE images, where each result goes, what became of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..data.exam_files import find_exam_files
from ..data.whole_files import write_table
from ..dicom.energy import Rules, classify, read_rules
from ..dicom.files import read_dataset
from ..dicom.write import Form, Synthesis, derived_uids
from .journal import Journal

__all__ = ["COLUMNS", "ExamFolder"]

logger = logging.getLogger(__name__)
TIMES = ("decode", "preprocess", "network", "write")  # seconds of each step
COLUMNS = ("image", "output", "state", "reason", "outside", "seconds", *TIMES, "sop_instance_uid", "model_sha256")


class ExamFolder:
    """LE objects of an exam tree, a medium with DICOMDIR or a flat folder, and a row in ``results.csv`` for every file.

    A result is named by UIDs that follow from those of its LE object, the model and the options that change pixels:
    ``<study>/<series>/<object>.dcm``. So a second call knows what is there, another model writes beside it, and no file
    is ever written twice. Files that are no LE object of a CESM exposure get their reason, and the rest goes on.

    Args:
        dataset_dir: folder of exams, at any depth.
        output_dir: receives the tree of results and ``results.csv``; it may lie inside ``dataset_dir``.
        synthesis: what makes the images, see :class:`bundle.dicom.write.Synthesis`.
        form: of the objects, see :class:`bundle.dicom.write.Form`.
        overwrite: make results anew that exist already.
        vendors: a vendor file of one's own, see ``bundle/dicom/vendors.json``.
        unknown_is_le: take objects whose header does not say LE, DES or HE for LE images.
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
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.dataset_dir, self.output_dir = Path(dataset_dir), Path(output_dir)
        self.synthesis, self.form = synthesis, form
        self.overwrite, self.unknown_is_le = overwrite, unknown_is_le
        self.rules: Rules = read_rules(vendors)
        self.rank, self.world_size = rank, world_size
        self.journal = Journal(self.output_dir, COLUMNS, rank)
        self._items: list[dict[str, Any]] | None = None

    def items(self) -> list[dict[str, Any]]:
        """``image`` (path), ``output`` (path), ``sop_instance_uid`` and ``copies`` (other files that say they hold the
        same object) of each LE object that needs a result.

        Only headers are read here. Every other file is entered in the journal with its reason.
        """
        if self._items is None:
            self._items = self._found() if self.dataset_dir.is_dir() else []
        return self._items

    def _found(self) -> list[dict[str, Any]]:
        files = find_exam_files(self.dataset_dir, without=(self.output_dir.resolve(),))
        for other in files.skipped if self.rank == 0 else []:
            state = "skipped" if other.expected else "failed"
            self.journal.enter({"image": str(other.path), "state": state, "reason": other.reason})
        items: list[dict[str, Any]] = []
        claimed: dict[str, str] = {}
        copies: dict[str, list[str]] = {}
        places: Iterable[Path] = files.dicom
        if self.rank == 0:
            places = tqdm(files.dicom, desc="looking through the exams", unit="file", dynamic_ncols=True)
        for number, path in enumerate(places):
            row = {"image": str(path)} | self._look(path)
            if row["state"] == "made":
                first = claimed.setdefault(row["output"], str(path))
                if first != str(path):
                    copies.setdefault(row["output"], []).append(str(path))
                    row |= {"state": "skipped", "output": "", "reason": f"the same SOP Instance UID as {first}"}
                elif Path(row["output"]).exists() and not self.overwrite:
                    row |= self.journal.former(row["output"])
                    row |= {"state": "kept", "reason": "the result exists already; --overwrite True makes it anew"}
            if number % self.world_size != self.rank:
                continue
            if row["state"] == "made":
                kept = {key: row[key] for key in ("image", "output", "sop_instance_uid")}
                items.append(kept | {"copies": copies.setdefault(row["output"], [])})
            else:
                self.journal.enter(row)
        return items

    def _look(self, path: Path) -> dict[str, Any]:
        try:
            ds = read_dataset(path, pixels=False)
            decision = classify(ds, self.rules)
            uid = str(ds.get("SOPInstanceUID") or "")
            if decision.taken_for not in ("LE", "unknown" if self.unknown_is_le else "LE"):
                damaged = "Modality" not in ds and "SOPClassUID" not in ds
                reason = "its header is damaged" if damaged else decision.reason or f"it is {decision.taken_for}"
                advice = "; --unknown_is_le True takes it for LE" if decision.taken_for == "unknown" else ""
                state = "failed" if damaged else "skipped"
                return {"state": state, "reason": f"not an LE image: {reason}{advice}", "sop_instance_uid": uid}
            missing = [key for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID") if not ds.get(key)]
            if missing:
                return {"state": "failed", "reason": f"it has no {', '.join(missing)}: export it again"}
            series, name = derived_uids(ds, self.synthesis, self.form)
            output = self.output_dir / str(ds.StudyInstanceUID) / series / f"{name}.dcm"
        except Exception as error:  # of a damaged header, whose text may hold a name
            return {"state": "failed", "reason": f"its header cannot be read ({type(error).__name__}): export it again"}
        return {"state": "made", "output": str(output), "sop_instance_uid": uid}

    def finish(self, wait: Callable[[], object] | None = None) -> None:
        """Write ``results.csv``, one row a file in the order of their names, and log the count of each state.

        Args:
            wait: returns when every process has come here; the first one then writes the rows of all.

        Raises:
            SystemExit: with status 1 when a file failed, or when no LE object was found.
        """
        self.journal.close()
        if wait is not None:
            wait()
        if self.rank:
            return
        table = self.journal.table()
        for row in table.to_dict("records"):
            if row["state"] == "made" and not Path(row["output"]).is_file():
                table.loc[table["image"] == row["image"], ["state", "reason"]] = "failed", "no result was written"
        path = write_table(table, self.output_dir / "results.csv")
        self.journal.remove()
        counts = ", ".join(f"{count} {state}" for state, count in table["state"].value_counts().items()) or "no file"
        logger.info(f"{path}: {counts}")
        failed = table[table["state"] == "failed"]
        for row in failed.itertuples():
            logger.error(f"{row.image}: {row.reason}")
        if not table["state"].isin(["made", "kept"]).any():
            logger.error(f"there is no LE object in {self.dataset_dir}: the column 'reason' says what its files are")
            raise SystemExit(1)
        if len(failed):
            raise SystemExit(1)
