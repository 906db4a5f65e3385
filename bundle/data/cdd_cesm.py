"""From a CDD-CESM folder to a datalist: pairs, maps, labels, and DES images brought onto the grid of their LE images.

Source: Khaled et al., Scientific Data 9:122 (2022); The Cancer Imaging Archive, doi 10.7937/29kw-ae92.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from ..keys import BatchKeys, CaseKeys
from .cdd_cesm_files import find_files, find_one, parse_name
from .cdd_cesm_labels import read_workbook
from .cdd_cesm_pairs import Pair, drop_misfits, make_pairs, skip
from .datalist import write_datalist
from .lesion_maps import draw_regions, read_regions
from .registration import METHODS, register, warp
from .whole_files import write_image

__all__ = ["write_cdd_cesm"]

logger = logging.getLogger(__name__)

UNREADABLE = (OSError, ValueError, SyntaxError)  # Pillow raises the last for a broken PNG

SOURCE = (
    "Khaled R., Helal M., Alfarghaly O. et al., Categorized contrast enhanced mammography dataset for diagnostic and "
    "artificial intelligence research, Scientific Data 9:122 (2022), The Cancer Imaging Archive, doi 10.7937/29kw-ae92"
)


def _read(path: Path) -> np.ndarray:
    """Grey values (H, W) as stored: 8 or 16 bit."""
    with Image.open(path) as image:
        if image.mode.startswith("I"):
            return np.asarray(image).astype(np.uint16)
        return np.asarray(image.convert("L"))


def _lesion_map(pair: Pair, kind: str, shape: tuple[int, int]) -> np.ndarray | None:
    """Map of the LE ("DM") or DES ("CM") image on its own grid, (H, W) bool; None when none was drawn."""
    if kind in pair.masks:
        lesion = _read(pair.masks[kind]) > 0
        if lesion.shape != shape:
            (rows, columns), (height, width) = lesion.shape, shape
            raise ValueError(f"its lesion map is {columns} x {rows}, expected {width} x {height} pixels as the image")
    elif kind in pair.regions:
        lesion = draw_regions(pair.regions[kind], shape)
    else:
        return None
    if not lesion.any():
        raise ValueError("its lesion map is empty inside the image")
    return lesion


def _process(pair: Pair, images: Path, align: str, min_overlap: float) -> tuple[dict | None, list[dict[str, str]]]:
    """The case of one pair, its files written, and what had to be skipped."""
    name, skipped = pair.key.case_id, []
    try:
        le, des = _read(pair.le), _read(pair.des)
        found = register(le, des, align)
    except UNREADABLE as error:
        return None, [skip(path, f"the pair {name} cannot be used: {error}") for path in (pair.le, pair.des)]
    maps: dict[str, np.ndarray | None] = {"DM": None, "CM": None}
    for kind, path, image in (("DM", pair.le, le), ("CM", pair.des, des)):
        try:
            maps[kind] = _lesion_map(pair, kind, image.shape)
        except UNREADABLE as error:
            skipped.append(skip(pair.masks.get(kind, path), f"no map of {path.name}: {error}"))
    seg, seg_le = maps["CM"], maps["DM"]
    moved = align != "none" and not (found.transform.is_identity and le.shape == des.shape)
    des_path, seg_path, seg_le_path = pair.des, pair.masks.get("CM"), pair.masks.get("DM")
    if moved:
        des_path = write_image(images, f"{name}_des", warp(des, found.transform, le.shape))
        if seg is not None:
            seg = warp(seg, found.transform, le.shape)
            if not seg.any():
                skipped.append(
                    skip(seg_path or pair.des, "the lesion map lies outside the LE image once DES is aligned")
                )
                seg = None
    if seg is not None and (moved or seg_path is None):
        seg_path = write_image(images, f"{name}_seg", seg)
    if seg_le is not None and seg_le_path is None:
        seg_le_path = write_image(images, f"{name}_seg_le", seg_le)
    case = {
        CaseKeys.CASE_ID: name,
        CaseKeys.PATIENT_ID: f"P{pair.key.patient}",
        CaseKeys.LATERALITY: pair.key.laterality,
        CaseKeys.VIEW: pair.key.view,
        CaseKeys.MALIGNANT: None,
        BatchKeys.LE: str(pair.le),
        BatchKeys.DES: str(des_path),
        BatchKeys.SEG: None if seg is None else str(seg_path),
        "seg_le": None if seg_le is None else str(seg_le_path),
        **pair.labels,
        "alignment": {
            **found.entry(align, min_overlap),
            "le_size": list(le.shape),
            "des_size": list(des.shape),
        },
    }
    return case, skipped


def _run(pairs: Sequence[Pair], work: Callable[[Pair], Any], num_workers: int) -> list[Any]:
    """Work on all pairs, in order, with a progress bar; processes are spawned, so that no threads are copied."""
    bar = partial(tqdm, total=len(pairs), desc="CDD-CESM", unit="pair")
    if num_workers == 1:
        return list(bar(map(work, pairs)))
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as processes:
        return list(bar(processes.map(work, pairs)))


def _warn(cases: list[dict], skipped: list[dict[str, str]], align: str, min_overlap: float) -> dict[str, Any]:
    """Say once what a user must know, and return it for the datalist."""
    unequal = [
        case[CaseKeys.CASE_ID] for case in cases if case["alignment"]["le_size"] != case["alignment"]["des_size"]
    ]
    unequal = unequal if align == "none" else []
    low = [case[CaseKeys.CASE_ID] for case in cases if case["alignment"]["low_overlap"]]
    if skipped:
        logger.warning("%d file(s) were skipped; the datalist's 'skipped' gives the reasons.", len(skipped))
    if unequal:
        logger.warning("%d pair(s) differ in size and were not aligned: %s.", len(unequal), ", ".join(unequal))
    if low:
        logger.warning("%d pair(s) overlap by less than %.2f: %s.", len(low), min_overlap, ", ".join(low))
    return {"skipped": skipped, "unequal_size": unequal, "low_overlap": low}


def write_cdd_cesm(
    root: str | os.PathLike,
    output: str | os.PathLike,
    align: str = "translate",
    lesions: str = "all",
    num_workers: int | None = None,
    overwrite: bool = False,
    annotations: str | os.PathLike | None = None,
    min_overlap: float = 0.85,
    max_excess: float = 0.05,
    max_misfits: float = 0.1,
) -> Path:
    """Write the datalist of a CDD-CESM folder, with aligned DES images and lesion maps under ``output/images``.

    ``le`` points to the original file. ``seg`` is the map drawn on DES and moves with it; ``seg_le`` is drawn on LE.
    A map in a folder ``masks`` goes before the regions of the VIA file, image by image. A DES image that needs no
    shift stays where it is. Whatever is not used stands in the datalist under ``skipped`` with its reason.

    Args:
        root: the folder; images, workbook and region file are found by name at any depth.
        output: the folder to write; it is not searched when it lies inside ``root``.
        align: "none" (DES as it is), "translate" (by whole pixels) or "similarity"; see ``register``.
        lesions: "all", or "malignant" for the maps of malignant pairs alone.
        num_workers: processes; None uses every core. The result does not depend on it.
        overwrite: replace a datalist that is already there.
        annotations: folder of workbook and region file, when they do not lie under ``root``.
        min_overlap: Dice of the breast masks below which a pair is marked ``low_overlap``.
        max_excess: how far regions may reach beyond an image, as a share of its side, before they are refused.
        max_misfits: share of images whose regions may be refused before the whole region file is.

    Returns:
        the path of ``datalist.json``.

    Raises:
        FileExistsError: when the datalist exists and ``overwrite`` is false.
        FileNotFoundError: when there is no such folder, or nothing in it that was asked for.
        ValueError: for an unknown option, names that occur twice, unreadable annotations, or a region file that
            belongs to images of another size.
    """
    if align not in METHODS:
        raise ValueError(f"align is {align!r}, expected one of {METHODS}.")
    if lesions not in ("all", "malignant"):
        raise ValueError(f"lesions is {lesions!r}, expected 'all' or 'malignant'.")
    if num_workers is not None and num_workers < 1:
        raise ValueError(f"num_workers is {num_workers}, expected 1 or more, or null for every core.")
    root, output = Path(root).resolve(), Path(output).resolve()
    datalist_path = output / "datalist.json"
    if datalist_path.exists() and not overwrite:
        raise FileExistsError(f"{datalist_path} exists already. Choose another --output, or pass --overwrite.")
    folder = find_files(root, without=output)
    place = Path(annotations) if annotations is not None else root
    workbook_path = find_one(place, "Radiology manual annotations", ".xlsx", without=output)
    regions_path = find_one(place, "Radiology hand drawn segmentations", ".csv", without=output)
    if annotations is not None and workbook_path is None and regions_path is None:
        raise FileNotFoundError(f"{place} holds neither the annotation workbook nor the region file of CDD-CESM.")
    if lesions == "malignant" and workbook_path is None:
        raise FileNotFoundError(
            f"lesions='malignant' needs 'Radiology manual annotations.xlsx', which is not under {place}. "
            "Put it there, or use lesions='all'."
        )
    workbook = read_workbook(workbook_path) if workbook_path else {}
    drawn = read_regions(regions_path) if regions_path else {}
    regions = {name: shapes for stem, shapes in drawn.items() if (name := parse_name(stem)) is not None}
    pairs, skipped = make_pairs(folder, regions, workbook, lesions)
    if not pairs:
        raise FileNotFoundError(
            f"{root} holds no LE / DES pair of CDD-CESM: of {len(folder.images) + len(folder.unknown)} pictures "
            f"{len(folder.images)} are named P<n>_<L|R>_<DM|CM>_<CC|MLO>, and none of them has its partner."
        )
    pairs, misfits = drop_misfits(pairs, regions_path, max_excess, max_misfits)
    skipped += misfits
    images = output / "images"
    images.mkdir(parents=True, exist_ok=True)
    work = partial(_process, images=images, align=align, min_overlap=min_overlap)
    results = _run(pairs, work, min(num_workers or os.cpu_count() or 1, len(pairs)))
    skipped += [entry for _, entries in results for entry in entries]
    skipped = [skip(Path(os.path.relpath(entry["path"], output)).as_posix(), entry["reason"]) for entry in skipped]
    cases = [case for case, _ in results if case is not None]
    return write_datalist(
        datalist_path,
        name="CDD-CESM",
        source=SOURCE,
        licence="CC BY 4.0",
        cases=cases,
        overwrite=overwrite,
        align=align,
        lesions=lesions,
        **_warn(cases, skipped, align, min_overlap),
    )
