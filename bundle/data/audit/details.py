"""What is said of a single pair, measure by measure; an empty list where nothing is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from ...keys import BatchKeys, CaseKeys
from .case import CaseRecord
from .findings import IMAGES, Case, Limits

__all__ = [
    "clipped_details",
    "energy_by_path",
    "image_details",
    "images",
    "overlap_details",
    "placed",
    "shift_details",
    "side_details",
    "size_details",
    "swapped_details",
    "text_details",
    "unlike_details",
    "vanished_details",
    "worst_aligned_first",
]


def worst_aligned_first(case: Case) -> float:
    return -case[2].shift_share if math.isfinite(case[2].shift_share) else math.inf


def images(case: Case) -> Iterable[tuple[str, Any]]:
    return case[2].images.items()


def image_details(case: Case) -> list[str]:
    details = [f"{key}: {image.problem}" for key, image in images(case) if image.problem]
    return details or ([case[2].problem] if case[2].problem else [])


def size_details(case: Case) -> list[str]:
    le, des = (case[2].images[key].shape if key in case[2].images else None for key in IMAGES)
    return [f"LE is {le[0]} x {le[1]}, DES {des[0]} x {des[1]}"] if le and des and le != des else []


def shift_details(case: Case, limits: Limits) -> list[str]:
    """Of a pair that a shift would mend."""
    _, _, record = case
    shifted = record.shift_share > limits.shift and not record.overlap_aligned < limits.overlap
    return [placed(record)] if shifted and not size_details(case) else []


def unlike_details(case: Case, limits: Limits) -> list[str]:
    _, _, record = case
    if size_details(case) or shift_details(case, limits):
        return []
    unlike = record.overlap < limits.overlap or record.overlap_aligned < limits.overlap
    return [f"{placed(record)}, once shifted {record.overlap_aligned:.3f}"] if unlike else []


def placed(record: CaseRecord) -> str:
    down, right = record.shift
    return f"shift {down:+g} down, {right:+g} right ({record.shift_share:.1%}), overlap {record.overlap:.3f}"


def overlap_details(case: Case, limits: Limits) -> list[str]:
    wrong = size_details(case) or shift_details(case, limits) or unlike_details(case, limits)
    doubtful = case[2].overlap < limits.doubtful_overlap and not wrong
    return [f"overlap {case[2].overlap:.3f}"] if doubtful else []


def swapped_details(case: Case) -> list[str]:
    """By header, else by name; an image that is its own partner is no swap but a duplicate."""
    _, entry, _ = case
    if PurePath(str(entry[BatchKeys.LE])) == PurePath(str(entry[BatchKeys.DES])):
        return []
    said = {key: (image.header.energy, "header") for key, image in images(case) if image.header.energy}
    by_name = {key: (energy_by_path(str(entry[key])), "file name") for key in IMAGES}
    told = {key: said.get(key, by_name[key]) for key in IMAGES}
    wrong = {
        key: f"{key}: its {source} says {kind}" for key, (kind, source) in told.items() if kind not in ("", key.upper())
    }
    right = any(kind == key.upper() for key, (kind, _) in told.items())
    certain = [text for key, text in wrong.items() if key in said]
    return [", ".join(certain if right else wrong.values())] if certain or (wrong and not right) else []


def energy_by_path(
    path: str,
    le: str = r"LOW[\W_]*EN[A-Z]*|LOW|LE|DM",
    des: str = r"RECOMB[A-Z]*|SUBTR[A-Z]*|DES|CM",
) -> str:
    """ "LE" or "DES" by the words of a file name, else by the whole name of its folder; "" where neither or both.

    Args:
        path: of an image: ``P1_L_DM_CC.jpg``, ``P96_76_RMLO_LOW_ENERGY.nrrd``, ``subtracted/0001.png``.
        le, des: patterns of a word in capitals, as it stands between ``_``, ``-``, ``.`` and blanks.
    """
    file = PurePath(path)
    kinds = {"LE": le, "DES": des}
    by_name = [
        kind for kind, words in kinds.items() if re.search(rf"(?<![A-Z0-9])(?:{words})(?![A-Z0-9])", file.name.upper())
    ]
    by_folder = [kind for kind, words in kinds.items() if re.fullmatch(words, file.parent.name.upper())]
    found = by_name or by_folder
    return found[0] if len(found) == 1 else ""


def side_details(case: Case) -> list[str]:
    _, entry, _ = case
    return [
        f"{key}: its header says {what} {told}, the datalist {entry[what]}"
        for key, image in images(case)
        for what, told in ((CaseKeys.LATERALITY, image.header.laterality), (CaseKeys.VIEW, image.header.view))
        if told and told != entry[what]
    ]


def text_details(case: Case, limits: Limits) -> list[str]:
    details = []
    for key, image in images(case):
        if image.header.burned_in:
            details.append(f"{key}: Burned In Annotation is YES")
        elif image.letters >= limits.letters:
            details.append(f"{key}: {image.letters} bright marks in a line outside the breast")
    return details


def vanished_details(case: Case) -> list[str]:
    lesions = case[2].lesions
    gone = [drawn for drawn, trained in lesions if not trained]
    if not gone:
        return []
    sizes = ", ".join(f"{drawn} to {trained}" for drawn, trained in sorted(lesions)[:6])
    more = ", ..." if len(lesions) > 6 else ""
    return [f"{len(gone)} of {len(lesions)} lesion(s) vanish; pixels drawn to trained: {sizes}{more}"]


def clipped_details(case: Case, above: float, to: float) -> list[str]:
    return [
        f"{key}: {share:.0%} at the {end} end"
        for key, image in images(case)
        for end, share in zip(("dark", "bright"), image.clipped, strict=True)
        if above < share <= to
    ]
