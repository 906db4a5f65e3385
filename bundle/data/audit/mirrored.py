"""Lesion maps whose mirror image fits DES better."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from .findings import Case, Finding, Limits

__all__ = ["mirrored_maps"]


def mirrored_maps(cases: Sequence[Case], limits: Limits) -> Iterator[Finding]:
    """All maps of a study mirrored (error), or single ones that may be (information): no flip leaves the breast."""
    gains: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
    for label, _, record in cases:
        for way, contrast in record.mirrored.items() if not record.map_problem else ():
            gains[way].append((label, record.contrast, contrast))
    better = {way: [one for one in maps if one[2] > one[1]] for way, maps in gains.items()}
    shares = {way: len(better[way]) / len(maps) for way, maps in gains.items() if len(maps) >= limits.fewest_maps}
    worst = max(shares, key=lambda way: shares[way], default="")  # one mirroring may make the other look better too
    if worst and shares[worst] > limits.mirrored and sum(one[2] - one[1] for one in gains[worst]) > 0:
        yield Finding(
            "error",
            "mirrored map",
            f"the maps seem mirrored ({worst}): {len(better[worst])} of {len(gains[worst])} have more contrast in DES "
            "once flipped back",
            "Look at the pictures; flip the maps, or export them again on the grid of DES.",
            tuple((label, f"contrast {as_is:.2f}, flipped {flipped:.2f}") for label, as_is, flipped in better[worst]),
        )
        return
    single = [
        (label, f"contrast {as_is:.2f}, flipped {way} {flipped:.2f}")
        for way, maps in gains.items()
        for label, as_is, flipped in maps
        if flipped - as_is > limits.gain
    ]
    if single:
        yield Finding(
            "information",
            "mirrored map",
            f"{len({label for label, _ in single})} pair(s) have a map with far more contrast in DES once flipped",
            "Look at the pictures whether the map lies right.",
            tuple(single),
        )
