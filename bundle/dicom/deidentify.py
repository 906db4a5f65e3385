"""De-identification of images by the Basic Application Level Confidentiality Profile of DICOM PS3.15, annex E.

Table E.1-1 and the dummy values of its action D are those of dicom-anonymizer. Its own walk is not used: it acts on the
top level alone (the table holds at every depth of a sequence), draws new UIDs at random in each process, empties the
UIDs of Source Image Sequence, and leaves 1 January of the year 1 where a date should be gone.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from .energy import Rules, classify
from .headers import laterality, view
from .identity import identifying_words, masked, patient_key

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

__all__ = ["deidentify_dataset", "kept_back", "new_uid"]

TEXT = ("LO", "LT", "SH", "ST", "UC", "UT")
TIMES = ("DA", "DT", "TM")
NUMBERS = ("DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV")
VOCABULARY = ("ClassUID", "SyntaxUID", "SchemeUID", "ContextUID", "ResourceUID")  # ends of keywords
IMAGE_TYPES = {"LE": "LOW_ENERGY", "DES": "RECOMBINED", "HE": "HIGH_ENERGY"}
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


def kept_back(ds: Dataset) -> str:
    """Why an object cannot be de-identified by its header alone, in words that quote nothing of it; "" if it can."""
    missing = [keyword for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID") if not ds.get(keyword)]
    if "DirectoryRecordSequence" in ds:
        return "it is a DICOMDIR, which lists names and places of files; make a new one of the written files"
    if missing:
        return f"it lacks {', '.join(missing)}, expected a complete DICOM object; export it again"
    if "PixelData" not in ds:
        return "it is no image (a report, a presentation or a document), and its content may name the patient"
    burned_in = str(ds.get("BurnedInAnnotation", "")).upper()
    if burned_in == "YES":
        return "Burned In Annotation is YES: its pixels may name the patient; export it without annotations"
    if str(ds.SOPClassUID).startswith(SECONDARY_CAPTURE) and burned_in != "NO":
        return "it is a screen copy that does not say that nothing is burned in; export the original image"
    if any((group, 0x0010) in ds and (group, 0x3000) not in ds for group in range(0x6000, 0x6100, 2)):
        return "it holds an overlay inside its pixel values, which may name the patient; export it without overlays"
    return ""


def new_uid(uid: str, salt: str) -> str:
    """The UID that stands for another one: HMAC-SHA-256 with the salt, as a UUID under 2.25 (PS3.5, B.2).

    What the standard has registered (SOP classes, transfer syntaxes, well-known instances) stays as it is.
    """
    from pydicom.uid import UID

    uid = str(uid).strip("\0 ")
    if not uid or UID(uid).name != uid:  # the name of a registered UID is that of the registry
        return uid
    digest = hmac.new(salt.encode(), b"UID " + uid.encode(), hashlib.sha256).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}"


def deidentify_dataset(
    ds: Dataset, salt: str, rules: Rules | None = None, edition: str = "2026c", patient: str = ""
) -> None:
    """Take the identity out of an image or a DICOM SEG, in place; pixels and transfer syntax stay.

    The woman becomes ``patient_key(ds, salt)`` in Patient ID and Patient's Name, and UIDs become those of
    :func:`new_uid`, in references too: whoever uses one salt gets the same names at every time, and nobody without it
    can go back. Beyond table E.1-1, there are removed: private attributes; whole overlay and curve groups; patient
    attributes, dates, names and URLs that the table does not list; what cannot be decoded or stands in no dictionary.
    Her name, her numbers and whatever looks like a date are masked in every text that stays.

    What a mammogram needs survives: side and view move to Image Laterality and View Position, the energy into Image
    Type, where a removed attribute alone told them. Instance Number and Source Image Sequence stay; times do not.

    Args:
        ds: the object, for which :func:`kept_back` has nothing to say.
        salt: the secret.
        rules: by which :func:`bundle.dicom.energy.classify` tells LE from DES; None for those of this bundle.
        edition: of the standard, as dicom-anonymizer knows it.
        patient: her pseudonym, where other objects tell it better than this header; "" for that of ``patient_key``.

    Raises:
        ValueError: for an empty salt, or an object that :func:`kept_back` names a reason for.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

    if not salt:
        raise ValueError("the salt is empty, expected a secret text. Leave it out for a random one.")
    if reason := kept_back(ds):
        raise ValueError(f"the object cannot be de-identified: {reason}.")
    patient = patient or patient_key(ds, salt)[0]
    side, position, kind = laterality(ds), view(ds), classify(ds, rules).taken_for
    _clean(ds, _profile(edition), identifying_words(ds, shortest=2, ordinary=()), partial(new_uid, salt=salt))
    if side and not laterality(ds):
        ds.ImageLaterality = side
    if position and not view(ds):
        ds.ViewPosition = position
    if kind in IMAGE_TYPES and classify(ds, rules).taken_for != kind:
        image_type = ds.get("ImageType") or ["DERIVED", "PRIMARY"]
        values = [image_type] if isinstance(image_type, str) else list(image_type)
        ds.ImageType = [*values, *[""] * (3 - len(values)), IMAGE_TYPES[kind]]
    ds.PatientID = ds.PatientName = patient
    method = Dataset()
    method.CodeValue, method.CodingSchemeDesignator = "113100", "DCM"  # PS3.16, CID 7050
    method.CodeMeaning = "Basic Application Confidentiality Profile"
    ds.PatientIdentityRemoved = "YES"
    ds.LongitudinalTemporalInformationModified = "REMOVED"
    ds.DeidentificationMethod = f"PS3.15 {edition} table E.1-1 by dicom-anonymizer"
    ds.DeidentificationMethodCodeSequence = [method]
    if hasattr(ds, "file_meta"):
        meta = FileMetaDataset()
        meta.FileMetaInformationGroupLength = 0  # the writer fills it in where it finds it
        meta.FileMetaInformationVersion = b"\0\1"
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
        meta.TransferSyntaxUID = ds.file_meta.TransferSyntaxUID
        meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
        ds.file_meta, ds.preamble = meta, bytes(128)  # type: ignore[attr-defined]


@cache
def _profile(edition: str) -> dict[tuple[int, ...], str]:
    """Table E.1-1: the actions D, Z, X, U, Z_D, X_Z, X_D, X_Z_D, X_Z_U_STAR; repeating groups as (group,)."""
    from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

    tables = dicom_anonymization_database_selector(f"dicomfields_{edition}")
    return {
        tag if len(tag) == 2 else tag[:1]: name.removesuffix("_TAGS")
        for name, tags in tables.items()
        if name != "ALL_TAGS"
        for tag in tags
    }


def _clean(
    ds: Dataset, profile: Mapping[tuple[int, ...], str], words: Mapping[str, str], uid: Callable[[str], str]
) -> None:
    for tag in list(ds.keys()):
        rule = profile.get((tag.group & 0xFF00,)) or profile.get((tag.group, tag.elem), "")
        try:
            kept = not tag.is_private and _cleaned(ds[tag], rule, words, uid)
        except Exception:  # what cannot be decoded cannot be cleaned either
            kept = False
        if not kept:
            del ds[tag]
        elif ds[tag].VR == "SQ":
            for item in ds[tag].value:
                _clean(item, profile, words, uid)


def _cleaned(element: DataElement, rule: str, words: Mapping[str, str], uid: Callable[[str], str]) -> bool:
    """Act on one element as its rule says; False when it has to be removed.

    Of X/Z, X/D and the like, times and sequences are removed, because no image needs those of the table; the other
    attributes get an empty or a dummy value, because DICOM SEG needs some of them.
    """
    from dicomanonymizer.simpledicomanonymizer import replace_element

    unlisted = element.tag.group == 0x0010 or element.VR in (*TIMES, "PN", "UN", "UR") or not element.keyword
    if not rule and unlisted:
        return False
    if rule == "X" or (rule.startswith("X") and element.VR in TIMES):
        return False
    if element.VR in NUMBERS and any(isinstance(one, str) for one in _values(element)):
        return False  # pydicom gives as text what it cannot read as a number
    if element.VR == "CS" and any(not re.fullmatch(r"[\w ./+-]{0,16}", str(one), re.ASCII) for one in _values(element)):
        return False  # PS3.5, 6.2; in a damaged file a longer one holds what stood behind it
    if element.VR == "SQ":
        if rule in ("Z", "X_Z"):
            element.clear()
        return rule in ("", "Z", "X_Z", "X_Z_U_STAR")
    if element.VR == "UI":
        if rule == "U" or not element.keyword.endswith(VOCABULARY):
            _change(element, uid)
    elif rule in ("Z", "X_Z"):
        element.clear()
    elif rule:
        replace_element(element)
    elif element.VR in TEXT:
        _change(element, lambda text: masked(text, words))
    return True


def _values(element: DataElement) -> list[Any]:
    if element.is_empty:
        return []
    return list(element.value) if element.VM > 1 else [element.value]


def _change(element: DataElement, new: Callable[[str], str]) -> None:
    """Put a new text in the place of each value."""
    if values := [new(str(one)) for one in _values(element)]:
        element.value = values if len(values) > 1 else values[0]
