"""Lesion maps of DICOM SEG objects (PS3.3 A.51), whose frames say which image they are of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..dicom.files import has_dicom_mark, read_dataset
from .decoding import decoding
from .map_checks import check_size, not_empty

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["read_dicom_seg", "seg_references"]


def seg_references(path: str | os.PathLike) -> tuple[str, ...]:
    """SOP Instance UIDs of the images that the frames of a DICOM SEG refer to, in their order; () for other files.

    Raises:
        ValueError: for a DICOM file that cannot be read or is no segmentation.
    """
    if not has_dicom_mark(path):
        return ()
    ds = _read_seg(Path(path), stop_before_pixels=True)
    return tuple(dict.fromkeys(uid for frame in _frame_references(ds) for uid in frame))


def read_dicom_seg(path: str | os.PathLike, sop_uid: str, shape: tuple[int, int]) -> np.ndarray:
    """Join all frames of a DICOM SEG that refer to one image, whatever their segment.

    BINARY, FRACTIONAL (half of Maximum Fractional Value and more) and LABELMAP (all but the background) are read. Which
    image a frame is of stands in its Derivation Image Sequence, else in the shared one, else in the Referenced Series
    Sequence where that names a single image.

    Args:
        path: the file.
        sop_uid: of the image; "" for the only image that the file refers to.
        shape: rows and columns of the image.

    Returns:
        (H, W) bool, with at least one pixel of lesion.

    Raises:
        ValueError: when the file cannot be decoded, is no segmentation, refers to other images, or differs in size.
    """
    path = Path(path)
    ds = _read_seg(path)
    frames = _frame_references(ds)
    known = {uid for frame in frames for uid in frame}
    if not sop_uid and len(known) == 1:
        (sop_uid,) = known
    chosen = [index for index, frame in enumerate(frames) if sop_uid in frame]
    if not chosen:
        raise ValueError(
            f"{path} has no frame of {'this image' if sop_uid else 'one image alone'}: it refers to {len(known)} "
            "image(s) by SOP Instance UID. Export it for this image; de-identify images and segmentations together."
        )
    check_size(path, (int(ds.Columns), int(ds.Rows)), shape)
    with decoding(path, "pixels of a DICOM SEG"):
        pixels = ds.pixel_array.reshape(len(frames), *shape)[chosen]
    kind = str(ds.get("SegmentationType", "")).upper()
    if kind == "FRACTIONAL":
        lesion = 2 * pixels.astype(np.float32) >= int(ds.get("MaximumFractionalValue") or 255)
    elif kind == "LABELMAP":
        lesion = pixels != int(ds.get("PixelPaddingValue") or 0)
    elif kind == "BINARY":
        lesion = pixels > 0
    else:
        raise ValueError(
            f"{path} is a segmentation of type {kind or 'unknown'}: expected BINARY, FRACTIONAL or LABELMAP."
        )
    return not_empty(path, np.logical_or.reduce(lesion, axis=0))


def _read_seg(path: Path, stop_before_pixels: bool = False) -> Dataset:
    with decoding(path, "DICOM"):
        ds = read_dataset(path, pixels=not stop_before_pixels)
    if ds.get("Modality") != "SEG":
        raise ValueError(
            f"{path} is DICOM of modality {ds.get('Modality') or 'unknown'}: expected a segmentation (SEG). Export the "
            "segmentation, not the image."
        )
    if not stop_before_pixels and "PixelData" not in ds:
        raise ValueError(f"{path} has no pixel data: expected a segmentation of pixels, not of surfaces. Export it so.")
    return ds


def _frame_references(ds: Dataset) -> list[tuple[str, ...]]:
    """For each frame of a SEG the UIDs of its images; () where the file does not say."""

    def sources(group: Dataset) -> tuple[str, ...]:
        return tuple(
            str(source.get("ReferencedSOPInstanceUID", ""))
            for derivation in group.get("DerivationImageSequence") or []
            for source in derivation.get("SourceImageSequence") or []
        )

    groups = list(ds.get("PerFrameFunctionalGroupsSequence") or [])
    shared = tuple(uid for group in ds.get("SharedFunctionalGroupsSequence") or [] for uid in sources(group))
    series = {
        str(instance.get("ReferencedSOPInstanceUID", ""))
        for entry in ds.get("ReferencedSeriesSequence") or []
        for instance in entry.get("ReferencedInstanceSequence") or []
    }
    fallback = shared or (tuple(series) if len(series) == 1 else ())
    own = [sources(group) for group in groups] + [()] * (int(ds.get("NumberOfFrames") or 1) - len(groups))
    return [frame or fallback for frame in own]
