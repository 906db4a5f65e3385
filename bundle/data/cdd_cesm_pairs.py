"""Pairs of a CDD-CESM folder: LE and DES of one exposure with their lesion maps and labels, and what found no place."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from ..keys import CaseKeys
from .cdd_cesm_files import Folder, ImageName, PairKey
from .cdd_cesm_labels import pair_labels
from .lesion_maps import Region, excess

__all__ = ["Pair", "drop_misfits", "make_pairs", "skip"]


@dataclass(frozen=True)
class Pair:
    """All that one process needs to know of one pair."""

    key: PairKey
    le: Path
    des: Path
    masks: Mapping[str, Path]  # "DM", "CM" -> a map that lies on disk
    regions: Mapping[str, list[Region]]  # "DM", "CM" -> regions to be drawn, where there is no map on disk
    labels: Mapping[str, Any]


def skip(path: Path | str, reason: str) -> dict[str, str]:
    """An entry of the datalist's ``skipped``."""
    return {"path": str(path), "reason": reason}


def _shape(path: Path) -> tuple[int, int]:
    """Rows and columns of an image, from its header; endless for one that cannot be opened: reading it reports that."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except OSError:
        return sys.maxsize, sys.maxsize


def make_pairs(
    folder: Folder,
    regions: Mapping[ImageName, list[Region]],
    workbook: Mapping[ImageName, Mapping[str, Any]],
    lesions: str,
) -> tuple[list[Pair], list[dict[str, str]]]:
    """Complete pairs with their maps and labels, and everything that found no place, with the reason.

    A map on disk goes before regions; with ``lesions="malignant"`` pairs that are not malignant keep neither.
    """
    skipped = [skip(path, "its name is not P<n>_<L|R>_<DM|CM>_<CC|MLO>") for path in folder.unknown]
    pairs = []
    for key in folder.keys:
        names = {kind: ImageName(kind, key) for kind in ("DM", "CM")}
        paths = {kind: folder.images.get(name) for kind, name in names.items()}
        le, des = paths["DM"], paths["CM"]
        if le is None or des is None:
            alone, missing = (des, "LE (DM)") if le is None else (le, "DES (CM)")
            skipped.append(skip(str(alone), f"no {missing} image of {key.case_id} was found"))
            continue
        labels = pair_labels(key, workbook)
        wanted = lesions == "all" or labels.get(CaseKeys.MALIGNANT) is True
        masks = {kind: folder.masks[name] for kind, name in names.items() if wanted and name in folder.masks}
        drawn = {
            kind: regions[name] for kind, name in names.items() if wanted and name in regions and kind not in masks
        }
        pairs.append(Pair(key, le, des, masks, drawn, labels))
    orphans = sorted(set(folder.masks) - set(folder.images))
    skipped += [skip(folder.masks[name], "a lesion map without its image") for name in orphans]
    return pairs, skipped


def drop_misfits(
    pairs: list[Pair], path: Path | None, max_excess: float, max_misfits: float
) -> tuple[list[Pair], list[dict[str, str]]]:
    """Take away regions that reach far beyond their image; raise when they are so many that all must be foreign."""
    fitting, skipped = [], []
    for pair in pairs:
        kept = {}
        for kind, drawn in pair.regions.items():
            image = pair.le if kind == "DM" else pair.des
            beyond = excess(drawn, _shape(image))
            if beyond > max_excess:
                skipped.append(
                    skip(image, f"its regions reach {beyond:.0%} of a side beyond it: drawn on another size")
                )
            else:
                kept[kind] = drawn
        fitting.append(replace(pair, regions=kept))
    count = sum(len(pair.regions) for pair in pairs)
    if len(skipped) > max_misfits * count:
        raise ValueError(
            f"{path} does not fit the images: the regions of {len(skipped)} out of {count} images reach beyond them. "
            "They are in pixels of the original JPEG files. Use those, or put maps in your images' pixels into a "
            "folder 'masks'."
        )
    return fitting, skipped
