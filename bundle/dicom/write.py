"""A virtual DES as a DICOM object: Digital Mammography X-Ray Image - For Presentation, derived from its LE object.

By calls that pydicom 2.4 and 3 share.
"""

from __future__ import annotations

import datetime
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .carried import HISTORY, carried, legible
from .codes import BREAST, code
from .derivation import say_where_it_comes_from
from .energy import SYNTHETIC_DATA
from .mark import marked
from .source import image_laterality, lacks, missing_uids, patient_orientation, source_problems, view_code, was_lossy
from .synthesis import Form, Synthesis
from .transfer_syntax import SYNTAXES, encoded

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Form", "Synthesis", "derived_uids", "virtual_des_object", "write_object"]

MG_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"  # PS3.4, B.5
HIGHEST = 4095  # of 12 bits
EMPTY_IF_UNKNOWN = (  # type 2 in the modules that every MG object has
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "InstanceNumber", "DetectorType"),
)


def derived_uids(le: Dataset, synthesis: Synthesis, form: Form) -> tuple[str, str]:
    """The Series and the SOP Instance UID of what these weights make of an LE object, known without its pixels.

    The images of one LE series come into one derived series. Other weights, another ``image_size``, other ``options``
    or a mark give others; a transfer syntax, a number or a description does not, because it changes no pixel.

    Raises:
        ValueError: where the LE object lacks a UID.
    """
    from pydicom.uid import generate_uid

    if missing := missing_uids(le, "SeriesInstanceUID", "SOPInstanceUID"):
        raise ValueError(f"{lacks(missing)}.")
    how = (synthesis.weights, str(synthesis.image_size), synthesis.options, "marked" if form.mark else "")
    series = ("series of virtual DES", str(le.SeriesInstanceUID), *how)
    instance = ("virtual DES", str(le.SOPInstanceUID), *series)
    first, second = (str(generate_uid(entropy_srcs=["\n".join(sources)])) for sources in (series, instance))
    return first, second


def virtual_des_object(
    le: Dataset,
    pixels: NDArray[np.uint16],
    window: tuple[float, float],
    synthesis: Synthesis,
    form: Form,
    made: datetime.datetime,
) -> Dataset:
    """The whole object, its pixels encoded; :func:`write_object` writes it.

    It says again what the LE object says and what stays true, see :mod:`bundle.dicom.carried`. Where that is poor,
    there is filled in what holds for every mammogram, what the image tells (see
    :func:`bundle.dicom.source.patient_orientation`), and an empty value where the standard allows one.

    Args:
        le: the LE object, of any SOP class that :func:`bundle.dicom.energy.refusal` has nothing against: none that is
            For Processing, because the model was trained on images for presentation. Its pixels are not needed.
        pixels: (H, W) uint16, [0, 4095], on the grid of the LE object as it is stored, air dark (MONOCHROME2).
        window: (centre, width) to show them in, in the same values.
        synthesis: what made them.
        form: how they are written.
        made: when. An aware time is written in the LE object's time zone, where that says one.

    Raises:
        ValueError: with everything that is wrong with pixels and window, and all that the LE object lacks and nobody
            can make up. Nothing that it says is quoted.
    """
    header, unreadable = legible(le)
    problems = list(_pixel_problems(header, pixels, window))
    orientation = () if problems else patient_orientation(header, pixels)
    problems += source_problems(header, orientation or problems, unreadable)
    if problems:
        raise ValueError(f"{'; '.join(problems)}.")
    ds = carried(header)
    inferred = list(ds.get("PatientOrientation") or ()) != list(orientation)
    ds.PatientOrientation = list(orientation)
    for keyword in EMPTY_IF_UNKNOWN:
        if keyword not in ds:
            setattr(ds, keyword, None)
    if "AcquisitionContextSequence" not in ds:
        ds.AcquisitionContextSequence = []
    if ds.get("FrameOfReferenceUID") and "PositionReferenceIndicator" not in ds:
        ds.PositionReferenceIndicator = None
    made = _in_zone(made, ds.get("TimezoneOffsetFromUTC"))
    _say_what_it_is(ds, header, form, made)
    ds.SeriesInstanceUID, ds.SOPInstanceUID = derived_uids(header, synthesis, form)
    notes = " Patient Orientation was inferred: its source does not say it." if inferred else ""
    say_where_it_comes_from(ds, header, synthesis, made, notes)
    _show(ds, header, pixels, window, form)
    return _as_file(ds, form)


def write_object(ds: Dataset, path: str | os.PathLike) -> Path:
    """Write an object beside its place, make sure that it is on the disk, and rename it.

    Raises:
        ValueError: for a value that cannot be encoded, without quoting it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with open(beside, "wb") as file:
            ds.save_as(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        raise
    except Exception as error:
        raise ValueError(
            f"the object holds a value that cannot be written ({type(error).__name__}): export its source again."
        ) from None
    finally:
        beside.unlink(missing_ok=True)
    return path


def _pixel_problems(le: Dataset, pixels: NDArray[np.uint16], window: tuple[float, float]) -> Iterator[str]:
    grid = (le.get("Rows"), le.get("Columns"))
    if not all(isinstance(side, int) for side in grid):  # which the source is told
        grid = pixels.shape[:2]
    if pixels.dtype != np.uint16 or pixels.shape != grid or (pixels.size and pixels.max() > HIGHEST):
        what = f"{pixels.dtype} {pixels.shape} up to {pixels.max() if pixels.size else 'nothing'}"
        yield (
            f"the virtual DES is {what}, expected uint16 {grid} up to {HIGHEST}: 12 bits on the grid of the LE object"
        )
    if not (math.isfinite(window[0]) and math.isfinite(window[1]) and window[1] >= 1):
        yield f"its window is {window}, expected a finite centre and a width of 1 or more (PS3.3, C.11.2.1.2)"


def _in_zone(made: datetime.datetime, offset: Any) -> datetime.datetime:
    """A time in the zone that the object's times are in (PS3.3, C.12.1.1.8)."""
    match = re.fullmatch(r"([+-])([01]\d)([0-5]\d)", str(offset or "").strip())
    if not match:
        return made
    east = datetime.timedelta(hours=int(match[2]), minutes=int(match[3]))
    return made.astimezone(datetime.timezone(-east if match[1] == "-" else east))


def _say_what_it_is(ds: Dataset, le: Dataset, form: Form, made: datetime.datetime) -> None:
    ds.SOPClassUID = MG_FOR_PRESENTATION
    ds.Modality, ds.PresentationIntentType = "MG", "FOR PRESENTATION"
    ds.ImageType = ["DERIVED", "SECONDARY", ""]  # and no more: it is neither a subtraction nor recombined
    ds.add_new(SYNTHETIC_DATA, "CS", "YES")  # by its tag: pydicom 2.4 has no keyword for it
    ds.SeriesNumber = _series_number(le) if form.series_number is None else form.series_number
    ds.SeriesDescription = form.described
    ds.BodyPartExamined = "BREAST"
    for when in ("InstanceCreation", "Content"):
        setattr(ds, f"{when}Date", f"{made:%Y%m%d}")
        setattr(ds, f"{when}Time", f"{made:%H%M%S.%f}")
    ds.ImageLaterality = image_laterality(le)
    ds.AnatomicRegionSequence = [code(*BREAST)]
    ds.ViewCodeSequence = [view_code(le)]
    ds.OrganExposed = "BREAST"
    if not ds.get("PositionerType"):
        ds.PositionerType = "MAMMOGRAPHIC"


def _series_number(le: Dataset, shift: int = 9000) -> int:
    number = str(le.get("SeriesNumber") or "")
    return shift + (int(number) if re.fullmatch("[0-9]{1,9}", number) else 0)


def _show(ds: Dataset, le: Dataset, pixels: NDArray[np.uint16], window: tuple[float, float], form: Form) -> None:
    center, width = window
    if form.mark:
        pixels = marked(pixels, int(min(max(center + width / 2, 0), HIGHEST)))
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1  # as a DES: more X-rays are darker
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = f"{center:.8g}", f"{width:.8g}"
    burned_in = form.mark or str(le.get("BurnedInAnnotation")) == "YES"
    ds.BurnedInAnnotation = "YES" if burned_in else "NO"
    ds.LossyImageCompression = "01" if was_lossy(le) else "00"
    if not was_lossy(le):
        for keyword in HISTORY:
            ds.pop(keyword, None)
    ds.PixelData = encoded(pixels, form.transfer_syntax)
    if form.transfer_syntax == "uncompressed":
        ds["PixelData"].VR = "OW"
    else:
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True


def _as_file(ds: Dataset, form: Form) -> Dataset:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID

    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # the writer fills it in where it finds it
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = UID(SYNTAXES[form.transfer_syntax])
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    encoding = {"is_implicit_VR": False, "is_little_endian": True}
    return FileDataset("", ds, preamble=bytes(128), file_meta=meta, **encoding)
