"""What the header of an image says of itself: format, maker, side, view, energy, and words that name a woman."""

from __future__ import annotations

import os
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...dicom import headers
from ...dicom.energy import classify
from ...dicom.files import has_dicom_mark, read_dataset
from ...dicom.identity import EXAM_NUMBERS, NAMES, PATIENT_IDS, identifying_words, patient_key

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

__all__ = ["Header", "read_header"]


@dataclass(frozen=True)
class Header:
    """Of one file; empty texts where it does not say.

    ``patient`` is a hash of Patient ID (or name and birth date). ``words`` (word -> kind) and ``descriptions`` (keyword
    -> text, of a private element its tag -> text) may name a woman: they stay in memory and are never printed. An image
    of a phantom (Quality Control Image is YES) has no words.
    """

    format: str = ""
    maker: str = ""
    laterality: str = ""
    view: str = ""
    energy: str = ""
    burned_in: bool = False
    patient: str = ""
    problem: str = ""
    words: Mapping[str, str] = field(default_factory=dict, repr=False)
    descriptions: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_header(path: str | os.PathLike, shown: int = 40) -> Header:
    """The header of a file; a format without one says its name alone.

    Args:
        path: of an image.
        shown: letters of maker and model that are kept.
    """
    path = Path(path)
    if not has_dicom_mark(path):
        return Header(format=_format_by_name(path))
    try:
        ds = read_dataset(path, pixels=False)
        key, source = patient_key(ds)
        maker = " ".join(_line(ds.get(keyword)) for keyword in ("Manufacturer", "ManufacturerModelName"))
        told = [
            str(ds.get(keyword) or "").strip().upper() for keyword in ("QualityControlImage", "PatientIdentityRemoved")
        ]
        nobody = "YES" in told  # a phantom, or a pseudonym
        syntax = ds.file_meta.get("TransferSyntaxUID") if getattr(ds, "file_meta", None) else None
        return Header(
            format=f"DICOM, {getattr(syntax, 'name', None) or 'no transfer syntax'}",
            maker=textwrap.shorten(maker, shown, placeholder=" ..."),  # no half of a name, which no mask would know
            laterality=headers.laterality(ds),
            view=_line(headers.view(ds)),
            energy=_energy(ds),
            burned_in=str(ds.get("BurnedInAnnotation") or "").strip().upper() == "YES",
            patient=key if source != "study" else "",
            words={} if nobody else identifying_words(ds, shortest=2),
            descriptions=_descriptions(ds),
        )
    except Exception as error:  # whatever a damaged header makes pydicom raise
        return Header(format="DICOM", problem=f"its header cannot be read ({type(error).__name__})")


def _energy(ds: Dataset) -> str:
    """LE, DES or HE, where the header names it; a tube voltage may be that of either exposure of a DES."""
    decision = classify(ds)
    return decision.taken_for if decision.taken_for in ("LE", "DES", "HE") and decision.rule != "KVP" else ""


def _line(value: object) -> str:
    """A value to be shown; not one that, by a damaged length, swallowed the elements behind it."""
    text = str(value or "").strip("\0 ")
    return text if text.isprintable() else "(unreadable)"


def _descriptions(ds: Dataset) -> dict[str, str]:
    texts: dict[str, list[str]] = defaultdict(list)
    for element in _elements(ds):
        if text := _free_text(element):
            texts[element.keyword or str(element.tag)].append(text)
    return {place: " | ".join(said) for place, said in texts.items()}


def _elements(ds: Dataset) -> Iterator[DataElement]:
    """All elements at any depth; one that is damaged costs itself alone."""
    for tag in sorted(ds.keys()):
        try:
            element = ds[tag]
            inner = list(element.value or ()) if element.VR == "SQ" else []
        except Exception:  # whatever a damaged value makes pydicom raise
            continue
        yield element
        for item in inner:
            yield from _elements(item)


def _free_text(
    element: DataElement,
    identity: tuple[str, ...] = (*NAMES, *PATIENT_IDS, *EXAM_NUMBERS, "IssuerOfPatientID", "ClinicalTrialSubjectID"),
    staff: str = r"Physician|Operator|Performer|Creator|Author|Reader|Reviewer|Observer|Recorder|EnteredBy|Enterer",
    longest: int = 256,
) -> str:
    """Text of an element that may hold anything, "" for another, and for one that is there to name woman or staff.

    Args:
        element: of a header.
        identity: keywords that name the woman.
        staff: of the keywords that name others.
        longest: bytes of an element without a known VR that is taken for a text.
    """
    value = element.value
    if element.keyword in identity or not value or (element.VR == "PN" and re.search(staff, element.keyword)):
        return ""
    if element.VR in ("UN", "OB") and isinstance(value, bytes) and len(value) <= longest:
        try:
            text = value.decode("utf-8")
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        text = " ".join(text.strip("\0 ").split())
        return text if text.isprintable() else ""
    if element.VR not in ("LO", "SH", "ST", "LT", "UT", "UC", "PN"):
        return ""
    several = not isinstance(value, (str, bytes)) and element.VM > 1
    return " | ".join(str(one) for one in value) if several else str(value)


def _format_by_name(path: Path) -> str:
    name = path.name.lower()
    named = {(".nii", ".nii.gz"): "NIfTI", (".nrrd",): "NRRD", (".png",): "PNG", (".jpg", ".jpeg"): "JPEG"}
    return next((kind for suffixes, kind in named.items() if name.endswith(suffixes)), "unknown")
