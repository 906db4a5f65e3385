"""De-identify every image of a folder into another one, and say of each file what became of it."""

from __future__ import annotations

import csv
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..dicom.deidentify import deidentify_dataset, kept_back
from ..dicom.energy import Rules, read_rules
from ..dicom.files import has_dicom_mark, read_dataset
from .exam_files import walk
from .exam_objects import read_object
from .exam_pairs import pair_objects
from .exam_patients import name_patients
from .isolation import Failure, work_apart
from .whole_files import beside

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Row", "deidentify_folder"]

logger = logging.getLogger(__name__)


class Row(NamedTuple):
    """One file below the folder: its relative path, "written", "refused", "skipped" or "failed", and why.

    The path is the only entry that may name a patient; reasons quote nothing of a file.
    """

    path: str
    state: str
    reason: str = ""


class _Work(NamedTuple):
    path: Path
    beside: Path
    patient: str = ""  # her pseudonym
    source: str = ""  # SOP Instance UID of the LE that only its time tells to be a DES's own


class _Done(NamedTuple):
    state: str
    reason: str = ""
    place: str = ""  # below the output, of a file that was written beside


def _deidentify(work: _Work, salt: str, rules: Rules) -> _Done:
    """Write one file beside its place; no exception leaves, because its text may quote the header."""
    if work.path.name.upper() == "DICOMDIR":
        return _Done("skipped", "it is a DICOMDIR, which lists names and places of files")
    try:
        if not has_dicom_mark(work.path):
            return _Done("skipped", "it is no DICOM file, and what is in it cannot be checked for names")
        ds = read_dataset(work.path)
        if reason := kept_back(ds):
            return _Done("refused", reason)
        if work.source:
            ds.SourceImageSequence = [*(ds.get("SourceImageSequence") or []), _reference(ds, work.source)]
        unsaid = not ds.get("BurnedInAnnotation") and ds.get("Modality") != "SEG"
        deidentify_dataset(ds, salt, rules, patient=work.patient)
        ds.save_as(work.beside)
    except Exception as error:
        work.beside.unlink(missing_ok=True)
        return _Done("failed", f"it could not be read or written as DICOM ({type(error).__name__}); export it again")
    return _Done(
        "written",
        "its header does not say whether its pixels name the patient: look at them" if unsaid else "",
        f"{ds.PatientID}/{ds.StudyInstanceUID}/{ds.SOPInstanceUID}.dcm",
    )


def _reference(ds: Dataset, sop_uid: str) -> Dataset:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, sop_uid
    return item


def _seen_together(
    paths: Sequence[Path], salt: str, rules: Rules, num_workers: int | None
) -> tuple[dict[Path, str], dict[Path, str]]:
    """What one file alone does not tell: the pseudonym of its woman, and DES -> SOP Instance UID of its LE, where times
    alone tell: they are removed, so a reference has to say it.
    """
    dicom = [path for path in paths if path.name.upper() != "DICOMDIR" and has_dicom_mark(path)]
    read = work_apart(partial(read_object, rules=rules), dicom, num_workers, description="Headers")
    objects, _ = name_patients([item for item in read if not isinstance(item, Failure)], salt)
    pairs, _ = pair_objects(objects)
    sources = {pair.des.path: pair.le.sop_uid for pair in pairs if pair.paired_by.startswith("time")}
    return {item.path: item.patient for item in objects}, sources


def _relative(path: str | os.PathLike, root: Path) -> str:
    return Path(path).relative_to(root).as_posix()


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    with beside(path) as place, place.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows([Row._fields, *rows])


def _own_images(output: Path) -> set[str]:
    """Relative paths of the images that runs have written, known by the names that they give."""
    own = re.compile(r"P[0-9a-f]{12}/2\.25\.\d+/2\.25\.\d+\.dcm")
    places = (_relative(path, output) for path in output.glob("P*/2.25.*/2.25.*.dcm"))
    return {place for place in places if own.fullmatch(place)}


def _tidy(output: Path, earlier: Collection[str], written: Collection[str], overwrite: bool) -> None:
    """Remove the images of an earlier run with the same salt that this one did not write, or say that some are there.

    A pseudonym that both runs gave tells that the salt is the same.
    """
    left = sorted(set(earlier) - set(written))
    pseudonyms, known = ({place.split("/")[0] for place in places} for places in (written, earlier))
    if left and overwrite and pseudonyms & known:
        for place in left:
            (output / place).unlink()
            for folder in (output / place).parents[:2]:
                if not any(folder.iterdir()):
                    folder.rmdir()
        logger.warning("%s: %d image(s) of the earlier run, not written by this one, were removed.", output, len(left))
    elif left:
        logger.warning(
            "%s holds %d image(s) of an earlier run too. If that had another salt, its women stand there under two "
            "pseudonyms: start again in an empty folder.",
            output,
            len(left),
        )


def deidentify_folder(
    root: str | os.PathLike,
    output: str | os.PathLike,
    salt: str | None = None,
    num_workers: int | None = None,
    overwrite: bool = False,
    vendors: str | os.PathLike | None = None,
) -> list[Row]:
    """Write every DICOM image below a folder as ``output/<pseudonym>/<new study UID>/<new SOP UID>.dcm``.

    What the images say is changed by :func:`bundle.dicom.deidentify.deidentify_dataset`; pixels and transfer syntax
    stay as they are. What may name a patient otherwise is not written: images with burned-in annotations, reports and
    documents, a DICOMDIR, files that are no DICOM. Times go; a DES that only its time leads to its LE gets a Source
    Image Sequence. The table ``<output>_deidentified.csv`` says of each file what became of it. It names the places of
    the originals, so it lies beside the folder that may leave the house, not in it.

    Args:
        root: the folder; files are known by their content, at any depth.
        output: the folder to write; it is not searched when it lies inside ``root``.
        salt: the secret of the pseudonyms. The same one gives the same pseudonyms and UIDs in a later run; None draws
            one that nobody knows, so that no later run can add to the same study.
        num_workers: processes; None for every core. The result does not depend on it.
        overwrite: replace what an earlier run with the same salt wrote. Its images that this run did not write again
            are removed, and nothing else: that salt was the same is known by a pseudonym that both runs gave.
        vendors: a vendor file, see :func:`bundle.dicom.energy.read_rules`.

    Returns:
        one row a file, in the order of the paths.

    Raises:
        FileNotFoundError: when there is no such folder.
        FileExistsError: when there is the table of an earlier run, and ``overwrite`` is false.
        ValueError: for an empty salt, for ``overwrite`` without a salt, or when both folders are one.
    """
    root, output = Path(root).resolve(), Path(output).resolve()
    table = output.with_name(f"{output.name}_deidentified.csv")
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}. Expected one with DICOM files at any depth.")
    if root == output:
        raise ValueError(f"{root} is both the folder to read and the one to write. Choose another --output.")
    if salt == "":
        raise ValueError("the salt is empty, expected a secret text. Leave --salt out for a random one.")
    if table.exists() and not overwrite:
        raise FileExistsError(
            f"{table} exists already. Choose another --output, or pass --overwrite and the same --salt."
        )
    if overwrite and salt is None:
        raise ValueError(
            "--overwrite came without --salt: a new random one would leave each woman of the earlier run under two "
            "pseudonyms. Pass the salt of that run, or choose another --output."
        )
    rules = read_rules(vendors)
    closed: list[OSError] = []
    paths = [path for path in walk(root, without=(output,), on_error=closed.append) if path != table]
    rows = [Row(_relative(error.filename, root), "failed", "the folder could not be opened") for error in closed]
    secret = salt or secrets.token_hex(32)
    patients, sources = _seen_together(paths, secret, rules, num_workers)
    output.mkdir(parents=True, exist_ok=True)
    earlier, written = _own_images(output), set[str]()
    with tempfile.TemporaryDirectory(prefix=".deidentify.", dir=output) as folder:
        items = [
            _Work(path, Path(folder) / f"{number}.dcm", patients.get(path, ""), sources.get(path, ""))
            for number, path in enumerate(paths)
        ]
        work = partial(_deidentify, salt=secret, rules=rules)
        for item, done in zip(items, work_apart(work, items, num_workers, description="De-identify"), strict=True):
            if isinstance(done, Failure):
                done = _Done("failed", done.reason)
            elif done.place in written:
                done = _Done("skipped", "another file of the same SOP Instance UID was written already")
            elif done.place:
                (output / done.place).parent.mkdir(parents=True, exist_ok=True)
                os.replace(item.beside, output / done.place)
                written.add(done.place)
            rows.append(Row(_relative(item.path, root), done.state, done.reason))
    rows.sort()
    _write_rows(table, rows)
    _tidy(output, earlier, written, overwrite)
    return rows
