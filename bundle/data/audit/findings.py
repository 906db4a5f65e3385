"""What an audit finds wrong with a study, held against limits."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ...keys import BatchKeys, CaseKeys
from .case import CaseRecord
from .header import energy_by_name

__all__ = ["LEVELS", "Finding", "Limits", "pair_findings"]

LEVELS = ("error", "warning", "information")
IMAGES = (BatchKeys.LE, BatchKeys.DES)
PREPARE = "python -m scripts.prepare"


@dataclass(frozen=True)
class Limits:
    """From where on a measure is a finding; the values leave 248 aligned pairs of CDD-CESM and the phantom alone.

    Attributes:
        shift: residual shift of DES, a share of the longer side. Largest on aligned real pairs 0.006, on the phantom 0.
        overlap: least Dice of the breast masks. Smallest on aligned real pairs 0.898, on the phantom 0.98.
        doubtful_overlap: below it the pair is worth a look; two aligned real pairs are, one of them of unequal zoom.
        clipped: share of the breast at an end of the window; the four real pairs beyond it are visibly saturated.
        wall: least share of the outer strips at the chest wall; smallest on real pairs 0.57.
        letters: length of a line of letters in the air; longest on real pairs 1.
        contrast: lesion contrast in DES below which a lesion does not enhance.
    """

    shift: float = 0.01
    overlap: float = 0.85
    doubtful_overlap: float = 0.92
    clipped: float = 0.1
    wall: float = 0.45
    letters: int = 3
    contrast: float = 0.3


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: ``level`` "error", "warning" or "information", in one line, with its remedy.

    ``where`` are (case, detail) pairs; a case is named by its label, which holds no identity.
    """

    level: str
    kind: str
    message: str
    remedy: str
    where: tuple[tuple[str, str], ...] = ()

    @property
    def case_ids(self) -> list[str]:
        return list(dict.fromkeys(label for label, _ in self.where))


Case = tuple[str, Mapping[str, Any], CaseRecord]  # label, entry of the datalist, measures


def pair_findings(cases: Sequence[Case], limits: Limits, image_size: int) -> Iterator[Finding]:
    """Findings of single pairs, one a kind. Nothing of a header but side, view and energy is repeated in them."""
    rules: list[tuple[str, str, str, str, Callable[[Case], Iterable[str]]]] = [
        (
            "error",
            "image",
            "image(s) cannot be used",
            "Export the files again, correct the paths in the datalist, or leave the pairs out.",
            _image_details,
        ),
        (
            "error",
            "alignment",
            f"pair(s): LE and DES are not aligned (a shift above {limits.shift:.1%} of the longer side, an overlap of "
            f"the breasts below {limits.overlap:g}, or unequal sizes)",
            f"Prepare the study with --align translate ({PREPARE} cdd_cesm ... --align translate).",
            lambda case: _alignment_details(case, limits),
        ),
        (
            "error",
            "lesion map",
            "lesion map(s) do not fit their image",
            "Draw or export the map again on the grid of DES, or set seg to null.",
            lambda case: [f"the map {case[2].map_problem}"] if case[2].map_problem else [],
        ),
        (
            "error",
            "swapped",
            "pair(s): LE and DES are swapped, as header or file name say",
            "Exchange le and des in the datalist.",
            _swapped_details,
        ),
        (
            "error",
            "side or view",
            "pair(s): the DICOM header contradicts the datalist",
            "Correct laterality or view in the datalist; check that the file belongs to this case.",
            _side_details,
        ),
        (
            "warning",
            "alignment",
            f"pair(s): the breasts of LE and DES overlap by less than {limits.doubtful_overlap:g} although not shifted",
            "Look at the edges in the pictures; a difference in size needs --align similarity.",
            lambda case: _overlap_details(case, limits),
        ),
        (
            "warning",
            "chest wall",
            "pair(s) have the chest wall on the wrong side for their side (L: left edge): mirrored, or mislabelled",
            "Look at the pictures; mirror the files back, or correct the laterality in the datalist.",
            lambda case: [f"labelled {case[1][CaseKeys.LATERALITY]}"] if case[2].wall < limits.wall else [],
        ),
        (
            "warning",
            "burned-in text",
            "image(s) may carry burned-in text",
            "Look at the pictures; export them without annotations, or cover the text.",
            lambda case: _text_details(case, limits),
        ),
        (
            "warning",
            "lesion size",
            f"pair(s) have lesions that vanish at {image_size} pixels: none is covered by half (training keeps one)",
            "Train at a larger image_size, or remove specks from the maps.",
            _vanished_details,
        ),
        (
            "warning",
            "clipped",
            f"image(s) have more than {limits.clipped:.0%} of the breast at one end of the grey scale",
            "Give a wider window in the datalist (le_window, des_window), or export with more bits.",
            lambda case: _clipped_details(case, limits),
        ),
        (
            "warning",
            "header",
            "file(s) with an unreadable DICOM header: identity, side and energy were not checked",
            "Export the files again.",
            lambda case: [f"{key}: {image.header.problem}" for key, image in _images(case) if image.header.problem],
        ),
        (
            "information",
            "no enhancement",
            f"pair(s) have a lesion that does not enhance in DES (contrast below {limits.contrast:g})",
            "Nothing to do: about a fifth of real lesions do not. Look whether the map lies right.",
            lambda case: [f"contrast {case[2].contrast:.2f}"] if case[2].contrast < limits.contrast else [],
        ),
        (
            "information",
            "no lesion map",
            "pair(s) have no lesion map",
            "Nothing to do: they train without the lesion terms.",
            lambda case: [""] if not case[1].get(BatchKeys.SEG) else [],
        ),
    ]
    for level, kind, message, remedy, details in rules:
        ordered = sorted(cases, key=_worst_aligned_first) if kind == "alignment" else cases
        where = tuple((case[0], detail) for case in ordered for detail in details(case))
        if where:
            yield Finding(level, kind, f"{len(where)} {message}", remedy, where)
    yield from _window_findings(cases)
    yield from _duplicates(cases)


def _worst_aligned_first(case: Case) -> float:
    return -case[2].shift_share if math.isfinite(case[2].shift_share) else math.inf


def _images(case: Case) -> Iterable[tuple[str, Any]]:
    return case[2].images.items()


def _image_details(case: Case) -> list[str]:
    details = [f"{key}: {image.problem}" for key, image in _images(case) if image.problem]
    return details or ([case[2].problem] if case[2].problem else [])


def _alignment_details(case: Case, limits: Limits) -> list[str]:
    _, _, record = case
    le, des = (record.images[key].shape if key in record.images else None for key in IMAGES)
    if le and des and le != des:
        return [f"LE is {le[0]} x {le[1]}, DES {des[0]} x {des[1]}"]
    if record.shift_share > limits.shift or record.overlap < limits.overlap:
        down, right = record.shift
        return [f"shift {down:+g} down, {right:+g} right ({record.shift_share:.1%}), overlap {record.overlap:.3f}"]
    return []


def _overlap_details(case: Case, limits: Limits) -> list[str]:
    doubtful = case[2].overlap < limits.doubtful_overlap and not _alignment_details(case, limits)
    return [f"overlap {case[2].overlap:.3f}"] if doubtful else []


def _swapped_details(case: Case) -> list[str]:
    _, entry, _ = case
    told = {key: image.header.energy for key, image in _images(case)}
    wrong = [f"{key}: its header says {told[key]}" for key in IMAGES if told.get(key) and told[key] != key.upper()]
    if wrong or all(told.get(key) for key in IMAGES):
        return [", ".join(wrong)] if wrong else []
    named = [energy_by_name(PurePath(str(entry[key])).name) for key in IMAGES]
    return ["the file of le is named as DES, that of des as LE"] if named == ["DES", "LE"] else []


def _side_details(case: Case) -> list[str]:
    _, entry, _ = case
    return [
        f"{key}: its header says {what} {told}, the datalist {entry[what]}"
        for key, image in _images(case)
        for what, told in ((CaseKeys.LATERALITY, image.header.laterality), (CaseKeys.VIEW, image.header.view))
        if told and told != entry[what]
    ]


def _text_details(case: Case, limits: Limits) -> list[str]:
    details = []
    for key, image in _images(case):
        if image.header.burned_in:
            details.append(f"{key}: Burned In Annotation is YES")
        elif image.letters >= limits.letters:
            details.append(f"{key}: {image.letters} bright marks in a line outside the breast")
    return details


def _vanished_details(case: Case) -> list[str]:
    lesions = case[2].lesions
    gone = [drawn for drawn, trained in lesions if not trained]
    if not gone:
        return []
    sizes = ", ".join(f"{drawn} to {trained}" for drawn, trained in sorted(lesions)[:6])
    more = ", ..." if len(lesions) > 6 else ""
    return [f"{len(gone)} of {len(lesions)} lesion(s) vanish; pixels drawn to trained: {sizes}{more}"]


def _clipped_details(case: Case, limits: Limits) -> list[str]:
    return [
        f"{key}: {share:.0%} at the {end} end"
        for key, image in _images(case)
        for end, share in zip(("dark", "bright"), image.clipped, strict=True)
        if share > limits.clipped
    ]


def _window_findings(cases: Sequence[Case]) -> Iterator[Finding]:
    for key in IMAGES:
        images = [(case[0], case[2].images[key]) for case in cases if key in case[2].images]
        lack = [label for label, image in images if image.shape and image.window is None]
        have = sum(image.window is not None for _, image in images)
        if lack and have:
            yield Finding(
                "warning",
                "window",
                f"{len(lack)} {key.upper()} image(s) have no window while {have} have one: they are stretched unlike",
                f"Give {key}_window in the datalist, or train with stretch method 'percentile'.",
                tuple((label, "no window") for label in lack),
            )


def _duplicates(cases: Sequence[Case]) -> Iterator[Finding]:
    holders: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for label, entry, record in cases:
        for key, image in record.images.items():
            if image.hash:
                holders[image.hash].append((entry[CaseKeys.PATIENT_ID], label, key))
    groups: dict[str, list[list[tuple[str, str, str]]]] = defaultdict(list)
    for same in holders.values():
        if len(same) > 1:
            patients = len({patient for patient, _, _ in same})
            pairs = len({label for _, label, _ in same})
            groups["two patients" if patients > 1 else "two pairs" if pairs > 1 else "both LE and DES"].append(same)
    for place, found in groups.items():
        where = tuple(
            (label, f"{key} is the image of {', '.join(f'{other} ({its})' for other, its in others)}")
            for same in found
            for _, label, key in same
            if (others := [(other, its) for _, other, its in same if (other, its) != (label, key)][:3])
        )
        yield Finding(
            "error",
            "duplicate",
            f"{len(found)} image(s) stand under {place}: the decoded pixels are the same",
            "Remove one of them from the datalist, or name the right file.",
            where,
        )
