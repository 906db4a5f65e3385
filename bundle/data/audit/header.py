"""What the header of an image says of itself: format, maker, side, view, energy, and words that name a woman."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...dicom import headers
from ...dicom.energy import classify
from ...dicom.files import has_dicom_mark, read_dataset
from ...dicom.identity import identifying_words, patient_key

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Header", "energy_by_name", "read_header"]


@dataclass(frozen=True)
class Header:
    """Of one file; empty texts where it does not say.

    ``patient`` is a hash of Patient ID (or name and birth date). ``words`` (word -> kind) and ``descriptions`` (keyword
    -> text) may name a woman: they stay in memory and are never printed.
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


def read_header(path: str | os.PathLike, described: str = r"(Description|Comments?|ProtocolName|History)$") -> Header:
    """The header of a file; a format without one says its name alone.

    Args:
        path: of an image.
        described: keywords of the DICOM elements, at any depth, that hold free text.
    """
    path = Path(path)
    if not has_dicom_mark(path):
        return Header(format=_format_by_name(path))
    try:
        ds = read_dataset(path, pixels=False)
        key, source = patient_key(ds)
        syntax = ds.file_meta.get("TransferSyntaxUID") if getattr(ds, "file_meta", None) else None
        return Header(
            format=f"DICOM, {getattr(syntax, 'name', None) or 'no transfer syntax'}",
            maker=" ".join(_line(ds.get(keyword)) for keyword in ("Manufacturer", "ManufacturerModelName")),
            laterality=headers.laterality(ds),
            view=_line(headers.view(ds)),
            energy=_energy(ds),
            burned_in=str(ds.get("BurnedInAnnotation") or "").strip().upper() == "YES",
            patient=key if source != "study" else "",
            words=identifying_words(ds),
            descriptions=_descriptions(ds, re.compile(described)),
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


def _descriptions(ds: Dataset, described: re.Pattern[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for element in ds.iterall():
        if described.search(element.keyword) and element.VR != "SQ" and element.value:
            texts[element.keyword] = f"{texts.get(element.keyword, '')} {element.value}".strip()
    return texts


def _format_by_name(path: Path) -> str:
    name = path.name.lower()
    named = {(".nii", ".nii.gz"): "NIfTI", (".nrrd",): "NRRD", (".png",): "PNG", (".jpg", ".jpeg"): "JPEG"}
    return next((kind for suffixes, kind in named.items() if name.endswith(suffixes)), "unknown")


def energy_by_name(
    name: str,
    le_words: tuple[str, ...] = ("DM", "LE", "LOW", "LOWENERGY"),
    des_words: tuple[str, ...] = ("CM", "DES", "RECOMBINED", "SUBTRACTED", "SUBTRACTION"),
) -> str:
    """ "LE" or "DES" by the words of a file name, "" where they say neither or both.

    Args:
        name: of the file, ``P1_L_DM_CC.jpg``, ``P96_76_RMLO_LOW_ENERGY.nrrd``.
        le_words, des_words: in capitals, as they stand between ``_``, ``-``, ``.`` and blanks.
    """
    words = set(re.split(r"[^A-Z0-9]+", Path(name).name.upper()))
    said = [kind for kind, known in (("LE", le_words), ("DES", des_words)) if words & set(known)]
    return said[0] if len(said) == 1 else ""
