"""What an LE object says that stays true of an image computed from it, and so is said again.

What is not listed here is left out. That is the rule for whatever speaks of the LE's grey values (VOI LUT, modality
processing, padding value, smallest and largest value, histogram, icon, real-world values), of its exposure index and
its dose (a dose monitor would count it twice), of its contrast agent (the image shows none that was measured), of how
it was scheduled, performed and named, of annotations on it (image comments, overlays, signatures), and for private
attributes, whose meaning nobody here knows.
"""

from __future__ import annotations

import copy
import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

__all__ = ["HISTORY", "carried", "legible", "sound"]

# whose image it is and to which exam it belongs: as it is, because a PACS files objects by it
EXAM = (
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "IssuerOfAccessionNumberSequence", "StudyDescription", "ProcedureCodeSequence"),
    *("ReferringPhysicianName", "ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName"),
    *("PhysiciansOfRecord", "NameOfPhysiciansReadingStudy", "ReferencedStudySequence", "RequestingService"),
    *("AdmissionID", "ServiceEpisodeID", "ServiceEpisodeDescription", "AdmittingDiagnosesDescription"),
    *("FrameOfReferenceUID", "PositionReferenceIndicator", "LongitudinalTemporalInformationModified"),
)
# of the groups of the patient and of her part in a trial, all but what speaks of a series or of an image
NOT_OF_HER = (0x00109431, 0x00120060, 0x00120071, 0x00120072, 0x00120073)
# when and under which event the breast was exposed; nothing was exposed for this image
ACQUISITION = (
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "AcquisitionNumber", "IrradiationEventUID"),
    *("InstanceNumber", "QualityControlImage", "AcquisitionContextSequence"),
)
# how the breast lay, and by which beam it was seen: the content comes from that beam
TECHNIQUE = (
    *("PatientOrientation", "ViewPosition", "BodyPartThickness", "CompressionForce", "CompressionPressure"),
    *("CompressionContactArea", "PaddleDescription", "BreastImplantPresent", "PartialView", "PartialViewDescription"),
    *("PositionerType", "PositionerPrimaryAngle", "PositionerPrimaryAngleDirection", "PositionerSecondaryAngle"),
    *("DistanceSourceToDetector", "DistanceSourceToPatient", "EstimatedRadiographicMagnificationFactor"),
    *("KVP", "ExposureTime", "ExposureTimeInuS", "XRayTubeCurrent", "XRayTubeCurrentInuA", "Exposure"),
    *("ExposureInuAs", "FocalSpots", "AnodeTargetMaterial", "FilterType", "FilterMaterial", "Grid"),
    *("FilterThicknessMinimum", "FilterThicknessMaximum"),
)
# where the pixels lie: the grid is the same
GRID = (
    *("ImagerPixelSpacing", "PixelSpacing", "PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription"),
    *("DetectorType", "FieldOfViewShape", "FieldOfViewDimensions", "FieldOfViewOrigin", "FieldOfViewRotation"),
    *("FieldOfViewHorizontalFlip", "DetectorBinning", "DetectorElementPhysicalSize", "DetectorElementSpacing"),
    *("DetectorActiveShape", "DetectorActiveDimensions", "DetectorActiveOrigin"),
    *("CollimatorShape", "CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge"),
    *("CollimatorUpperHorizontalEdge", "CollimatorLowerHorizontalEdge", "CenterOfCircularCollimator"),
    *("RadiusOfCircularCollimator", "VerticesOfThePolygonalCollimator"),
)
# what the pixels have been through cannot be undone
HISTORY = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
TEXT = ("LO", "LT", "PN", "SH", "ST", "UC", "UT")
FORMS = {  # of values, PS3.5, 6.2
    "CS": "[A-Z0-9_ ]{0,16}",
    "SH": "[^\\x00-\\x1f]{1,16}",
    "LO": "[^\\x00-\\x1f]{1,64}",
    "DA": "[0-9]{8}",
    "TM": r"[0-9]{2}([0-9]{2}){0,2}([.][0-9]{1,6})? *",
    "DT": "[0-9]{4}[0-9.+-]{0,22} *",
    "UI": "[0-9.]{1,64}",
}
NUMBERS = ("DS", "FD", "FL", "IS", "SL", "SS", "UL", "US")


def legible(le: Dataset) -> tuple[Dataset, list[str]]:
    """A decoded copy of a header, without pixels and overlays, and what of patient and exam cannot be decoded.

    pydicom decodes a value when it is asked for, and what a damaged one makes it raise may quote it: so it is done
    here, once. Another value that cannot be decoded counts as not given.

    Returns:
        (header, keywords).
    """
    from pydicom.datadict import keyword_for_tag
    from pydicom.dataset import Dataset

    header, unreadable = Dataset(), []
    if hasattr(le, "file_meta"):
        header.file_meta = le.file_meta
    for tag in list(le.keys()):
        if tag.group == 0x7FE0 or tag.group & 0xFF00 == 0x6000:
            continue
        try:
            header.add(_copied(le[tag]))
        except Exception:
            if tag in _tags(EXAM) or _is_of_her(tag):
                unreadable.append(keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})")
    return header, unreadable


def carried(header: Dataset) -> Dataset:
    """A copy of what stays true; of acquisition, technique, grid and history only what has a value of the right form.

    Args:
        header: one that is :func:`legible`.
    """
    from pydicom.dataset import Dataset

    kept = Dataset()
    for element in header:
        if element.VR == "UN":
            continue
        exam = element.tag in _tags(EXAM) or _is_of_her(element.tag)
        if exam or (element.tag in _tags(ACQUISITION, TECHNIQUE, GRID, HISTORY) and sound(element)):
            kept.add(_copied(element, private=False))
    if not kept.get("FrameOfReferenceUID"):  # of type 1, and an empty one says nothing
        for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
            kept.pop(keyword, None)
    return kept


@cache
def _tags(*groups: tuple[str, ...]) -> frozenset[int]:
    from pydicom.datadict import tag_for_keyword

    return frozenset(tag for keywords in groups for tag in map(tag_for_keyword, keywords) if tag is not None)


def _is_of_her(tag: BaseTag) -> bool:
    return tag.group in (0x0010, 0x0012) and tag.element != 0 and tag not in NOT_OF_HER


def _copied(element: DataElement, private: bool = True) -> DataElement:
    """A decoded copy: it is written in another encoding than it was read in."""
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    if element.VR != "SQ":
        if element.VR in TEXT and "\ufffd" in str(element.value):
            raise ValueError("a letter that is none in the object's character set would not be written as it was read")
        return copy.deepcopy(element)
    items = []
    for item in element.value:
        made = Dataset()
        for inner in item:
            if private or not inner.tag.is_private:
                made.add(_copied(inner, private))
        items.append(made)
    return DataElement(element.tag, "SQ", Sequence(items))


def sound(element: DataElement) -> bool:
    """Whether the value has the form of its VR (PS3.5, 6.2), as far as that can go wrong for the attributes above."""
    if element.VR == "SQ":
        return element.keyword == "AcquisitionContextSequence" or bool(element.value)
    values = [element.value] if isinstance(element.value, str) or element.VM < 2 else list(element.value)
    if not values or all(value in (None, "") for value in values):
        return False
    if element.VR in NUMBERS:
        return not any(isinstance(value, str) for value in values)  # pydicom gives as text what is no number
    return element.VR not in FORMS or all(re.fullmatch(FORMS[element.VR], str(value)) for value in values)
