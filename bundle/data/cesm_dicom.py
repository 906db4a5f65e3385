"""From a hospital's DICOM media and folders to a datalist: LE and DES paired, maps placed, every file accounted for."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from ..dicom.energy import Decision, read_rules
from .datalist import read_datalist, write_datalist
from .exam_cases import ExamJob, Outcome, make_case
from .exam_files import Skipped, find_exam_files
from .exam_maps import find_maps, map_targets, match_to_cases
from .exam_objects import ExamObject, read_object
from .exam_pairs import pair_objects
from .exam_patients import name_patients
from .exam_tables import Summary, exams_table, relative, summarise
from .isolation import Failure, work_apart
from .overrides import apply_overrides, read_overrides
from .registration import METHODS
from .whole_files import write_table

__all__ = ["Summary", "write_cesm_dicom"]

LISTS = ("datalist.json", "exams.csv", "skipped.csv", "folds.json")


def _scan(paths: Sequence[Path], work: Callable[[Path], ExamObject], num_workers: int | None) -> list[ExamObject]:
    """All objects; a header that crashes or keeps its process is unreadable too."""
    found = work_apart(work, paths, num_workers, description="headers", unit="file")
    return [
        ExamObject(path, Decision("unreadable", reason=item.reason)) if isinstance(item, Failure) else item
        for path, item in zip(paths, found, strict=True)
    ]


def _once(objects: Sequence[ExamObject]) -> tuple[list[ExamObject], int]:
    """Each object once, and how many share their SOP Instance UID with a different one.

    Of copies under several paths that counts which the user named, else the largest file, because a shorter one may be
    cut. A UID of different objects is no UID: nothing is paired by it.
    """
    same: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(objects):
        if item.sop_uid and item.decision.taken_for not in ("unreadable", "other"):
            same[item.sop_uid].append(place)
    kept, shared = list(objects), 0
    for places in same.values():
        if len({(objects[place].study_uid, objects[place].raw_id, *_shape(objects[place])) for place in places}) > 1:
            shared += len(places)
            for place in places:
                kept[place] = replace(objects[place], sop_uid="")
            continue
        first = max(places, key=lambda place: (objects[place].decision.rule == "override", objects[place].size, -place))
        for place in places:
            if place != first:
                reason = f"it is the same object (SOP Instance UID) as no. {first + 1} of exams.csv"
                kept[place] = replace(objects[place], decision=Decision("other", "copy", reason))
    return kept, shared


def _shape(item: ExamObject) -> tuple[str, str, int, int]:
    return item.laterality, item.view, item.rows, item.columns


def _check(
    align: str, salt: str | None, max_gap: float, root: Path, output: Path, masks: Path | None, overwrite: bool
) -> None:
    """Everything about the arguments that can be said before a file is opened."""
    if align not in METHODS:
        raise ValueError(f"align is {align!r}, expected one of {METHODS}.")
    if salt is not None and salt in ("", "True", "None"):
        raise ValueError("the salt is empty, expected a secret text. Leave --salt out for keys without a secret.")
    if not isinstance(max_gap, int | float) or not max_gap >= 0:
        raise ValueError(f"max_gap is {max_gap!r}, expected seconds, 0 or more.")
    if masks is not None and not masks.is_dir():
        raise FileNotFoundError(f"There is no folder {masks}. Expected the lesion maps.")
    if output in (root, masks):
        raise ValueError(f"{output} is the folder to write and one to read. Choose another --output.")
    present = [name for name in LISTS if (output / name).exists()]
    if present and not overwrite:
        raise FileExistsError(f"{output} holds {present[0]} already. Choose another --output, or pass --overwrite.")


def _remove_former(output: Path) -> None:
    """Take away the lists of an earlier run, and those images of it that it wrote itself."""
    with contextlib.suppress(OSError, ValueError):
        for case in read_datalist(output / "datalist.json")["cases"]:
            for key in ("des", "seg", "seg_le"):
                path = (output / (case.get(key) or "")).resolve()
                if path.parent == output / "images" and path.name.startswith(f"{case['case_id']}_"):
                    path.unlink(missing_ok=True)
    for name in LISTS:
        (output / name).unlink(missing_ok=True)


def write_cesm_dicom(
    root: str | os.PathLike,
    output: str | os.PathLike,
    masks: str | os.PathLike | None = None,
    overrides: str | os.PathLike | None = None,
    vendors: str | os.PathLike | None = None,
    align: str = "none",
    keep_ids: bool = False,
    salt: str | None = None,
    name: str = "CESM exams",
    licence: str = "internal",
    num_workers: int | None = None,
    overwrite: bool = False,
    max_gap: float = 600.0,
    min_overlap: float = 0.85,
    time_limit: float = 120.0,
) -> Summary:
    """Write ``datalist.json``, ``exams.csv`` (a row an object) and ``skipped.csv`` (path, reason) of DICOM exams.

    Every file below ``root`` and ``masks`` stands either in a case or in ``skipped.csv``. ``le`` and ``des`` point to
    the original files; a DES that had to be moved, and every lesion map, goes to ``output/images`` without loss.
    Patients are named by a keyed hash of their ID, and no name, ID or date of a header is written.

    Args:
        root: DICOMDIR media and folders of files, at any depth, with or without suffix.
        output: the folder to write; it is not searched when it lies inside ``root``.
        masks: folder of lesion maps, see :mod:`bundle.data.map_matching`; may be ``root`` itself. DICOM SEG objects are
            taken wherever they lie.
        overrides: CSV of :func:`bundle.data.overrides.read_overrides`.
        vendors: a vendor file of one's own, see ``bundle/dicom/vendors.json``.
        align: "none", "translate" or "similarity"; see :func:`bundle.data.registration.register`.
        keep_ids: name patients by their Patient ID.
        salt: secret that goes into the keys of patients and studies; the same one gives the same keys. None for none:
            then whoever knows how the IDs are built can try them all.
        name, licence: of the datalist.
        num_workers: processes; None for every core. The result does not depend on it.
        overwrite: replace the lists that are already there.
        max_gap: seconds between LE and DES above which they are no pair.
        min_overlap: Dice of the breast masks below which an aligned pair is marked ``low_overlap``.
        time_limit: seconds for one file, after which it is given up.

    Raises:
        FileExistsError: when one of the lists is there already and ``overwrite`` is false.
        FileNotFoundError: when there is no such folder or file.
        ValueError: for an unknown option, or with everything that is wrong with ``overrides`` or ``vendors``.
    """
    root, output, given = Path(root).resolve(), Path(output).resolve(), Path(output)
    if root.is_file() and root.name.upper() == "DICOMDIR":
        root = root.parent
    masks = Path(masks).resolve() if masks is not None else None
    _check(align, salt, max_gap, root, output, masks, overwrite)
    rules, said = read_rules(vendors), read_overrides(overrides)
    files = find_exam_files(root, without=[folder for folder in (output, masks) if folder not in (None, root)])
    objects, remarks = name_patients(
        _scan(files.dicom, partial(read_object, rules=rules), num_workers), salt or "", keep_ids
    )
    objects, partners = apply_overrides(objects, said, root)
    objects, shared = _once(objects)
    if shared:
        remarks.append(f"{shared} objects share their SOP Instance UID with a different one: nothing is paired by it")
    pairs, alone = pair_objects(objects, partners, max_gap)

    skipped = files.skipped
    maps = find_maps(root, masks, output, objects, skipped)
    is_map = set(maps)
    skipped = [entry for entry in skipped if entry.path not in is_map]
    by_case = match_to_cases(list(map_targets(pairs, objects, alone, root)), maps, masks or root, skipped)
    jobs = [ExamJob(pair, tuple((match.path, match.target.kind) for match in by_case[pair.case_id])) for pair in pairs]
    if overwrite:
        _remove_former(output)
    work = partial(make_case, images=output / "images", align=align, min_overlap=min_overlap)
    made = work_apart(work, jobs, num_workers, time_limit, description="pairs", unit="pair")
    outcomes: list[Outcome] = []
    for job, outcome in zip(jobs, made, strict=True):
        if isinstance(outcome, Failure):
            both = (job.pair.le.path, job.pair.des.path)
            outcome = Outcome(skipped=[Skipped(path, f"the pair cannot be read: {outcome.reason}") for path in both])
        if outcome.case is None:
            outcome.skipped += [Skipped(path, "the pair of its image cannot be used") for path, _ in job.maps]
        outcomes.append(outcome)
        skipped += outcome.skipped

    used = {path for outcome in outcomes for path in outcome.maps}
    skipped += _left(objects, alone, used, {entry.path for entry in skipped})
    table = exams_table(objects, pairs, outcomes, root)
    write_table(table, output / "exams.csv")
    skipped = sorted(skipped, key=lambda entry: (str(entry.path), entry.reason))
    rows = [(relative(entry.path, root), entry.reason) for entry in skipped]
    write_table(pd.DataFrame(rows, columns=["path", "reason"]), output / "skipped.csv")
    cases = [outcome.case for outcome in outcomes if outcome.case is not None]
    datalist = None
    if cases:
        datalist = write_datalist(
            given / "datalist.json",
            name=name,
            source=f"DICOM exams, {files.media} DICOMDIR" if files.media else "DICOM exams",
            licence=licence,
            cases=cases,
            overwrite=overwrite,
            align=align,
        )
    return summarise(datalist, cases, objects, pairs, outcomes, skipped, remarks, files.media, given)


def _left(objects: Sequence[ExamObject], alone: Sequence[Skipped], used: set[Path], known: set[Path]) -> list[Skipped]:
    """Objects that are in no pair and of which nothing has been said yet."""
    told = known | used
    left = [entry for entry in alone if entry.path not in told]
    for item in objects:
        if item.path not in told and item.decision.taken_for not in ("LE", "DES"):
            settled = item.decision.taken_for in ("HE", "other")
            left.append(Skipped(item.path, item.decision.reason, expected=settled))
    return left
