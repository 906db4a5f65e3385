"""From one pair of DICOM objects and its lesion maps to a case of the datalist."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..keys import BatchKeys, CaseKeys, MetaKeys
from .exam_files import Skipped
from .exam_pairs import ExamPair
from .image_check import image_problem, map_problem
from .images import read_image
from .map_files import read_map
from .registration import register, warp
from .whole_files import write_image

__all__ = ["ExamJob", "Outcome", "make_case", "told"]


@dataclass(frozen=True)
class ExamJob:
    """A pair, and the files of its lesion maps with the image that each was drawn on."""

    pair: ExamPair
    maps: tuple[tuple[Path, str], ...] = ()


@dataclass
class Outcome:
    """The case of a pair, None where it cannot be used, what had to be left out, and the maps that were used."""

    case: dict[str, Any] | None = None
    skipped: list[Skipped] = field(default_factory=list)
    maps: list[Path] = field(default_factory=list)


def make_case(job: ExamJob, images: Path, align: str, min_overlap: float) -> Outcome:
    """Read both images, place the maps, and write what a training needs beside the originals."""
    pair, outcome = job.pair, Outcome()
    pixels: dict[str, np.ndarray] = {}
    windows: dict[str, list[float]] = {}  # as read: mirrored like the pixels where the file is MONOCHROME1
    for kind, item in (("LE", pair.le), ("DES", pair.des)):
        partner = pair.des if kind == "LE" else pair.le
        try:
            pixels[kind], meta = read_image(item.path)
            windows[kind] = [float(meta[key]) for key in (MetaKeys.WINDOW_CENTER, MetaKeys.WINDOW_WIDTH)]
            wrong = image_problem(pixels[kind], meta)
        except Exception as error:
            wrong = told(error, item.path)
        if wrong:
            outcome.skipped.append(Skipped(item.path, wrong))
            outcome.skipped.append(Skipped(partner.path, "its partner cannot be used"))
            return outcome
    le, des = pixels["LE"], pixels["DES"]
    case: dict[str, Any] = {
        CaseKeys.CASE_ID: pair.case_id,
        CaseKeys.PATIENT_ID: pair.le.patient,
        CaseKeys.LATERALITY: pair.le.laterality,
        CaseKeys.VIEW: pair.le.view,
        CaseKeys.MALIGNANT: None,
        BatchKeys.LE: str(pair.le.path),
        BatchKeys.DES: str(pair.des.path),
    }
    drawn = _drawn(job, le, des, outcome)
    if align != "none":
        try:
            found = register(le - le.min(), des - des.min(), align)
        except ValueError as error:
            wrong = f"the pair cannot be aligned: {error}"
            outcome.skipped += [Skipped(item.path, wrong) for item in (pair.le, pair.des)]
            return outcome
        if not found.transform.is_identity:
            case[BatchKeys.DES] = str(write_image(images, f"{pair.case_id}_des", warp(des, found.transform, le.shape)))
            if not any(np.isnan(windows["DES"])):
                case["des_window"] = windows["DES"]
            if "DES" in drawn:
                drawn["DES"] = warp(drawn["DES"], found.transform, le.shape)
        case["alignment"] = found.entry(align, min_overlap)
    maps = {}
    for kind, lesion in drawn.items():
        wrong = map_problem(le, lesion) if lesion.any() else "it lies outside the image once DES is aligned"
        if wrong:
            files = [path for path, drawn_on in job.maps if drawn_on == kind]
            wrong = f"the lesion map of {pair.case_id} is not used: {wrong}"
            outcome.skipped += [Skipped(path, wrong) for path in files]
            outcome.maps = [path for path in outcome.maps if path not in files]
        else:
            name = f"{pair.case_id}_seg" + ("_le" if kind == "LE" else "")
            maps[kind] = str(write_image(images, name, lesion))
    case[BatchKeys.SEG] = maps.get("DES", maps.get("LE"))
    case["seg_le"] = maps.get("LE")
    if "LE" in maps and "DES" not in maps:
        case["seg_drawn_on"] = "LE"
    outcome.case = case
    return outcome


def _drawn(job: ExamJob, le: np.ndarray, des: np.ndarray, outcome: Outcome) -> dict[str, np.ndarray]:
    """The union of all maps drawn on DES, and of all drawn on LE."""
    drawn: dict[str, np.ndarray] = {}
    for path, kind in job.maps:
        item, shape = (job.pair.le, le.shape) if kind == "LE" else (job.pair.des, des.shape)
        try:
            lesion = read_map(path, (shape[0], shape[1]), item.spacings, item.sop_uid)
        except Exception as error:
            wrong = f"the lesion map of {job.pair.case_id} is not used: {told(error, path)}"
            outcome.skipped.append(Skipped(path, wrong))
            continue
        drawn[kind] = drawn[kind] | lesion if kind in drawn else lesion
        outcome.maps.append(path)
    return drawn


def told(error: Exception, path: Path) -> str:
    """What went wrong, without the path, which has a column of its own, and without what a damaged header swallowed."""
    text = " ".join(str(error).replace(f"{path} ", "").split())
    if not isinstance(error, ValueError | OSError) or not text.isprintable():
        return f"cannot be read ({type(error).__name__}): export it again"
    return text or type(error).__name__
