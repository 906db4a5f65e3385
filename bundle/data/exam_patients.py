"""Which objects are of one woman: a patient in two folds would spoil every result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..dicom.identity import keyed
from .exam_objects import ExamObject

__all__ = ["name_patients"]


def name_patients(
    objects: Sequence[ExamObject], salt: str = "", keep_ids: bool = False
) -> tuple[list[ExamObject], list[str]]:
    """Give every object the key of its woman and that of its study.

    A woman is known by her Patient ID, whatever its case, blanks and leading zeros; an object without one by the ID of
    its study, else by the ID that her name and birth date have elsewhere, else by these two, else by the study.

    Args:
        objects: all objects of an archive.
        salt: secret of the keyed hash. Without one, whoever knows how the IDs are built can try them all.
        keep_ids: name women by their Patient ID instead.

    Returns:
        the objects, and lines on what a user should know of the identities; they name nobody.
    """
    of_study, of_name = _ids(objects, "study_uid"), _ids(objects, "raw_name")
    spelled = _spellings(objects)
    named = []
    for item in objects:
        known, source = _plain(item.raw_id), "patient ID"
        if not known and len(of_study[item.study_uid]) == 1:
            (known,), source = of_study[item.study_uid], "patient ID of its study"
        elif not known and len(of_name[item.raw_name]) == 1:
            (known,), source = of_name[item.raw_name], "patient ID of her name and birth date"
        elif not known:
            known, source = item.raw_name or item.study_uid, "name and birth date" if item.raw_name else "study"
        patient = f"P{keyed(known, salt)}" if known else ""
        if keep_ids and known in spelled:
            patient = spelled[known]
        study = f"S{keyed(item.study_uid, salt)}" if item.study_uid else ""
        named.append(replace(item, patient=patient, patient_source=source, study=study))
    return named, list(_remarks(named, of_study))


def _plain(patient_id: str) -> str:
    text = "".join(patient_id.split()).casefold()
    return text.lstrip("0") or text


def _ids(objects: Iterable[ExamObject], name: str) -> dict[str, set[str]]:
    """Patient IDs by study, or by name and birth date; nothing is known by an empty one."""
    found: dict[str, set[str]] = defaultdict(set)
    for item in objects:
        if item.raw_id and getattr(item, name):
            found[getattr(item, name)].add(_plain(item.raw_id))
    return found


def _spellings(objects: Iterable[ExamObject]) -> dict[str, str]:
    """Of the spellings of a Patient ID the first in the order of the alphabet."""
    spelled: dict[str, str] = {}
    for item in objects:
        if item.raw_id:
            known = _plain(item.raw_id)
            spelled[known] = min(spelled.get(known, item.raw_id), item.raw_id)
    return spelled


def _remarks(objects: Sequence[ExamObject], of_study: dict[str, set[str]]) -> Iterable[str]:
    borrowed = sum(item.patient_source.startswith("patient ID of") for item in objects)
    if borrowed:
        yield f"{borrowed} object(s) without Patient ID got that of their study, or of their name and birth date"
    by_study = {item.patient for item in objects if item.patient_source == "study"}
    if by_study:
        yield f"{len(by_study)} patient(s) are known by their study alone: two studies of one woman count as two women"
    several = sum(len(ids) > 1 for ids in of_study.values())
    if several:
        yield f"{several} study(ies) hold several Patient IDs: each ID counts as a woman"
    names: dict[str, set[str]] = defaultdict(set)
    for item in objects:
        if item.raw_id and item.raw_name:
            names[item.patient].add(item.raw_name.casefold())
    shared = sum(len(found) > 1 for found in names.values())
    if shared:
        yield f"{shared} Patient ID(s) stand with several names or birth dates: each ID counts as one woman"
