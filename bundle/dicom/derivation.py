"""Where a virtual DES comes from, in the words of its header: source image, derivation, equipment."""

from __future__ import annotations

import copy
import datetime
from typing import TYPE_CHECKING

from .carried import sound
from .codes import SCHEME, SYNTHESIS, code
from .source import detector_spacing
from .synthesis import Synthesis

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["derivation_text", "say_where_it_comes_from"]

UNIT = (  # of General Equipment, what is said of the mammography unit
    *("InstitutionName", "InstitutionAddress", "StationName", "InstitutionalDepartmentName"),
    *("ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"),
)


def say_where_it_comes_from(
    ds: Dataset, le: Dataset, synthesis: Synthesis, made: datetime.datetime, notes: str = ""
) -> None:
    """Fill General Reference, General Equipment and what SOP Common says of equipment and codes.

    The equipment of the object is the software that made it. The mammography unit is Contributing Equipment, because
    nobody must take the image for one of that unit's own.
    """
    from pydicom.dataset import Dataset

    def reference() -> Dataset:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = le.SOPClassUID, le.SOPInstanceUID
        return item

    source, series, scheme, software = reference(), Dataset(), Dataset(), Dataset()
    source.SpatialLocationsPreserved = "YES"
    source.PurposeOfReferenceCodeSequence = [code("121322", "DCM", "Source image for image processing operation")]
    ds.SourceImageSequence = [source]
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = le.SeriesInstanceUID, [reference()]
    ds.ReferencedSeriesSequence = [series]
    ds.DerivationDescription = derivation_text(le, synthesis) + notes
    ds.DerivationCodeSequence = [code(*SYNTHESIS)]
    scheme.CodingSchemeDesignator, scheme.CodingSchemeName = SCHEME, "Codes of the software seg-cyclegan-cesm"
    ds.CodingSchemeIdentificationSequence = [scheme]

    ds.Manufacturer, ds.ManufacturerModelName = synthesis.manufacturer, synthesis.model
    ds.SoftwareVersions = synthesis.version
    software.PurposeOfReferenceCodeSequence = [code("109100", "DCM", "Synthesizing Equipment")]
    software.Manufacturer, software.ManufacturerModelName = synthesis.manufacturer, synthesis.model
    software.SoftwareVersions = synthesis.version
    software.ContributionDateTime = f"{made:%Y%m%d%H%M%S.%f}"
    software.ContributionDescription = f"Synthesised the image by weights of SHA-256 {synthesis.weights}"
    ds.ContributingEquipmentSequence = [software, *_unit(le)]


def _unit(le: Dataset) -> list[Dataset]:
    from pydicom.dataset import Dataset

    if "Manufacturer" not in le or not sound(le["Manufacturer"]):  # of type 1 in an item
        return []
    unit = Dataset()
    unit.PurposeOfReferenceCodeSequence = [code("109101", "DCM", "Acquisition Equipment")]
    for keyword in ("Manufacturer", *UNIT):
        if keyword in le and sound(le[keyword]):
            unit.add(copy.deepcopy(le[keyword]))
    return [unit]


def derivation_text(le: Dataset, synthesis: Synthesis) -> str:
    """Derivation Description (0008,2111): what was done, and how fine the detail is that it can show."""
    rows, columns = int(le.Rows), int(le.Columns)
    spacing = max(detector_spacing(le) or (0.0,))
    side = synthesis.image_size or max(rows, columns)
    step = spacing * max(rows, columns) / side
    sides = f"{side} x {side}" if synthesis.image_size else f"the native {rows} x {columns}"
    grid = f"Its content was made at {sides} pixels of {step:.3g} mm"
    if side < max(rows, columns):
        grid += (
            f" and enlarged to {rows} x {columns} pixels of {spacing:.3g} mm: whatever is finer than {step:.3g} mm is "
            "no detail of the breast"
        )
    return (
        "SYNTHETIC virtual DES, not an acquisition, not for diagnosis. Software computed it from the one low-energy "
        "image in Source Image Sequence; nothing was subtracted, and no uptake of contrast agent was measured. "
        f"{grid}. Made by {synthesis.model} {synthesis.version}, weights SHA-256 {synthesis.weights}."
    )
