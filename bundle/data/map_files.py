"""A lesion map of any form, as a binary map on the pixel grid of its image.

- ``.seg.nrrd`` and ``.nrrd`` (3D Slicer, ITK): placed by ``space origin`` and ``space directions``: Slicer crops a map
  to what was drawn. A mammogram has no position: Slicer and ITK load it as (W, H, 1), origin 0, so the pixel in
  row r and column c lies at LPS (c * column spacing, r * row spacing). Slicer's own entry for the place of a crop,
  ``Segmentation_ReferenceImageExtentOffset``, counts the map's pixels from that first one; it stands in for a missing
  origin and must agree with one that is there. Without any of them the size must be equal.
- NIfTI: transposed only, its affine is not used, since each program makes up another one for an image without position.
- PNG: grey, or colour with equal channels.
- DICOM SEG (PS3.3 A.51): the frames that refer to the image.

All labels, layers and segments are joined. Whole numbers above 0 are lesion; a map of fractions between 0 and 1 is one
of probabilities, of which 0.5 and more is lesion; a PNG drawing with soft rims is cut at half of its grey. What has as
many values as an image is one, and refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from ..dicom.files import has_dicom_mark
from .decoding import decoding
from .dicom_seg import read_dicom_seg
from .images import read_image
from .map_checks import (
    agreed_place,
    check_size,
    fitting_spacing,
    lesion_of_labels,
    lesion_of_picture,
    not_empty,
)

__all__ = ["is_map_file", "read_map"]

PathLike = str | os.PathLike
SUFFIXES = (".nrrd", ".nii", ".nii.gz", ".png")
FORMS = ".seg.nrrd, .nrrd, .nii, .nii.gz, .png or a DICOM segmentation (SEG)"
TO_LPS = {  # the spaces of NRRD0004 that ITK turns into LPS too; any other one is taken as it is
    "right-anterior-superior": (-1.0, -1.0, 1.0),
    "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0),
    "las": (1.0, -1.0, 1.0),
}


def is_map_file(path: PathLike) -> bool:
    """Whether :func:`read_map` would try this file: a known suffix in any case, or DICOM of modality SEG."""
    path = Path(path)
    if path.name.startswith(".") or path.is_dir():
        return False
    if not has_dicom_mark(path):
        return path.name.lower().endswith(SUFFIXES)
    import pydicom

    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"]).get("Modality") == "SEG"
    except Exception:
        return False


def read_map(
    path: PathLike,
    shape: tuple[int, int],
    spacings: Sequence[tuple[float, float]] = (),
    sop_uid: str = "",
    max_lost: float = 0.02,
    max_ratio: float = 8.0,
    max_misfit: float = 0.015,
    max_labels: int = 32,
) -> np.ndarray:
    """Read the lesion map of one image.

    An NRRD map of the image's size with unturned axes is taken as it is. Any other one is sampled where its header puts
    it: whole-pixel offsets exactly, finer grids by coverage (half a pixel and more is lesion). Its pixels are taken for
    those of the image, or for a whole number or part of them, although the spacings may be rounded differently.

    Args:
        path: the map.
        shape: rows and columns of the image.
        spacings: (row, column) in mm as the image's header has them, Imager Pixel Spacing and Pixel Spacing; the one
            that goes best with the map's own is used. Without any, a pixel of the map is one of the image.
        sop_uid: SOP Instance UID of the image, which picks the frames of a DICOM SEG; "" for the only image of one.
        max_lost: share of an NRRD lesion that may fall outside the image.
        max_ratio: how many times finer or coarser than the image's an NRRD map's pixels may be.
        max_misfit: how far, as a share, that number may be from a whole one; a map of the image's size is taken anyhow.
        max_labels: different values above 0 from which on an NRRD, NIfTI or PNG file is an image and no map.

    Returns:
        (H, W) bool, with at least one pixel of lesion.

    Raises:
        ValueError: for an unknown form, a file that cannot be decoded, another size or spacing, a place that is outside
            the image or said in two ways, values that are neither labels nor probabilities, or an empty map.
    """
    path = Path(path)
    name = path.name.lower()
    spacings = [pair for pair in spacings if len(pair) == 2 and all(math.isfinite(step) and step > 0 for step in pair)]
    if has_dicom_mark(path):
        return read_dicom_seg(path, sop_uid, shape)
    if name.endswith(".nrrd"):
        return _read_nrrd(path, shape, spacings, max_lost, max_ratio, max_misfit, max_labels)
    if name.endswith((".nii", ".nii.gz")):
        import nibabel

        with decoding(path, "NIfTI"):
            volume = np.asanyarray(nibabel.load(path).dataobj)  # type: ignore[attr-defined]
        return _on_same_grid(path, lesion_of_labels(path, volume, max_labels), shape)
    if name.endswith(".png"):
        with decoding(path, "PNG"), path.open("rb") as file:
            signature = file.read(8)
        if signature != b"\x89PNG\r\n\x1a\n":  # a renamed JPEG would have grey rims around each lesion
            raise ValueError(f"{path} could not be read as PNG: it lacks the signature. Export it again.")
        return _on_same_grid(path, lesion_of_picture(path, read_image(path)[0].T, max_labels), shape)
    raise ValueError(f"{path} is of no form that is read as a lesion map: expected {FORMS}. Export it as one of them.")


def _read_nrrd(
    path: Path,
    shape: tuple[int, int],
    spacings: Sequence[tuple[float, float]],
    max_lost: float,
    max_ratio: float,
    max_misfit: float,
    max_labels: int,
) -> np.ndarray:
    import nrrd

    with decoding(path, "NRRD"):
        values, header = nrrd.read(str(path))  # axes as on disk, fastest first
    values, axes = _join_layers(path, lesion_of_labels(path, values, max_labels), header)
    not_empty(path, values)
    directions, origin, offset = header.get("space directions"), header.get("space origin"), _extent_offset(header)
    if directions is None and origin is None and offset is None:
        return _on_same_grid(path, values, shape)
    sign = np.array(TO_LPS.get(str(header.get("space", "")).lower(), (1.0, 1.0, 1.0)))
    if directions is None:
        steps = header.get("spacings", np.full(values.ndim, math.nan))[axes]
        rows, columns = spacings[0] if spacings else (1.0, 1.0)
        directions = np.diag(np.where(np.isfinite(steps), steps, (columns, rows, 1.0)[: len(axes)]))
    else:
        directions = directions[axes]
    matrix = np.eye(3)
    matrix[: len(axes), : directions.shape[1]] = directions
    matrix *= sign
    start = None
    if origin is not None and np.isfinite(origin).all():
        start = np.concatenate([origin, np.zeros(3)])[:3] * sign
    volume = values.reshape(values.shape + (1,) * (3 - values.ndim))
    lengths = np.linalg.norm(matrix, axis=1)
    across = int(np.argmax(np.abs(matrix[:, 2]) / np.maximum(lengths, 1e-12)))
    plane = [axis for axis in range(3) if axis != across]
    steps = matrix[plane, :2]
    if abs(np.linalg.det(steps)) < 1e-3 * np.prod(lengths[plane]) or not lengths.all():
        raise ValueError(
            f"{path} has the axes {np.round(matrix, 4).tolist()} (LPS): expected two in the plane of the image, one "
            "across. Draw it again on the image itself."
        )
    unturned = across == 2 and bool((np.diag(steps) > 0.999 * lengths[plane]).all())
    if unturned and volume.shape == (*shape[::-1], 1):
        return _on_same_grid(path, values, shape)
    if offset is not None and (steps > -1e-3 * lengths[plane, None]).all():  # backwards it counts from another corner
        counted = offset[: len(axes)] @ matrix[: len(axes)]
        pixel = np.max([np.abs(steps).sum(axis=0), *(pair[::-1] for pair in spacings)], axis=0)
        start = agreed_place(path, start, counted, pixel)
    start = np.zeros(3) if start is None else start
    return _place(path, volume, across, steps, start[:2], shape, spacings, max_lost, max_ratio, max_misfit)


def _join_layers(path: Path, values: np.ndarray, header: Mapping[str, Any]) -> tuple[np.ndarray, list[int]]:
    """The map over its spatial axes, two or three, and which axes of the file those are."""
    unsaid, spatial = ("", "none", "???"), ("domain", "space")
    kinds = [str(kind).lower() for kind in header.get("kinds") or ["???"] * values.ndim]
    directions = header.get("space directions")
    bare = [directions is not None and bool(np.isnan(directions[axis]).any()) for axis in range(values.ndim)]
    others = [axis for axis, kind in enumerate(kinds) if bare[axis] or kind not in (*unsaid, *spatial)]
    for axis in others:
        if kinds[axis] not in (*unsaid, "list") and values.shape[axis] > 1:
            raise ValueError(
                f"{path} has {values.shape[axis]} values along an axis of kind '{kinds[axis]}': expected a label map, "
                "its layers of kind 'list'. Export the segmentation, not an image or a field."
            )
    axes = [axis for axis in range(values.ndim) if axis not in others]
    if len(axes) not in (2, 3):
        raise ValueError(
            f"{path} has {len(axes)} spatial axes: expected (W, H) or (W, H, 1). Export the map of one projection."
        )
    return np.logical_or.reduce(values, axis=tuple(others)), axes


def _place(
    path: Path,
    volume: np.ndarray,
    across: int,
    steps: np.ndarray,
    origin: np.ndarray,
    shape: tuple[int, int],
    spacings: Sequence[tuple[float, float]],
    max_lost: float,
    max_ratio: float,
    max_misfit: float,
) -> np.ndarray:
    """Sample a map on the image's grid.

    Args:
        volume: (I, J, K) bool in any order of axes, ``across`` being the one through the image.
        steps: (2, 2), the other two axes' steps along x and y, mm.
        origin: x and y of the first pixel's centre, mm.
    """
    slices = volume.shape[across]
    plane = np.logical_or.reduce(volume, axis=across)
    lengths = np.linalg.norm(steps, axis=1)
    down = int(np.argmax(np.abs(steps[:, 1]) / lengths))  # the axis of the map that runs along the image's columns
    own = np.array([lengths[down], lengths[1 - down]])
    same_size = (plane.shape[down], plane.shape[1 - down]) == shape
    spacing = own if same_size else fitting_spacing(path, spacings, own, max_ratio, max_misfit)
    ratio = spacing / own
    if slices > max(1, round(float(ratio.max()))):
        raise ValueError(
            f"{path} has {slices} slices: expected one, as a projection image has. It is probably a volume's."
        )
    to_image = (steps[:, ::-1] / spacing).T  # columns: the map's axes in (row, column) of the image
    start = origin[::-1] / spacing
    size = np.abs(to_image) @ np.array(plane.shape)
    if (size > np.array(shape) * (1 + max_lost) + 2).any():
        raise ValueError(
            f"{path} spans {size[1]:.0f} x {size[0]:.0f} pixels of the image, which has {shape[1]} x {shape[0]}: "
            "expected no more. It is probably another image's: rename it, or save it again on this one."
        )
    drawn = np.argwhere(plane)
    centres = drawn @ to_image.T + start
    outside = ((centres < -0.5) | (centres >= np.array(shape) - 0.5)).any(axis=1)
    if outside.mean() > max_lost:
        (top, left), (bottom, right) = centres.min(axis=0), centres.max(axis=0)
        raise ValueError(
            f"{path} lies in rows {top:.0f} to {bottom:.0f}, columns {left:.0f} to {right:.0f}, {outside.mean():.0%} "
            f"of it outside the image of {shape[1]} x {shape[0]} pixels: expected at most {max_lost:.0%}. It is "
            "probably another image's: rename it, or save it again on this one."
        )
    # one sample at the pixel's centre, or as many as the finer map has pixels in it
    samples = np.maximum(1, np.ceil(ratio - 0.01)).astype(int)
    first = np.clip(np.floor(centres.min(axis=0)) - 1, 0, shape).astype(int)
    last = np.clip(np.ceil(centres.max(axis=0)) + 2, 0, shape).astype(int)
    back = np.linalg.inv(to_image)
    corner = drawn.min(axis=0)
    cropped = plane[tuple(slice(low, high + 1) for low, high in zip(corner, drawn.max(axis=0), strict=True))]
    hits = np.zeros(last - first, np.int32)
    for part in np.ndindex(*samples):
        at = first + (np.array(part) + 0.5) / samples - 0.5
        offset = np.round(back @ (at - start) - corner, 6)  # so that the last bits do not decide a tie
        hits += ndimage.affine_transform(
            cropped.astype(np.uint8), back, offset, output_shape=hits.shape, order=0, mode="grid-constant"
        )
    lesion = np.zeros(shape, bool)
    lesion[first[0] : last[0], first[1] : last[1]] = 2 * hits >= samples.prod()
    return not_empty(path, lesion)


def _extent_offset(header: Mapping[str, Any]) -> np.ndarray | None:
    """Slicer's place of a cropped extent, in pixels of the map's own grid along its spatial axes."""
    try:
        offset = np.array([int(part) for part in str(header["Segmentation_ReferenceImageExtentOffset"]).split()])
    except (KeyError, ValueError):
        return None
    return offset if len(offset) == 3 else None


def _on_same_grid(path: Path, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(W, H) or (W, H, 1, ...) to (H, W)."""
    if values.ndim < 2 or math.prod(values.shape[2:]) != 1:
        raise ValueError(f"{path} holds an array {values.shape}: expected (W, H) or (W, H, 1). Export one slice.")
    plane = values.reshape(values.shape[:2])
    check_size(path, plane.shape, shape)
    return not_empty(path, np.ascontiguousarray(plane.T))
