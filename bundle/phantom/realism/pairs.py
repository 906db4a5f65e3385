"""Real pairs as training reads them, and phantom pairs that went the same way."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property, partial
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from monai.transforms import Compose, LoadImaged, ScaleIntensityd
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from ...data.datalist import case_items, read_datalist
from ...data.registration import breast_mask
from ...keys import BatchKeys, CaseKeys
from ...transforms import AreaResized, CesmReader, ContrastStretchd, EmptySegd, PadToSquared
from ..case import PhantomCase, draw_patient, exam_grid, render_case
from ..presentation import DES_DISPLAY, LE_DISPLAY, Display

__all__ = ["PARTS", "Pair", "from_case", "part_of", "phantom_pairs", "quarter_of", "real_pairs"]

PARTS = ("tune", "report")
SIZE = 256
IMAGES = (BatchKeys.LE, BatchKeys.DES)
MAPS = (BatchKeys.LE, BatchKeys.DES, BatchKeys.SEG)

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Pair:
    """A pair as the network sees it: ``le`` and ``des`` (256, 256) float32 in [0, 1], ``lesion`` bool."""

    case_id: str
    patient_id: str
    le: NDArray[np.float32]
    des: NDArray[np.float32]
    lesion: NDArray[np.bool_]

    @cached_property
    def breast(self) -> NDArray[np.bool_]:
        """Found in LE, by the same means in a phantom as in a woman."""
        return breast_mask(self.le)


def part_of(patient_id: str) -> str:
    """The half that a woman belongs to, whatever list she stands in: the phantom is tuned on one, reported on one."""
    return PARTS[zlib.crc32(patient_id.encode()) % 2]


def quarter_of(patient_id: str) -> int:
    """0 or 1: a half of each part, for who must not look at the other part."""
    return zlib.crc32(patient_id.encode()) // 2 % 2


def _as_training_does() -> list[Callable]:
    """``deterministic_transforms`` of configs/train.json, from padding to shrinking."""
    return [
        PadToSquared(MAPS),
        ContrastStretchd(IMAGES),
        ScaleIntensityd(IMAGES),
        AreaResized(IMAGES, BatchKeys.SEG, size=SIZE),
    ]


def _pair(item: dict[str, Any]) -> Pair:
    le, des, seg = (np.asarray(item[key])[0] for key in MAPS)
    return Pair(item[CaseKeys.CASE_ID], item[CaseKeys.PATIENT_ID], le, des, seg > 0)


def _in_processes(
    work: Callable[[Item], Pair], items: Sequence[Item], num_workers: int | None, description: str
) -> list[Pair]:
    """In the order of the items; one worker is this process itself."""
    workers = min(num_workers or os.cpu_count() or 1, len(items))
    bar = partial(tqdm, total=len(items), desc=description, unit="pair")
    if workers <= 1:
        return list(bar(map(work, items)))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as processes:
        return list(bar(processes.map(work, items, chunksize=4)))


@cache
def _reading() -> Compose:
    load = LoadImaged(MAPS, reader=CesmReader, ensure_channel_first=True, allow_missing_keys=True)
    return Compose([load, EmptySegd(BatchKeys.SEG), *_as_training_does()])


def _read(item: dict[str, Any]) -> Pair:
    return _pair(_reading()(item))


def real_pairs(
    datalist: str | os.PathLike, part: str | None = None, min_overlap: float = 0.978, num_workers: int | None = None
) -> list[Pair]:
    """The malignant pairs of a datalist that have a lesion map.

    Args:
        datalist: the file.
        part: "tune" or "report", a half of the women; None for all of them.
        min_overlap: of the breast masks of LE and DES, where the datalist says it; 0.978 leaves the best 233 or so of
            the 248 pairs that the published numbers were measured on.
        num_workers: processes; None for every core.

    Raises:
        FileNotFoundError: when there is no such datalist.
        ValueError: for an unknown part, or when no pair is left.
    """
    if part is not None and part not in PARTS:
        raise ValueError(f"part is {part!r}, expected one of {PARTS}.")
    items = [
        item
        for item in case_items(read_datalist(datalist), Path(datalist).parent)
        if item.get(CaseKeys.MALIGNANT)
        and BatchKeys.SEG in item
        and item.get("alignment", {}).get("overlap", 1.0) >= min_overlap
        and part in (None, part_of(item[CaseKeys.PATIENT_ID]))
    ]
    if not items:
        raise ValueError(
            f"{datalist} has no malignant pair with a lesion map and an overlap of {min_overlap} or more"
            f"{f' in the part {part!r}' if part else ''}: expected some. Make a datalist of CDD-CESM: "
            "python -m scripts.prepare cdd_cesm --root ROOT --output OUTPUT"
        )
    return _in_processes(_read, items, num_workers, "real")


def _grey(image: NDArray[np.uint16], display: Display) -> NDArray[np.float32]:
    """Through the window that the image is meant to be seen in, to [0, 1]."""
    low = display.center - display.width / 2
    return np.clip((image.astype(np.float32) - low) / display.width, 0.0, 1.0)


def _as_published(image: NDArray, box: tuple[slice, slice], size: int = 512, quality: int | None = 75) -> NDArray:
    """What befell the real images: cropped to the breast, shrunk, centred on black, saved as an 8-bit JPEG.

    Args:
        image: (H, W) in [0, 1].
        box: of the breast.
        size: of the result, the longest side of the breast.
        quality: of the JPEG; the real files have the quantisation tables of 75. None saves none.
    """
    crop = image[box]
    rows, columns = (max(1, round(side * size / max(crop.shape))) for side in crop.shape)
    small = np.asarray(Image.fromarray(crop).resize((columns, rows), Image.Resampling.BILINEAR))
    square = np.zeros((size, size), np.float32)
    top, left = (size - rows) // 2, (size - columns) // 2
    square[top : top + rows, left : left + columns] = small
    if quality is None:
        return square
    file = BytesIO()
    Image.fromarray(np.rint(square * 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).astype(np.float32)


def from_case(case: PhantomCase) -> Pair:
    """A phantom pair treated as the real ones were before they reached us, and then as training treats them."""
    rows, columns = (np.flatnonzero(case.breast.mask.any(axis=axis)) for axis in (1, 0))
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    images = {
        BatchKeys.LE: _as_published(_grey(case.le, LE_DISPLAY), box),
        BatchKeys.DES: _as_published(_grey(case.des, DES_DISPLAY), box),
        BatchKeys.SEG: _as_published(case.breast.lesion.astype(np.float32), box, quality=None) >= 0.5,
    }
    item: dict[str, Any] = {key: torch.from_numpy(image.astype(np.float32))[None] for key, image in images.items()}
    item |= {CaseKeys.CASE_ID: case.case_id, CaseKeys.PATIENT_ID: case.patient_id}
    return _pair(Compose(_as_training_does())(item))


def _render(place: tuple[int, int, str], image_size: int) -> Pair:
    seed, patient, view = place
    woman = draw_patient(seed, patient, finding="malignant")
    return from_case(render_case(seed, patient, woman, woman.lesions[0].laterality, view, exam_grid(image_size)))


def phantom_pairs(count: int, seed: int = 0, image_size: int = 1024, num_workers: int | None = None) -> list[Pair]:
    """Pairs of phantom women with a cancer, both views of its breast, rendered in memory.

    Args:
        count: of pairs.
        seed: of the women.
        image_size: rows of the detector before cropping; the real ones were shrunk from finer pixels too.
        num_workers: processes; None for every core. The pairs do not depend on it.

    Raises:
        ValueError: for less than one pair.
    """
    if count < 1:
        raise ValueError(f"pairs is {count}, expected 1 or more.")
    places = [(seed, 1 + number // 2, ("CC", "MLO")[number % 2]) for number in range(count)]
    return _in_processes(partial(_render, image_size=image_size), places, num_workers, "phantom")
