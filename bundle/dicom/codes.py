"""Coded concepts of a derived mammogram (DICOM PS3.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["BREAST", "SCHEME", "SYNTHESIS", "VIEWS", "code"]

SCHEME = "99SEGCYCLEGAN"  # local schemes begin with 99 (PS3.16, 8.2)
SYNTHESIS = ("SYNTH-DES", SCHEME, "Synthesised from a low-energy image by a neural network")
BREAST = ("76752008", "SCT", "Breast")
VIEWS = {  # CID 4014, View for Mammography, by the abbreviations that View Position takes from it
    "CC": ("399162004", "SCT", "cranio-caudal"),
    "MLO": ("399368009", "SCT", "medio-lateral oblique"),
    "ML": ("399260004", "SCT", "medio-lateral"),
    "LM": ("399352003", "SCT", "latero-medial"),
    "LMO": ("399099002", "SCT", "latero-medial oblique"),
    "FB": ("399196006", "SCT", "caudo-cranial (from below)"),
    "SIO": ("399188001", "SCT", "superolateral to inferomedial oblique"),
    "ISO": ("441555000", "SCT", "inferomedial to superolateral oblique"),
    "XCCL": ("399192008", "SCT", "cranio-caudal exaggerated laterally"),
    "XCCM": ("399101009", "SCT", "cranio-caudal exaggerated medially"),
}


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
