"""From a hospital's DICOM media and folders to a datalist: LE and DES paired, maps placed, every file accounted for."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from ..dicom.energy import Decision, read_rules
from .datalist import write_datalist
from .dicom_seg import seg_references
from .exam_cases import ExamJob, Outcome, make_case, told
from .exam_files import Skipped, find_exam_files, walk
from .exam_objects import ExamObject, read_object
from .exam_pairs import ExamPair, pair_objects
from .exam_tables import Summary, exams_table, relative, summarise
from .isolation import Failure, work_apart
from .map_files import is_map_file
from .map_matching import Match, Target, match_maps
from .overrides import apply_overrides, read_overrides
from .registration import METHODS
from .whole_files import write_table

__all__ = ["Summary", "write_cesm_dicom"]

MAP_SUFFIXES = (".seg.nrrd", ".nrrd", ".nii", ".nii.gz", ".png")


def _scan(paths: Sequence[Path], work: Callable[[Path], ExamObject], num_workers: int | None) -> list[ExamObject]:
    """All objects; a header that crashes or keeps its process is unreadable too."""
    found = work_apart(work, paths, num_workers, description="headers", unit="file")
    return [
        ExamObject(path, Decision("unreadable", reason=item.reason)) if isinstance(item, Failure) else item
        for path, item in zip(paths, found, strict=True)
    ]


def _once(objects: Sequence[ExamObject]) -> list[ExamObject]:
    """Each object once: of copies under several paths the largest file counts, because a shorter one may be cut."""
    copies: dict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(objects):
        if item.sop_uid and item.decision.taken_for not in ("unreadable", "other"):
            copies[item.sop_uid].append(place)
    kept = list(objects)
    for places in copies.values():
        first = max(places, key=lambda place: (objects[place].size, -place))
        for place in places:
            if place != first:
                reason = f"it is the same object (SOP Instance UID) as no. {first + 1} of exams.csv"
                kept[place] = replace(objects[place], decision=Decision("other", "copy", reason))
    return kept


def _find_maps(
    root: Path, masks: Path | None, output: Path, objects: Sequence[ExamObject], skipped: list[Skipped]
) -> list[Path]:
    """Files that may be lesion maps: those below ``masks``, and DICOM SEG objects wherever they lie."""
    found = [item.path for item in objects if item.modality == "SEG"]
    if masks is None:
        return found
    known = set(found)
    for path in walk(masks, [output]):
        if path in known:
            continue
        if path.name.lower().endswith(MAP_SUFFIXES) or (masks != root and is_map_file(path)):
            found.append(path)
        elif masks != root:
            reason = f"no lesion map: expected {', '.join(MAP_SUFFIXES)} or DICOM SEG"
            skipped.append(Skipped(path, reason, expected=path.name.startswith(".")))
    return found


def _targets(pair: ExamPair, root: Path) -> list[Target]:
    def of(item: ExamObject, kind: Literal["DES", "LE"]) -> Target:
        names = tuple(name for name in (item.raw_id, item.patient) if name)
        folder = item.path.relative_to(root).parent
        return Target(pair.case_id, kind, item.path, folder, item.sop_uid, names, item.laterality, item.view)

    return [of(pair.des, "DES"), of(pair.le, "LE")]


def _match(
    pairs: Sequence[ExamPair], maps: Sequence[Path], root: Path, masks: Path | None, skipped: list[Skipped]
) -> dict[str, list[Match]]:
    """Maps by the case that they belong to."""
    targets = [target for pair in pairs for target in _targets(pair, root)]
    references = {}
    for path in maps:
        if not path.name.lower().endswith(MAP_SUFFIXES):
            try:
                references[path] = seg_references(path)
            except Exception as error:
                skipped.append(Skipped(path, told(error, path)))
    readable = [path for path in maps if path in references or path.name.lower().endswith(MAP_SUFFIXES)]
    matches, unmatched = match_maps(readable, masks or root, targets, references)
    skipped += [Skipped(path, reason) for path, reason in unmatched]
    by_case: dict[str, list[Match]] = defaultdict(list)
    for match in matches:
        by_case[match.target.case_id].append(match)
    return by_case


def write_cesm_dicom(
    root: str | os.PathLike,
    output: str | os.PathLike,
    masks: str | os.PathLike | None = None,
    overrides: str | os.PathLike | None = None,
    vendors: str | os.PathLike | None = None,
    align: str = "none",
    keep_ids: bool = False,
    salt: str = "",
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
        salt: secret that goes into the patients' keys; the same one gives the same keys.
        name, licence: of the datalist.
        num_workers: processes; None for every core. The result does not depend on it.
        overwrite: replace the lists that are already there.
        max_gap: seconds between LE and DES above which they are no pair.
        min_overlap: Dice of the breast masks below which an aligned pair is marked ``low_overlap``.
        time_limit: seconds for one file, after which it is given up.

    Raises:
        FileExistsError: when there is a datalist and ``overwrite`` is false.
        FileNotFoundError: when there is no such folder or file.
        ValueError: for an unknown option, or with everything that is wrong with ``overrides`` or ``vendors``.
    """
    if align not in METHODS:
        raise ValueError(f"align is {align!r}, expected one of {METHODS}.")
    root, output, given = Path(root).resolve(), Path(output).resolve(), Path(output)
    if root.is_file() and root.name.upper() == "DICOMDIR":
        root = root.parent
    masks = Path(masks).resolve() if masks is not None else None
    if masks is not None and not masks.is_dir():
        raise FileNotFoundError(f"There is no folder {masks}. Expected the lesion maps.")
    if (output / "datalist.json").exists() and not overwrite:
        raise FileExistsError(f"{output} holds a datalist already. Choose another --output, or pass --overwrite.")
    rules, said = read_rules(vendors), read_overrides(overrides)
    files = find_exam_files(root, without=[folder for folder in (output, masks) if folder not in (None, root)])
    objects = _scan(files.dicom, partial(read_object, rules=rules, salt=salt, keep_ids=keep_ids), num_workers)
    objects, partners = apply_overrides(_once(objects), said, root)
    pairs, alone = pair_objects(objects, partners, max_gap)

    skipped = files.skipped
    maps = _find_maps(root, masks, output, objects, skipped)
    is_map = set(maps)
    skipped = [entry for entry in skipped if entry.path not in is_map]
    by_case = _match(pairs, maps, root, masks, skipped)
    jobs = [ExamJob(pair, tuple((match.path, match.target.kind) for match in by_case[pair.case_id])) for pair in pairs]
    work = partial(make_case, images=output / "images", align=align, min_overlap=min_overlap)
    outcomes: list[Outcome] = []
    for job, outcome in zip(
        jobs, work_apart(work, jobs, num_workers, time_limit, description="pairs", unit="pair"), strict=True
    ):
        if isinstance(outcome, Failure):
            both = (job.pair.le.path, job.pair.des.path)
            outcome = Outcome(skipped=[Skipped(path, f"the pair cannot be read: {outcome.reason}") for path in both])
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
    return summarise(datalist, cases, objects, pairs, outcomes, skipped, files.media, given)


def _left(objects: Sequence[ExamObject], alone: Sequence[Skipped], used: set[Path], known: set[Path]) -> list[Skipped]:
    """Objects that are in no pair and of which nothing has been said yet."""
    told = known | used
    left = [entry for entry in alone if entry.path not in told]
    for item in objects:
        if item.path not in told and item.decision.taken_for not in ("LE", "DES"):
            settled = item.decision.taken_for in ("HE", "other")
            left.append(Skipped(item.path, item.decision.reason, expected=settled))
    return left
