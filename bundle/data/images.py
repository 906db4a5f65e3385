"""One reader for every format that a contrast-enhanced mammogram comes in."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dicom import headers
from ..dicom.files import has_dicom_mark, read_dataset
from ..keys import MetaKeys
from .decoding import decoding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["is_image_file", "read_image"]

SUFFIXES = (".dcm", ".nii", ".nii.gz", ".nrrd", ".png", ".jpg", ".jpeg")
FORMATS = "DICOM (with or without suffix), NIfTI (.nii, .nii.gz), NRRD, PNG, JPEG"
KINDS = ("list", "vector", "RGB-color", "RGBA-color", "3-color", "4-color", "time")  # of NRRD, as far as they are named
PathLike = str | os.PathLike


def is_image_file(path: PathLike) -> bool:
    """Whether :func:`read_image` would try this file: a known suffix in any case, or ``DICM`` at byte 128.

    Hidden files and a DICOMDIR, which carries that mark too but holds no pixels, are no images.
    """
    path = Path(path)
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or path.is_dir():
        return False
    return path.name.lower().endswith(SUFFIXES) or has_dicom_mark(path)


def read_image(path: PathLike) -> tuple[np.ndarray, dict[str, Any]]:
    """Read one projection image of any supported format.

    Pixels stay where the file has them: nothing is turned or flipped, whatever an affine or EXIF entry says.
    DICOM values are rescaled (slope, intercept); MONOCHROME1 is returned in MONOCHROME2 sense, v -> low + high - v over
    the range that Bits Stored can hold, its window centre likewise, because zero padding and windowing follow.

    Returns:
        image: (H, W) float32, H the image rows, bright = dense, in the file's units.
        meta: the entries of :class:`bundle.keys.MetaKeys` and ``filename_or_obj``.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for an unknown format, colour, several frames or slices, missing or undecodable pixels.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no image file {path}. Check the datalist, or the path on the command line.")
    name = path.name.lower()
    if has_dicom_mark(path):
        image, meta = _read_dicom(path)
    elif name.endswith((".nii", ".nii.gz")):
        image, meta = _read_nifti(path)
    elif name.endswith(".nrrd"):
        image, meta = _read_nrrd(path)
    elif name.endswith((".png", ".jpg", ".jpeg")):
        image, meta = _read_picture(path)
    elif name.endswith(".dcm"):
        raise ValueError(f"{path} is named .dcm but lacks 'DICM' at byte 128: expected a DICOM file. Export it again.")
    else:
        raise ValueError(f"{path} is of no format that is read here: expected {FORMATS}. Convert it to one of them.")
    return np.array(image, np.float32, order="C"), {
        MetaKeys.LATERALITY: "",
        MetaKeys.VIEW: "",
        MetaKeys.WINDOW_CENTER: math.nan,
        MetaKeys.WINDOW_WIDTH: math.nan,
        MetaKeys.PIXEL_SPACING: (math.nan, math.nan),
        **meta,
        "filename_or_obj": str(path),
    }


def _code(value: str) -> str:
    """A code string (PS3.5, 6.2) as it is; a damaged one may have swallowed the name that stood beside it."""
    return value if re.fullmatch(r"[A-Z0-9_ ]{1,16}", value) else "unreadable"


def _syntax(ds: Dataset) -> str:
    """Name and UID of the transfer syntax."""
    from pydicom.uid import UID

    uid = UID(str(getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", "")))
    if uid.name != uid:  # the name of a registered UID is that of the registry
        return f"{uid.name} [{uid}]"
    return f"unknown [{uid if re.fullmatch('[0-9.]{1,64}', uid) else 'unreadable' if uid else 'none'}]"


def _read_dicom(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    with decoding(path, "DICOM", "Export it again."):
        ds = read_dataset(path)
        slope, intercept = float(ds.get("RescaleSlope") or 1), float(ds.get("RescaleIntercept") or 0)
        frames, samples = int(ds.get("NumberOfFrames") or 1), int(ds.get("SamplesPerPixel") or 1)
        photometric = str(ds.get("PhotometricInterpretation", "")).strip()
        center, width = headers.window(ds)
        meta = {
            MetaKeys.LATERALITY: headers.laterality(ds),
            MetaKeys.VIEW: headers.view(ds),
            MetaKeys.PIXEL_SPACING: headers.pixel_spacing(ds),
        }
    if "PixelData" not in ds:
        raise ValueError(f"{path} has no pixel data: expected a mammogram. Leave it out, or export it with its pixels.")
    if frames > 1:
        raise ValueError(f"{path} has {frames} frames: expected one projection image. Leave tomosynthesis and CT out.")
    if samples > 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        said = _code(photometric) if photometric else "no photometric interpretation"
        raise ValueError(
            f"{path} has {samples} sample(s) a pixel, {said}: expected one, "
            "MONOCHROME1 or MONOCHROME2. Export the original image, not a screen copy."
        )
    named = f"DICOM pixels of transfer syntax {_syntax(ds)}"
    with decoding(path, named, "Install python-gdcm and pyjpegls; if they are, export it again."):
        image = ds.pixel_array.astype(np.float32)
        low = -(2 ** (ds.BitsStored - 1)) if ds.PixelRepresentation else 0
        low_plus_high = (2 * low + 2**ds.BitsStored - 1) * slope + 2 * intercept
    if (slope, intercept) != (1, 0):
        image = image * np.float32(slope) + np.float32(intercept)
    if photometric == "MONOCHROME1":
        image = np.float32(low_plus_high) - image
        center = low_plus_high - center
    return image, {**meta, MetaKeys.WINDOW_CENTER: center, MetaKeys.WINDOW_WIDTH: width}


def _read_nifti(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    import nibabel

    with decoding(path, "NIfTI", "Export it again."):
        nifti = nibabel.load(path)
        volume = np.asanyarray(nifti.dataobj)  # type: ignore[attr-defined]
        columns, rows = (float(zoom) for zoom in nifti.header.get_zooms()[:2])  # type: ignore[attr-defined]
    return _single_slice(path, volume), {MetaKeys.PIXEL_SPACING: (rows, columns)}


def _read_nrrd(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """By pynrrd: ITK takes seconds to load, once in every worker, and knows neither int8 nor int64."""
    import nrrd

    with decoding(path, "NRRD", "Save it again, for instance from 3D Slicer."):
        array, header = nrrd.read(str(path))  # axes as on disk, fastest first
    kinds = header.get("kinds") or ["domain"]
    if kinds[0] not in ("domain", "space", "???"):  # layers of a .seg.nrrd, or colours, come first
        if len(array) != 1:
            kind = kinds[0] if kinds[0] in KINDS else "of an unknown kind"
            raise ValueError(
                f"{path} has {len(array)} layers ({kind}): expected one image. Lesion maps of several layers are "
                "joined by python -m scripts.prepare; export other images as one channel."
            )
        array = array[0]
    return _single_slice(path, array), {MetaKeys.PIXEL_SPACING: _nrrd_spacing(header)}


def _nrrd_spacing(header: Mapping[str, Any]) -> tuple[float, float]:
    if "space directions" in header:
        lengths = np.linalg.norm(np.atleast_2d(header["space directions"]), axis=1)
        steps = [float(length) for length in lengths if not math.isnan(length)]  # a layer axis has no direction
    else:
        steps = [float(step) for step in header.get("spacings", []) if not math.isnan(step)]
    return (steps[1], steps[0]) if len(steps) > 1 else (math.nan, math.nan)


def _single_slice(path: Path, volume: np.ndarray) -> np.ndarray:
    """(W, H, 1, ...), as NIfTI and NRRD order their axes, to (H, W)."""
    if volume.ndim < 2 or math.prod(volume.shape[2:]) != 1 or volume.dtype.names:
        raise ValueError(
            f"{path} holds an array {volume.shape} {volume.dtype}: expected one grey slice (W, H) or (W, H, 1). Export "
            "the projection image alone."
        )
    return volume.reshape(volume.shape[:2]).T


def _read_picture(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    from PIL import Image

    with decoding(path, "PNG or JPEG", "Export it again."), Image.open(path) as picture:
        depth, colour = _png_depth(path) if picture.format == "PNG" else (8, 0)
        grey = picture.mode in ("1", "L") or picture.mode.startswith("I")
        pixels = np.asarray(picture if grey else picture.convert("RGBA"))
    if depth == 16 and colour != 0:
        raise ValueError(f"{path} is a 16-bit colour PNG: expected grey. Save it as 16-bit greyscale.")
    if pixels.ndim == 3:
        red, green, blue, alpha = np.moveaxis(pixels, -1, 0)
        if not (np.array_equal(red, green) and np.array_equal(red, blue) and (alpha == 255).all()):
            raise ValueError(
                f"{path} is a colour picture ({picture.mode}): expected grey. Export it without annotations."
            )
        pixels = red
    return pixels, {}


def _png_depth(path: Path) -> tuple[int, int]:
    """Bit depth and colour type of a PNG (ISO 15948, 11.2.2); pillow shortens 16-bit colour to 8 bits in silence."""
    with path.open("rb") as file:
        start = file.read(26)
    return start[24], start[25]
