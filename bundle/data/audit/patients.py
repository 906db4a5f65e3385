"""Findings about who is who: one woman under two names, folds that do not fit, identity in texts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...dicom.identity import holds_date
from ...keys import CaseKeys
from .findings import Case, Finding
from .identity import StudyIdentity

__all__ = ["patient_findings", "study_identity", "text_findings"]


def study_identity(entries: Sequence[Mapping[str, Any]], records: Sequence[Any]) -> StudyIdentity:
    """The identifying words of a study, gathered by the Patient ID of the headers, not by that of the datalist."""
    words: dict[str, dict[str, str]] = defaultdict(dict)
    for entry, record in zip(entries, records, strict=True):
        for image in record.images.values():
            words[image.header.patient or entry[CaseKeys.PATIENT_ID]].update(image.header.words)
    return StudyIdentity(words.values())


def patient_findings(cases: Sequence[Case], folds: Mapping[str, int] | None = None) -> Iterator[Finding]:
    """One woman under several patient_ids: by spelling, by Patient ID of the header, by images that are the same.

    Args:
        cases: of the study.
        folds: patient_id -> fold, where there are folds.
    """
    spelt: dict[str, set[str]] = defaultdict(set)
    keyed: dict[str, set[str]] = defaultdict(set)
    same: dict[str, set[str]] = defaultdict(set)
    for _, entry, record in cases:
        patient = entry[CaseKeys.PATIENT_ID]
        spelt[_spelling(patient)].add(patient)
        for image in record.images.values():
            if image.header.patient:
                keyed[image.header.patient].add(patient)
            if image.hash:
                same[image.hash].add(patient)
    sources = (
        (spelt, "patient_ids differ by case, blanks or leading zeros alone"),
        (keyed, "patient_ids have one and the same Patient ID in the DICOM header"),
        (same, "patient_ids share an image"),
    )
    for groups, what in sources:
        several = {frozenset(patients) for patients in groups.values() if len(patients) > 1}
        if not several:
            continue
        women = set().union(*several)
        apart = sum(len({folds[patient] for patient in patients}) > 1 for patients in several) if folds else 0
        where = tuple(
            (label, f"fold {folds[entry[CaseKeys.PATIENT_ID]]}" if folds else "")
            for label, entry, _ in cases
            if entry[CaseKeys.PATIENT_ID] in women
        )
        leak = f"; {apart} of {len(several)} stand in more than one fold, so that test images leak into training"
        yield Finding(
            "error",
            "patient",
            f"{len(several)} woman or women under several names: {what}{leak if apart else ''}",
            "Give each woman one patient_id in the datalist, then remake the folds: python -m scripts.folds DATALIST "
            "--overwrite",
            where,
        )


def _spelling(patient: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"\s+", "", patient.casefold()))


def text_findings(
    datalist: Mapping[str, Any], cases: Sequence[Case], identity: StudyIdentity, in_texts: Sequence[str]
) -> Iterator[Finding]:
    """Identity in free text of a header (error), or in the texts of the datalist, its paths among them (warning).

    In a header all words of the woman herself count, but for the name of a hospital or device that is that of many
    women; and long names and IDs of the other women, but for any text that is that of many. Another date is a warning.

    Args:
        datalist: whole.
        cases: of the study.
        identity: its words.
        in_texts: kinds that count in the texts of the datalist; dates and examination numbers are found everywhere.
    """
    described, dated, listed = [], [], []
    constant = _constant_texts(cases)
    for label, entry, record in cases:
        own = {word for image in record.images.values() for word in image.header.words}
        for key, image in record.images.items():
            for place, text in image.header.descriptions.items():
                if kinds := _identity_told(place, text, own, identity, (place, text) in constant):
                    described.append((label, f"{key}: {', '.join(kinds)} in {place}"))
                elif holds_date(text) and not _is_code(place) and (place, text) not in constant:
                    dated.append((label, f"{key}: a date in {place}"))
        if found := _identity_in(entry, identity, in_texts):
            listed.append((label, found))
    if found := _identity_in({key: value for key, value in datalist.items() if key != "cases"}, identity, in_texts):
        listed.append(("datalist", found))
    if described:
        yield Finding(
            "error",
            "identity",
            f"PHI in a description: {len(described)} free-text header(s) hold a patient's name, a number or a date",
            "python -m scripts.prepare deidentify",
            tuple(described),
        )
    if dated:
        yield Finding(
            "warning",
            "identity",
            f"a date in a description: {len(dated)} free-text header(s) hold a day that may be of a patient",
            "python -m scripts.prepare deidentify",
            tuple(dated),
        )
    if listed:
        yield Finding(
            "warning",
            "identity",
            f"{len(listed)} entries of the datalist (paths, case_id, patient_id ...) hold a patient's name or ID",
            "Rename the files and remake the datalist: python -m scripts.prepare deidentify",
            tuple(listed),
        )


def _identity_told(place: str, text: str, own: set[str], identity: StudyIdentity, constant: bool) -> list[str]:
    """Kinds of the woman's own words in a text of her header, else of those of other women."""
    if constant and re.match(r"Institution|Manufacturer|Station|Device|Software|Code", place):
        return []
    kinds = [kind for kind in identity.kinds(text, own) if kind in ("name", "patient ID") or not _is_code(place)]
    others = [] if kinds or constant else identity.kinds_of_others(text, own)
    return kinds or [f"another woman's {kind}" for kind in others]


def _is_code(place: str) -> bool:
    """Numbers of procedures and devices, versions, codes: they may look dated, or repeat an examination's number."""
    return re.search(r"(IDs?|Numbers?|Versions?|CodeValue)$", place) is not None


def _constant_texts(cases: Sequence[Case], many: int = 5) -> set[tuple[str, str]]:
    """(place, text) that stand in the headers of many women: of a device, a hospital, a protocol."""
    holders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for _, entry, record in cases:
        for image in record.images.values():
            for told in image.header.descriptions.items():
                holders[told].add(image.header.patient or entry[CaseKeys.PATIENT_ID])
    return {told for told, women in holders.items() if len(women) >= many}


def _identity_in(entry: Mapping[str, Any], identity: StudyIdentity, in_texts: Sequence[str]) -> str:
    """ "name in le, des; patient ID in case_id", or nothing."""
    places: dict[str, dict[str, None]] = defaultdict(dict)
    for name, text in _texts(entry):
        for kind in identity.kinds(text):
            if kind in in_texts:
                places[kind][name] = None
    return "; ".join(f"{kind} in {', '.join(names)}" for kind, names in places.items())


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """All texts below a value of JSON, each with the key that it stands under."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, name or str(key))
    elif isinstance(value, Iterable):
        for inner in value:
            yield from _texts(inner, name)
