"""A study of phantom women on disk: DICOM pairs and NIfTI lesion maps in the form of real exams, and their datalist.

The header *values* that readers decide by follow a GE CESM exam; whatever names an origin says that this is a phantom.
"""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID, ExplicitVRLittleEndian, generate_uid
from tqdm import tqdm

from ..data.datalist import read_datalist, write_datalist
from ..keys import BatchKeys, CaseKeys
from .acquisition import DES_DISPLAY, LE_DISPLAY, Display
from .anatomy import Grid, Woman
from .case import VIEWS, draw_patient, exam_grid, render_case
from .spectra import RH_AG_34

__all__ = ["exam_grid", "write_study"]

PHANTOM = "Computer-generated phantom, not a patient"
MG_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"  # DICOM PS3.4 B.5
# DICOM PS3.16 CID 4014, SNOMED CT
VIEW_CODES = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
# where a row and a column lead: A anterior, P posterior, F feet
ORIENTATIONS = {("L", "CC"): "AR", ("R", "CC"): "PL", ("L", "MLO"): ("A", "FR"), ("R", "MLO"): ("P", "FL")}


def _fill(dataset: Dataset, **values: Any) -> Dataset:
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def _write_image(
    path: Path, pixels: NDArray[np.uint16], header: dict[str, Any], display: Display, spacing: float
) -> None:
    """Write a 12-bit MG image, Explicit VR Little Endian, by calls that pydicom 2.4 and 3 share."""
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0  # the writer fills it in where it finds it
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(MG_FOR_PRESENTATION)
    meta.MediaStorageSOPInstanceUID = header["SOPInstanceUID"]
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    encoding = {"is_implicit_VR": False, "is_little_endian": True}
    image = FileDataset(str(path), {}, preamble=b"\0" * 128, file_meta=meta, **encoding)
    _fill(image, **header)
    image.WindowCenter, image.WindowWidth = display.center, display.width
    image.ImagerPixelSpacing = [round(spacing, 6)] * 2
    image.Rows, image.Columns = pixels.shape
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.PixelData = pixels.astype("<u2").tobytes()
    image.save_as(path)


def _headers(
    patient_id: str, laterality: str, view: str, thickness: float, origin: tuple[Any, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the headers of LE and DES say, keyword to value; ``origin`` is all that the exam's identifiers depend on."""

    def uid(*what: str) -> str:
        return generate_uid(entropy_srcs=[str(part) for part in ("CESM phantom", *origin, *what)])

    le_uid = uid(laterality, view, "LE")
    code, meaning = VIEW_CODES[view]
    common: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": MG_FOR_PRESENTATION,
        **dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"), "20000101"),
        **dict.fromkeys(("StudyTime", "AcquisitionTime", "ContentTime"), "120000"),
        "AccessionNumber": "",
        "Modality": "MG",
        "PresentationIntentType": "FOR PRESENTATION",
        "Manufacturer": "seg-cyclegan-cesm",
        "ManufacturerModelName": "CESM phantom",
        "ReferringPhysicianName": "",
        "StudyDescription": "CESM phantom",
        "PatientName": f"PHANTOM^{patient_id}",
        "PatientID": patient_id,
        "PatientBirthDate": "",
        "PatientSex": "F",
        "PatientComments": PHANTOM,
        "ImageComments": PHANTOM,
        "BodyPartExamined": "BREAST",
        "BodyPartThickness": round(thickness, 1),
        "StudyInstanceUID": uid("study"),
        "StudyID": "1",
        "InstanceNumber": VIEWS.index((laterality, view)) + 1,
        "PatientOrientation": list(ORIENTATIONS[laterality, view]),
        "ImageLaterality": laterality,
        "ViewPosition": view,
        "ViewCodeSequence": [_fill(Dataset(), CodeValue=code, CodingSchemeDesignator="SCT", CodeMeaning=meaning)],
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
        "RescaleType": "US",
        "PresentationLUTShape": "IDENTITY",
        "LossyImageCompression": "00",
        "BurnedInAnnotation": "NO",
        "QualityControlImage": "YES",
    }
    le = {
        "ImageType": ["ORIGINAL", "PRIMARY", "", "LOW_ENERGY"],
        "AcquisitionDeviceProcessingCode": "GEMS_FFDM_PV",
        "KVP": RH_AG_34.kvp_le,
        "SOPInstanceUID": le_uid,
        "SeriesInstanceUID": uid("series", "LE"),
        "SeriesNumber": 1,
        "SeriesDescription": "Low energy",
    }
    des = {
        "ImageType": ["DERIVED", "PRIMARY", "", "RECOMBINED"],
        "AcquisitionDeviceProcessingCode": "GEMS_CESM_1",
        "KVP": RH_AG_34.kvp_he,
        "SOPInstanceUID": uid(laterality, view, "DES"),
        "SeriesInstanceUID": uid("series", "DES"),
        "SeriesNumber": 2,
        "SeriesDescription": "Recombined",
        "SourceImageSequence": [
            _fill(Dataset(), ReferencedSOPClassUID=MG_FOR_PRESENTATION, ReferencedSOPInstanceUID=le_uid)
        ],
    }
    return common | le, common | des


def _write_pair(root: Path, seed: int, patient: int, woman: Woman, number: int, grid: Grid) -> dict[str, Any]:
    """Draw and write one pair and its lesion map; returns its entry of the datalist, paths relative to ``root``."""
    laterality, view = VIEWS[number]
    case = render_case(seed, patient, woman, laterality, view, grid)
    breast, le, des = case.breast, case.le, case.des
    patient_id, case_id = case.patient_id, case.case_id
    headers = _headers(patient_id, laterality, view, breast.compressed, origin=(seed, patient, grid.rows))
    stem = f"{patient_id}/{case_id}"
    _write_image(root / f"{stem}_LE.dcm", le, headers[0], LE_DISPLAY, grid.spacing)
    _write_image(root / f"{stem}_DES.dcm", des, headers[1], DES_DISPLAY, grid.spacing)

    lesions = [lesion for lesion in woman.lesions if lesion.laterality == laterality]
    if lesions:  # 3D Slicer's form of a map on MG: (W, H, 1), LPS axes, origin 0
        affine = np.diag([-grid.spacing, -grid.spacing, 1.0, 1.0])
        nib.save(nib.Nifti1Image(breast.lesion.T[:, :, None].astype(np.uint8), affine), root / f"{stem}_SEG.nii.gz")
    return {
        CaseKeys.CASE_ID: case_id,
        CaseKeys.PATIENT_ID: patient_id,
        CaseKeys.LATERALITY: laterality,
        CaseKeys.VIEW: view,
        BatchKeys.LE: f"{stem}_LE.dcm",
        BatchKeys.DES: f"{stem}_DES.dcm",
        BatchKeys.SEG: f"{stem}_SEG.nii.gz" if lesions else None,
        CaseKeys.MALIGNANT: any(lesion.malignant for lesion in lesions) if lesions else None,
        "lesions": [lesion.truth() for lesion in lesions],
        "density": woman.density,
    }


def _is_phantom(folder: Path) -> bool:
    """Whether a folder holds a study made here, the only thing that may be replaced."""
    return (folder / "datalist.json").is_file() and "phantom" in read_datalist(folder / "datalist.json")


def write_study(
    output: str | os.PathLike,
    patients: int = 20,
    seed: int = 0,
    image_size: int = 512,
    num_workers: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a study of phantom women, each with CC and MLO views of both breasts; every second one has a lesion.

    The study is built beside its place and moved there whole, so that a killed run leaves nothing that looks like one.

    Args:
        output: the folder to make.
        patients: number of women; more of them leave the earlier ones as they are.
        seed: of anatomy, lesions and noise, 0 or more.
        image_size: rows of the images; columns and pixel spacing follow from a detector of 285 x 239.6 mm.
        num_workers: threads (NumPy and SciPy let them run side by side); None for every core. No file depends on it.
        overwrite: replace a phantom study that is already there.

    Returns:
        the path of ``datalist.json``, whose cases also name ``density`` (ACR class) and ``lesions`` (type, malignant,
        enhancing, diameter_mm).

    Raises:
        ValueError: for numbers that make no study.
        FileExistsError: when there is a study and ``overwrite`` is false, or the folder holds something else.
    """
    output = Path(output)
    for what, value, least in (("patients", patients, 1), ("seed", seed, 0), ("image_size", image_size, 64)):
        if value < least:
            raise ValueError(f"{what} is {value}, expected {least} or more.")
    if output.exists() and (output.is_file() or any(output.iterdir())):
        if not _is_phantom(output):
            raise FileExistsError(f"{output} holds something else than a phantom study. Choose another --output.")
        if not overwrite:
            raise FileExistsError(f"{output} holds a study already. Choose another --output, or pass --overwrite.")

    grid = exam_grid(image_size)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as beside:
        root = Path(beside, "study")
        pairs = []
        for patient in range(1, patients + 1):
            woman = draw_patient(seed, patient)
            pairs += [(root, seed, patient, woman, number, grid) for number in range(len(VIEWS))]
            (root / f"PH{patient:04d}").mkdir(parents=True)
        with ThreadPoolExecutor(num_workers or os.cpu_count()) as pool:
            done = pool.map(lambda pair: _write_pair(*pair), pairs)
            cases = list(tqdm(done, total=len(pairs), desc="phantom", unit="pair"))
        write_datalist(
            root / "datalist.json",
            name="CESM phantom",
            source=PHANTOM,
            licence="Apache-2.0",
            cases=cases,
            phantom={"patients": patients, "seed": seed, "image_size": image_size},
        )
        if output.exists():
            output.rename(Path(beside, "replaced"))
        root.rename(output)
    return output / "datalist.json"
