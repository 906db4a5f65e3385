"""A lesion map as DICOM segmentation (PS3.3 A.51): one BINARY segment on the DES image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ..case import PhantomCase
from .dicom_file import write_dicom
from .dicom_header import MG_FOR_PRESENTATION, dataset, headers, patient_and_study, uid
from .form import Settings

__all__ = ["write_dicom_seg"]

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"


def _code(value: str, scheme: str, meaning: str) -> list[Dataset]:
    return [dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def write_dicom_seg(path: Path, lesion: NDArray[np.bool_], case: PhantomCase, settings: Settings) -> None:
    """Write a map (rows, columns), uncompressed; its only frame says that it was drawn on the DES image."""
    des = headers(case, settings)["des"]
    series, organisation = (uid(case, settings, what, "SEG") for what in ("series", "dimensions"))
    image = {"ReferencedSOPClassUID": MG_FOR_PRESENTATION, "ReferencedSOPInstanceUID": des["SOPInstanceUID"]}
    source = dataset(
        **image,
        SpatialLocationsPreserved="YES",
        PurposeOfReferenceCodeSequence=_code("121322", "DCM", "Source Image for Image Processing Operation"),
    )
    derivation = dataset(DerivationCodeSequence=_code("113076", "DCM", "Segmentation"), SourceImageSequence=[source])
    frame = dataset(
        DerivationImageSequence=[derivation],
        FrameContentSequence=[dataset(DimensionIndexValues=[1])],
        SegmentIdentificationSequence=[dataset(ReferencedSegmentNumber=1)],
    )
    measures = dataset(SliceThickness=1, PixelSpacing=des["ImagerPixelSpacing"])
    segment = dataset(
        SegmentNumber=1,
        SegmentLabel="lesion",
        SegmentAlgorithmType="MANUAL",
        SegmentedPropertyCategoryCodeSequence=_code("49755003", "SCT", "Morphologically Abnormal Structure"),
        SegmentedPropertyTypeCodeSequence=_code("52988006", "SCT", "Lesion"),
    )
    dimension = dataset(
        DimensionOrganizationUID=organisation,
        DimensionIndexPointer=0x0062000B,  # Referenced Segment Number
        FunctionalGroupPointer=0x0062000A,  # Segment Identification Sequence
        DimensionDescriptionLabel="Referenced Segment Number",
    )
    rows, columns = lesion.shape
    bits = np.packbits(lesion.ravel(), bitorder="little").tobytes()
    header = patient_and_study(case, settings) | {
        "SOPClassUID": SEGMENTATION_STORAGE,
        "SOPInstanceUID": uid(case, settings, case.laterality, case.view, "SEG"),
        "SeriesInstanceUID": series,
        "SeriesNumber": 100,
        "SeriesDescription": "Lesions",
        "Modality": "SEG",
        "DeviceSerialNumber": "1",
        "SoftwareVersions": "1",
        "ImageType": ["DERIVED", "PRIMARY"],
        "ContentLabel": "LESIONS",
        "ContentDescription": "",
        "ContentCreatorName": "",
        "LossyImageCompression": "00",
        "SegmentationType": "BINARY",
        "SegmentSequence": [segment],
        "DimensionOrganizationSequence": [dataset(DimensionOrganizationUID=organisation)],
        "DimensionIndexSequence": [dimension],
        "SharedFunctionalGroupsSequence": [dataset(PixelMeasuresSequence=[measures])],
        "PerFrameFunctionalGroupsSequence": [frame],
        "ReferencedSeriesSequence": [
            dataset(SeriesInstanceUID=des["SeriesInstanceUID"], ReferencedInstanceSequence=[dataset(**image)])
        ],
        "NumberOfFrames": 1,
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": 1,
        "BitsStored": 1,
        "HighBit": 0,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": bits + b"\0" * (len(bits) % 2),
    }
    write_dicom(path, header)
