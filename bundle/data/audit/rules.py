"""What an audit finds wrong with the pairs of a study, held against limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from ...keys import BatchKeys, CaseKeys
from .details import (
    clipped_details,
    image_details,
    images,
    overlap_details,
    shift_details,
    side_details,
    size_details,
    swapped_details,
    text_details,
    unlike_details,
    vanished_details,
    worst_aligned_first,
)
from .duplicates import duplicates, near_duplicates
from .findings import IMAGES, PREPARE, Case, Finding, Limits
from .mirrored import mirrored_maps

__all__ = ["pair_findings"]


def pair_findings(cases: Sequence[Case], limits: Limits, image_size: int) -> Iterator[Finding]:
    """Findings of single pairs, one a kind. Nothing of a header but side, view and energy is repeated in them."""
    rules: list[tuple[str, str, str, str, Callable[[Case], Iterable[str]]]] = [
        (
            "error",
            "image",
            "pair(s) with an image that cannot be used",
            "Export the files again, correct the paths in the datalist, or leave the pairs out.",
            image_details,
        ),
        (
            "error",
            "clipped",
            f"pair(s) have an image with more than {limits.flat:.0%} of the breast at one end of the grey scale: "
            "training would see a silhouette",
            "Correct the window in the datalist (le_window, des_window), or export with more bits.",
            lambda case: clipped_details(case, limits.flat, math.inf),
        ),
        (
            "error",
            "alignment",
            "pair(s): LE and DES are of unequal sizes",
            "Export both at one size.",
            size_details,
        ),
        (
            "error",
            "alignment",
            f"pair(s): LE and DES are not aligned (a shift above {limits.shift:.1%} of the longer side)",
            f"Prepare the study again with --align translate ({PREPARE} cesm_dicom|cdd_cesm ... --align translate).",
            lambda case: shift_details(case, limits),
        ),
        (
            "error",
            "alignment",
            f"pair(s): the breasts of LE and DES overlap by less than {limits.overlap:g}, which no shift mends",
            "Look at the pictures: one is cut, inverted or of another breast.",
            lambda case: unlike_details(case, limits),
        ),
        (
            "error",
            "lesion map",
            "pair(s) with a lesion map that does not fit its image",
            "Draw or export the map again on the grid of DES, or set seg to null.",
            lambda case: [f"the map {case[2].map_problem}"] if case[2].map_problem else [],
        ),
        (
            "error",
            "swapped",
            "pair(s): LE and DES are swapped, as header or file name say",
            "Exchange le and des in the datalist.",
            swapped_details,
        ),
        (
            "error",
            "side or view",
            "pair(s): the DICOM header contradicts the datalist",
            "Correct laterality or view in the datalist; check that the file belongs to this case.",
            side_details,
        ),
        (
            "warning",
            "alignment",
            f"pair(s): the breasts of LE and DES overlap by less than {limits.doubtful_overlap:g} although not shifted",
            "Look at the edges in the pictures; a difference in size needs --align similarity.",
            lambda case: overlap_details(case, limits),
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
            "pair(s) may carry burned-in text",
            "Look at the pictures; export them without annotations, or cover the text.",
            lambda case: text_details(case, limits),
        ),
        (
            "warning",
            "lesion map",
            "pair(s) have a map of more than two values; every value above 0 is taken for lesion",
            "Nothing to do if they number the lesions; else export the map as 0 and 1.",
            lambda case: [f"{case[2].map_values} values"] if case[2].map_values > 2 else [],
        ),
        (
            "warning",
            "lesion size",
            f"pair(s) have lesions that vanish at {image_size} pixels: none is covered by half (training keeps one)",
            "Train at a larger image_size, or remove specks from the maps.",
            vanished_details,
        ),
        (
            "warning",
            "clipped",
            f"pair(s) have an image with more than {limits.clipped:.0%} of the breast at one end of the grey scale",
            "Give a wider window in the datalist (le_window, des_window), or export with more bits.",
            lambda case: clipped_details(case, limits.clipped, limits.flat),
        ),
        (
            "warning",
            "header",
            "pair(s) with an unreadable DICOM header: identity, side and energy were not checked",
            "Export the files again.",
            lambda case: [f"{key}: {image.header.problem}" for key, image in images(case) if image.header.problem],
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
        ordered = sorted(cases, key=worst_aligned_first) if kind == "alignment" else cases
        told = [(case[0], list(details(case))) for case in ordered]
        where = tuple((label, detail) for label, of_case in told for detail in of_case)
        if where:
            yield Finding(level, kind, f"{sum(bool(of_case) for _, of_case in told)} {message}", remedy, where)
    yield from mirrored_maps(cases, limits)
    yield from _window_findings(cases)
    yield from duplicates(cases)
    yield from near_duplicates(cases, limits)


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
