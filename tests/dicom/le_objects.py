"""LE objects to derive from."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from bundle.dicom.write import Form, Synthesis, virtual_des_object

SIZE = (64, 48)
WEIGHTS = "0123456789abcdef" * 4
MADE = datetime.datetime(2026, 3, 4, 5, 6, 7, 89)


def coded(value, scheme, meaning, **more):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    for keyword, values in more.items():
        setattr(item, keyword, values)
    return item


def whole_le(**changes) -> Dataset:
    """An LE object that says all a vendor says; None takes an attribute out."""
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTExplanation, lut.LUTData = [4096, 0, 12], "NORMAL", b"\0" * 8192
    values = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": ["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"],
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2",
        "SOPInstanceUID": "1.2.3.4.1",
        "SeriesInstanceUID": "1.2.3.4",
        "StudyInstanceUID": "1.2.3",
        "FrameOfReferenceUID": "1.2.3.9",
        "PositionReferenceIndicator": "",
        **{f"{of}Date": "20250102" for of in ("Study", "Series", "Acquisition", "Content", "InstanceCreation")},
        **{f"{of}Time": "111213" for of in ("Study", "Series", "Acquisition", "Content", "InstanceCreation")},
        "StudyID": "77",
        "StudyDescription": "CESM",
        "AccessionNumber": "ACC-9",
        "ReferringPhysicianName": "Überweiser^Anton",
        "PatientName": "Zwetschge^Élodie",
        "PatientID": "HOSP-774411",
        "PatientBirthDate": "19510203",
        "PatientSex": "F",
        "PatientAge": "073Y",
        "Modality": "MG",
        "PresentationIntentType": "FOR PRESENTATION",
        "Manufacturer": "GE MEDICAL SYSTEMS",
        "ManufacturerModelName": "Senographe Pristina",
        "InstitutionName": "Klinikum Süd",
        "StationName": "MG1",
        "DeviceSerialNumber": "S-1",
        "SoftwareVersions": ["ADS 1", "PCR 2"],
        "SeriesNumber": "3",
        "SeriesDescription": "L CC low energy",
        "ProtocolName": "CESM low energy",
        "OperatorsName": "Operator^Olga",
        "PerformedProcedureStepID": "PPS1",
        "InstanceNumber": "5",
        "AcquisitionNumber": "8",
        "IrradiationEventUID": "1.2.3.4.5",
        "ImageLaterality": "L",
        "PatientOrientation": ["A", "R"],
        "ViewPosition": "CC",
        "ViewCodeSequence": [
            coded(
                "399162004",
                "SCT",
                "cranio-caudal",
                ViewModifierCodeSequence=[coded("399161006", "SCT", "Cleavage")],
            )
        ],
        "AnatomicRegionSequence": [coded("T-04000", "SRT", "Breast")],
        "ImagerPixelSpacing": ["0.1", "0.1"],
        "PixelSpacing": ["0.094", "0.094"],
        "PixelSpacingCalibrationType": "GEOMETRY",
        "PixelSpacingCalibrationDescription": "at the breast support",
        "EstimatedRadiographicMagnificationFactor": "1.06",
        "DetectorType": "DIRECT",
        "DetectorID": "D-5",
        "FieldOfViewShape": "RECTANGLE",
        "FieldOfViewDimensions": ["6", "5"],
        "FieldOfViewOrigin": ["0", "0"],
        "FieldOfViewRotation": "0",
        "FieldOfViewHorizontalFlip": "NO",
        "CollimatorShape": "RECTANGULAR",
        "CollimatorLeftVerticalEdge": "1",
        "CollimatorRightVerticalEdge": "48",
        "CollimatorUpperHorizontalEdge": "1",
        "CollimatorLowerHorizontalEdge": "64",
        "KVP": "29",
        "ExposureTime": "800",
        "Exposure": "60",
        "AnodeTargetMaterial": "RHODIUM",
        "FilterMaterial": "SILVER",
        "BodyPartThickness": "52",
        "CompressionForce": "90",
        "PositionerType": "MAMMOGRAPHIC",
        "PositionerPrimaryAngle": "0",
        "OrganDose": "0.0123",
        "EntranceDoseInmGy": "4.5",
        "RelativeXRayExposure": "100",
        "ExposureIndex": "200",
        "Sensitivity": "1",
        "ContrastBolusAgent": "Iohexol",
        "AcquisitionDeviceProcessingCode": "GEMS_FFDM_PV",
        "AcquisitionDeviceProcessingDescription": "PV low energy",
        "ImageComments": "seen with Dr. Zwetschge",
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "PhotometricInterpretation": "MONOCHROME1",
        "PixelIntensityRelationship": "LIN",
        "PixelIntensityRelationshipSign": 1,
        "PresentationLUTShape": "INVERSE",
        "RescaleIntercept": "10",
        "RescaleSlope": "2",
        "RescaleType": "US",
        "WindowCenter": ["2360", "2000"],
        "WindowWidth": ["900", "500"],
        "WindowCenterWidthExplanation": ["NORMAL", "HARD"],
        "VOILUTFunction": "SIGMOID",
        "VOILUTSequence": [lut],
        "PixelPaddingValue": 4095,
        "SmallestImagePixelValue": 0,
        "LargestImagePixelValue": 4095,
        "SamplesPerPixel": 1,
        "Rows": SIZE[0],
        "Columns": SIZE[1],
        "BitsAllocated": 16,
        "BitsStored": 14,
        "HighBit": 13,
        "PixelRepresentation": 0,
        **changes,
    }
    le = Dataset()
    for keyword, value in values.items():
        if value is not None:
            setattr(le, keyword, value)
    le.private_block(0x0045, "GEMS_SENO_02", create=True).add_new(0x1B, "LO", "LCC")
    le.add_new(0x60000010, "US", 64)
    le.add_new(0x60003000, "OW", b"\0" * 384)
    le.add_new(0xFFFAFFFA, "SQ", [Dataset()])  # digital signatures
    le.file_meta = FileMetaDataset()
    le.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return le


def saved(le: Dataset, path: Path, implicit: bool = False) -> Path:
    """Write an LE object in one of the two uncompressed transfer syntaxes."""
    le.file_meta.FileMetaInformationGroupLength = 0  # filled in by the writer
    le.file_meta.MediaStorageSOPClassUID, le.file_meta.MediaStorageSOPInstanceUID = le.SOPClassUID, le.SOPInstanceUID
    le.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    encoding = {"is_implicit_VR": implicit, "is_little_endian": True}
    FileDataset("", le, preamble=bytes(128), file_meta=le.file_meta, **encoding).save_as(path)
    return path


def breast(size=SIZE, side="left") -> np.ndarray:
    """A half-ellipse of DES values on air."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    inside = ((rows - size[0] / 2) / (0.35 * size[0])) ** 2 + (columns / (0.55 * size[1])) ** 2 < 1
    pixels = np.where(inside, 2000 + rows % 7 + 3 * (columns % 5), 0).astype(np.uint16)
    return pixels if side == "left" else np.ascontiguousarray(pixels[:, ::-1])


def derived(
    le=None, pixels=None, window=(2085.0, 265.0), made=MADE, options="", image_size=32, weights=WEIGHTS, **form
):
    """The virtual DES of an LE object, made as said."""
    le = whole_le() if le is None else le
    pixels = breast((le.Rows, le.Columns)) if pixels is None else pixels
    synthesis = Synthesis("Seg-CycleGAN", "0.1.0", weights, image_size, options)
    return virtual_des_object(le, pixels, window, synthesis, Form(**form), made)
