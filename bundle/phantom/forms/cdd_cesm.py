"""As CDD-CESM lies on disk (doi 10.7937/29kw-ae92): 8-bit JPEG cropped by hand, the workbook, and drawn regions."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...data.cdd_cesm import write_cdd_cesm
from ...data.datalist import read_datalist
from ..case import VIEWS, PhantomCase
from .form import Settings, Written, described, patient_number, window
from .hand_drawn import trace
from .workbook import write_workbook

__all__ = ["read_back", "write_case"]

ROOT = "CDD-CESM"
KINDS = (("DM", "le", "Low energy images of CDD-CESM"), ("CM", "des", "Subtracted images of CDD-CESM"))
WORKBOOK, REGIONS = "Radiology manual annotations.xlsx", "Radiology_hand_drawn_segmentations_v2.csv"
LABELS = (
    "Image_name",
    "Patient_ID",
    "Side",
    "Type",
    "Age",
    "Breast density (ACR)",
    "BIRADS",
    "Findings",
    "View",
    "Tags",
    "Machine",
    "Pathology Classification/ Follow up",
)
VIA = (
    "#filename",
    "file_size",
    "file_attributes",
    "region_count",
    "region_id",
    "region_shape_attributes",
    "region_attributes",
)
PATHOLOGY = {None: ("Normal", 1), False: ("Benign", 3), True: ("Malignant", 5)}  # and BI-RADS


def write_case(root: Path, case: PhantomCase, settings: Settings) -> Written:
    """Write ``P1_L_DM_CC.jpg`` and ``P1_L_CM_CC.jpg``; the notes are rows of workbook and region file, one an image."""
    patient, side, view = patient_number(case), case.laterality, case.view
    rng = np.random.default_rng([settings.seed, patient, VIEWS.index((side, view)) + 1, 1])
    pathology, birads = PATHOLOGY[case.malignant]
    findings = "$".join(dict.fromkeys(lesion.type.replace("_", " ").capitalize() for lesion in case.lesions))
    labels, drawn = [], []
    for kind, key, folder in KINDS:
        path = root / ROOT / folder / f"P{patient}_{side}_{kind}_{view}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        box = _crop(rng, case) if settings.crop else (slice(None), slice(None))
        Image.fromarray(_windowed(getattr(case, key)[box], *window(case, key))).save(path, quality=98)
        regions = trace(np.asarray(case.breast.lesion)[box] > 0)
        size = path.stat().st_size
        drawn += [
            (path.name, size, "{}", len(regions), number, json.dumps(region), "{}")
            for number, region in enumerate(regions)
        ]
        density, kind_name = (case.woman.density, "DM") if kind == "DM" else ("_", "CESM")
        row = (path.stem, patient, side, kind_name, "_", density, birads, findings or "_", view, "_", "CESM phantom")
        labels.append((*row, pathology))
    return Written(described(case, f"P{patient}_{side}_{view}", f"P{patient}"), (labels, drawn))


def read_back(root: Path, written: Sequence[Written], settings: Settings) -> dict[str, Any]:
    """Write workbook and region file and read the tree; LE and DES that are cropped differently are registered."""
    folder = root / ROOT
    write_workbook(folder / WORKBOOK, "all", LABELS, [row for case in written for row in case.notes[0]])
    with (folder / REGIONS).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([VIA, *(row for case in written for row in case.notes[1])])
    align = "translate" if settings.crop else "none"
    return read_datalist(write_cdd_cesm(folder, root, align=align, num_workers=settings.num_workers))


def _windowed(pixels: NDArray[np.uint16], center: float, width: float) -> NDArray[np.uint8]:
    """8-bit values of what a reader sees, [center - width / 2, center + width / 2] -> [0, 255]."""
    seen = np.clip((pixels.astype(np.float32) - np.float32(center - width / 2)) / np.float32(width), 0.0, 1.0)
    return np.rint(255.0 * seen).astype(np.uint8)


def _crop(rng: np.random.Generator, case: PhantomCase, margin: float = 0.03, cut: float = 0.01) -> tuple[slice, slice]:
    """A box about the breast as a hand draws it: a little air, and not the whole chest wall and axilla.

    LE and DES draw one each. In CDD-CESM they differ by 1.1 % of the rows down and 0.5 % across in the median.

    Args:
        rng: of the hand.
        case: its breast.
        margin: most air above, below and before the breast, as a share of the rows; where it leaves the image at
            its upper edge, most of it that is lost there.
        cut: most of the breast that is lost at the chest wall, as a share of the rows.
    """
    breast = np.asarray(case.breast.thickness) > 0
    rows, columns = (np.flatnonzero(breast.any(axis=axis)) for axis in (1, 0))
    above, below, front = (round(share * breast.shape[0]) for share in rng.uniform(0.0, margin, 3))
    above = above if rows[0] > 0 else -above
    wall = round(rng.uniform(0.0, cut) * breast.shape[0])
    before, behind = (-wall, front) if case.laterality == "L" else (front, -wall)
    return (
        slice(max(int(rows[0]) - above, 0), int(rows[-1]) + 1 + below),
        slice(max(int(columns[0]) - before, 0), int(columns[-1]) + 1 + behind),
    )
