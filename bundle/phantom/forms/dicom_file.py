"""DICOM files of 12-bit images in the transfer syntaxes that hospitals send."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread, uid
from pydicom.dataset import FileDataset, FileMetaDataset

from ...data.whole_files import beside
from ..case import PhantomCase
from .dicom_header import headers
from .form import Settings

__all__ = ["SYNTAXES", "write_dicom", "write_images"]

SYNTAXES = {  # the word of the command line, the UID, and GDCM's word where it compresses
    "explicit": (uid.ExplicitVRLittleEndian, ""),
    "implicit": (uid.ImplicitVRLittleEndian, ""),
    "jpeg_lossless": (uid.JPEGLosslessSV1, "JPEGLosslessProcess14_1"),
    "jpeg_ls": (uid.JPEGLSLossless, "JPEGLSLossless"),
    "jpeg2000": (uid.JPEG2000Lossless, "JPEG2000Lossless"),
    "rle": (uid.RLELossless, "RLELossless"),
}


def write_dicom(path: Path, header: Mapping[str, Any], implicit: bool = False) -> None:
    """Write an uncompressed object, its header keyword to value, by calls that pydicom 2.4 and 3 share."""
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # the writer fills it in where it finds it
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = uid.UID(header["SOPClassUID"])
    meta.MediaStorageSOPInstanceUID = header["SOPInstanceUID"]
    meta.TransferSyntaxUID = SYNTAXES["implicit" if implicit else "explicit"][0]
    meta.ImplementationClassUID = uid.PYDICOM_IMPLEMENTATION_UID
    encoding = {"is_implicit_VR": implicit, "is_little_endian": True}
    written = FileDataset(str(path), {}, preamble=b"\0" * 128, file_meta=meta, **encoding)
    for keyword, value in header.items():
        setattr(written, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    written.save_as(path)


def write_images(stem: Path, case: PhantomCase, settings: Settings) -> dict[str, Path]:
    """Write LE, DES and HE of a case as ``<stem>_LE.dcm`` and so on; returns where they lie by "le", "des", "he"."""
    paths = {}
    for key, header in headers(case, settings).items():
        paths[key] = stem.with_name(f"{stem.name}_{key.upper()}.dcm")
        image = header | _pixels(getattr(case, key))
        write_dicom(paths[key], image, implicit=settings.syntax == "implicit")
        if SYNTAXES[settings.syntax][1]:
            _compress(paths[key], settings.syntax)
    return paths


def _pixels(pixels: NDArray[np.uint16]) -> dict[str, Any]:
    rows, columns = pixels.shape
    return {
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": pixels.astype("<u2").tobytes(),
    }


def _compress(path: Path, syntax: str) -> None:
    """Compress a file without loss: the codestream is GDCM's, the header stays pydicom's."""
    import gdcm

    target, word = SYNTAXES[syntax]
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    with beside(path) as place:
        reader.SetFileName(str(path))
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, word)))
        writer.SetFileName(str(place))
        done = reader.Read()
        change.SetInput(reader.GetImage())
        done = done and change.Change()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        if not (done and writer.Write()):
            raise RuntimeError(
                f"{path} could not be compressed as {syntax}. Check python-gdcm, or take another syntax."
            )
        image, compressed = dcmread(path), dcmread(place)
        image.file_meta.TransferSyntaxUID = target
        image.PixelData = compressed.PixelData
        image["PixelData"].VR = "OB"
        image["PixelData"].is_undefined_length = True
        image.save_as(place)
