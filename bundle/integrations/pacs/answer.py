"""What a node answered to an object that was sent."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from ...dicom.files import has_dicom_mark, read_dataset
from ...dicom.uid import is_uid
from .selection import Instance

__all__ = ["Answer", "Parcel", "read_instance", "read_parcel"]

SYNTHETIC_DATA = 0x0008001C
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True)
class Answer:
    """Whether an object is safe at a node.

    Attributes:
        confirmed: the node said so.
        reason: why it did not, or may not be relied on.
        again: another attempt may succeed.
        stored: the node has it, and its commitment is awaited: it must not be sent again.
    """

    confirmed: bool
    reason: str = ""
    again: bool = False
    stored: bool = False


@dataclass(frozen=True)
class Parcel:
    """A file to be sent, and what has to be known of it."""

    path: Path
    sop: str
    sop_class: str
    transfer_syntax: str
    synthetic: bool
    study: str = ""
    patient: str = ""


def read_instance(content: bytes) -> Instance:
    """Which object a DICOM file in memory holds.

    Raises:
        ValueError: when it cannot be read, or one of its UIDs is missing or none.
    """
    from pydicom import dcmread

    tags = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    try:
        ds = dcmread(BytesIO(content), stop_before_pixels=True, specific_tags=tags)
    except Exception as error:
        raise ValueError(f"it cannot be read ({type(error).__name__})") from None
    return Instance.of(ds)


def read_parcel(path: Path) -> Parcel | None:
    """The header of a DICOM file; None for a file that is no object (another format, a DICOMDIR).

    Raises:
        ValueError: when it cannot be sent; the text names nobody.
    """
    if not has_dicom_mark(path):
        return None
    try:
        ds = read_dataset(path, pixels=False)
        meta = ds.file_meta
        if str(meta.get("MediaStorageSOPClassUID") or "") == MEDIA_DIRECTORY:
            return None
        words = (ds.get("SOPInstanceUID"), ds.get("SOPClassUID"), meta.get("TransferSyntaxUID"))
        sop, sop_class, syntax = (str(word or "") for word in words)
        synthetic = SYNTHETIC_DATA in ds and str(ds[SYNTHETIC_DATA].value).upper() == "YES"
        study, patient = str(ds.get("StudyInstanceUID") or ""), str(ds.get("PatientID") or "")
    except Exception as error:
        raise ValueError(f"it cannot be read ({type(error).__name__})") from None
    if not (is_uid(sop) and is_uid(sop_class) and is_uid(syntax)):
        raise ValueError("its SOP instance UID, SOP class UID or transfer syntax is missing or no UID")
    if (sop, sop_class) != (
        str(meta.get("MediaStorageSOPInstanceUID") or ""),
        str(meta.get("MediaStorageSOPClassUID") or ""),
    ):
        raise ValueError("its file meta information names another object than its data set")
    return Parcel(path, sop, sop_class, syntax, synthetic, study, patient)
