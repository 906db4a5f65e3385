"""What the headers of a phantom exam say.

The *values* that readers decide by follow a GE CESM exam; whatever names an origin says that this is a phantom.
"""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from ..case import VIEWS, PhantomCase
from ..spectra import RH_AG_34
from .form import PHANTOM, Settings, patient_number, window

__all__ = ["MG_FOR_PRESENTATION", "dataset", "headers", "patient_and_study", "uid"]

MG_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"  # DICOM PS3.4 B.5
# DICOM PS3.16 CID 4014, SNOMED CT
VIEW_CODES = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
# where a row and a column lead: A anterior, P posterior, F feet
ORIENTATIONS = {("L", "CC"): "AR", ("R", "CC"): "PL", ("L", "MLO"): ("A", "FR"), ("R", "MLO"): ("P", "FL")}
ENERGIES: dict[str, dict[str, Any]] = {
    "le": {
        "ImageType": ["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"],
        "AcquisitionDeviceProcessingCode": "GEMS_FFDM_PV",
        "KVP": RH_AG_34.le.kvp,
        "SeriesNumber": 1,
        "SeriesDescription": "Low energy",
    },
    "des": {
        "ImageType": ["DERIVED", "PRIMARY", "", "RECOMBINED"],
        "AcquisitionDeviceProcessingCode": "GEMS_CESM_1",
        "KVP": RH_AG_34.he.kvp,
        "SeriesNumber": 2,
        "SeriesDescription": "Recombined",
    },
    "he": {
        "ImageType": ["ORIGINAL", "PRIMARY", "", "HIGH_ENERGY"],
        "KVP": RH_AG_34.he.kvp,
        "SeriesNumber": 3,
        "SeriesDescription": "High energy",
    },
}


def dataset(**values: Any) -> Dataset:
    """A dataset by keywords."""
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def uid(case: PhantomCase, settings: Settings, *what: str) -> str:
    """A UID that depends on the seed, the woman, the size of the images and ``what``; not on form or syntax."""
    origin = (settings.seed, patient_number(case), settings.image_size, *what)
    return generate_uid(entropy_srcs=["CESM phantom", *map(str, origin)])


def patient_and_study(case: PhantomCase, settings: Settings) -> dict[str, Any]:
    """What all objects of a woman's exam share."""
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        **dict.fromkeys(("StudyDate", "SeriesDate", "ContentDate"), "20000101"),
        **dict.fromkeys(("StudyTime", "ContentTime"), "120000"),
        "AccessionNumber": "",
        "Manufacturer": "seg-cyclegan-cesm",
        "ManufacturerModelName": "CESM phantom",
        "ReferringPhysicianName": "",
        "StudyDescription": "CESM phantom",
        "PatientName": f"PHANTOM^{case.patient_id}",
        "PatientID": case.patient_id,
        "PatientBirthDate": "",
        "PatientSex": "F",
        "PatientComments": PHANTOM,
        "StudyInstanceUID": uid(case, settings, "study"),
        "StudyID": "1",
        "InstanceNumber": VIEWS.index((case.laterality, case.view)) + 1,
    }


def headers(case: PhantomCase, settings: Settings) -> dict[str, dict[str, Any]]:
    """The header of the "le", the "des" and the "he" image, keyword to value, without its pixels."""
    laterality, view = case.laterality, case.view
    code, meaning = VIEW_CODES[view]
    common = patient_and_study(case, settings) | {
        "SOPClassUID": MG_FOR_PRESENTATION,
        "AcquisitionDate": "20000101",
        "AcquisitionTime": "120000",
        "Modality": "MG",
        "PresentationIntentType": "FOR PRESENTATION",
        "ImageComments": PHANTOM,
        "BodyPartExamined": "BREAST",
        "BodyPartThickness": round(case.breast.compressed, 1),
        "PatientOrientation": list(ORIENTATIONS[laterality, view]),
        "ImageLaterality": laterality,
        "ViewPosition": view,
        "ViewCodeSequence": [dataset(CodeValue=code, CodingSchemeDesignator="SCT", CodeMeaning=meaning)],
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
        "RescaleType": "US",
        "PresentationLUTShape": "IDENTITY",
        "LossyImageCompression": "00",
        "BurnedInAnnotation": "NO",
        "QualityControlImage": "YES",
        "ImagerPixelSpacing": [round(case.breast.spacing, 6)] * 2,
    }
    made = {}
    for key, energy in ENERGIES.items():
        center, width = window(case, key)
        made[key] = common | energy
        made[key] |= {
            "SOPInstanceUID": uid(case, settings, laterality, view, key.upper()),
            "SeriesInstanceUID": uid(case, settings, "series", key.upper()),
            "WindowCenter": center,
            "WindowWidth": width,
        }
    sources = (made["le"]["SOPInstanceUID"], made["he"]["SOPInstanceUID"])
    made["des"]["SourceImageSequence"] = [
        dataset(ReferencedSOPClassUID=MG_FOR_PRESENTATION, ReferencedSOPInstanceUID=source) for source in sources
    ]
    return made
