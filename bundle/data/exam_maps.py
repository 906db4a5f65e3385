"""Lesion maps of an archive: which files they are, and of which case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from .dicom_seg import seg_references
from .exam_cases import told
from .exam_files import Skipped, walk
from .exam_objects import ExamObject
from .exam_pairs import ExamPair
from .map_files import is_map_file
from .map_matching import Match, Target, match_maps

__all__ = ["find_maps", "map_targets", "match_to_cases"]

MAP_SUFFIXES = (".seg.nrrd", ".nrrd", ".nii", ".nii.gz", ".png")


def find_maps(
    root: Path, masks: Path | None, output: Path, objects: Sequence[ExamObject], skipped: list[Skipped]
) -> list[Path]:
    """Files that may be lesion maps: those below ``masks``, and DICOM SEG objects wherever they lie."""
    found = [item.path for item in objects if item.modality == "SEG"]
    if masks is None:
        return found
    known = {item.path for item in objects}
    for path in walk(masks, [output]):
        if path in known:
            continue
        if path.name.lower().endswith(MAP_SUFFIXES) or (masks != root and is_map_file(path)):
            found.append(path)
        elif masks != root:
            reason = f"no lesion map: expected {', '.join(MAP_SUFFIXES)} or DICOM SEG"
            skipped.append(Skipped(path, reason, expected=path.name.startswith(".")))
    return found


def map_targets(
    pairs: Sequence[ExamPair], objects: Sequence[ExamObject], alone: Sequence[Skipped], root: Path
) -> Iterator[Target]:
    """The images that a map may be of; one without a pair takes its map with it, so that no other pair gets it."""

    def of(item: ExamObject, kind: str, case_id: str) -> Target:
        names = tuple(name for name in (item.raw_id, item.patient) if name)
        folder = item.path.relative_to(root).parent
        place = (item.path, folder, item.sop_uid, names, item.laterality, item.view)
        return Target(case_id, kind, *place, usable=bool(case_id))

    paired = set()
    for pair in pairs:
        yield of(pair.des, "DES", pair.case_id)
        yield of(pair.le, "LE", pair.case_id)
        paired |= {pair.des.path, pair.le.path}
    second = {entry.path for entry in alone if entry.expected}  # for instance an LE whose ORIGINAL is used
    for item in objects:
        if item.path not in paired and item.modality != "SEG" and item.decision.rule != "copy":
            yield of(item, "other" if item.path in second else item.decision.taken_for, "")


def match_to_cases(
    targets: Sequence[Target], maps: Sequence[Path], masks_root: Path, skipped: list[Skipped]
) -> dict[str, list[Match]]:
    """Maps by the case that they belong to."""
    references = {}
    for path in maps:
        if not path.name.lower().endswith(MAP_SUFFIXES):
            try:
                references[path] = seg_references(path)
            except Exception as error:
                skipped.append(Skipped(path, told(error, path)))
    readable = [path for path in maps if path in references or path.name.lower().endswith(MAP_SUFFIXES)]
    matches, unmatched = match_maps(readable, masks_root, targets, references)
    skipped += [Skipped(path, reason) for path, reason in unmatched]
    by_case: dict[str, list[Match]] = defaultdict(list)
    for match in matches:
        by_case[match.target.case_id].append(match)
    return by_case
