"""The same image twice, to the pixel or in another form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ...keys import CaseKeys
from . import pixels
from .findings import IMAGES, Case, Finding, Limits

__all__ = ["duplicates", "near_duplicates"]


def duplicates(cases: Sequence[Case]) -> Iterator[Finding]:
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


def near_duplicates(cases: Sequence[Case], limits: Limits) -> Iterator[Finding]:
    """The same picture in another format, size or padding, mirrored or not; LE is held against LE, DES against DES."""
    warned: list[tuple[str, str]] = []
    certain: list[tuple[str, str]] = []
    for key in IMAGES:
        images = [(label, entry, record.images[key]) for label, entry, record in cases if key in record.images]
        images = [one for one in images if max(one[2].clipped) <= limits.flat]  # silhouettes look alike
        seen = [(label, entry, image.hash, image.look) for label, entry, image in images if image.look is not None]
        looks = [look for *_, look in seen]
        found: dict[tuple[int, int], tuple[float, str]] = {}
        for how, others in (("", looks), ("mirrored ", [look[:, ::-1] for look in looks])):
            for i, j, correlation in pixels.same_looks(looks, others, limits.alike):
                if i < j and correlation > found.get((i, j), (0.0, ""))[0]:
                    found[i, j] = correlation, how
        for (i, j), (correlation, how) in sorted(found.items()):
            (label, entry, exact, _), (other, its, another, _) = seen[i], seen[j]
            if exact != another:
                of_two = entry[CaseKeys.PATIENT_ID] != its[CaseKeys.PATIENT_ID]
                told = certain if of_two and correlation > limits.same else warned
                told.append((label, f"{key} is nearly the {how}image of {other} (correlation {correlation:.4f})"))
    for level, where, place in (("error", certain, "two patients"), ("warning", warned, "two pairs")):
        if where:
            yield Finding(
                level,
                "duplicate",
                f"{len(where)} image(s) stand under {place}: nearly the same image, as of another format or size",
                "Look at the pictures; remove one of them from the datalist, or name the right file.",
                tuple(where),
            )
