"""What a form of the study on disk consists of, and what every form asks a case for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ...keys import CaseKeys
from ..case import PhantomCase
from ..presentation import DES_DISPLAY, HE_DISPLAY, LE_DISPLAY

__all__ = ["PHANTOM", "Form", "Settings", "Written", "described", "patient_number", "window"]

PHANTOM = "Computer-generated phantom, not a patient"
DISPLAYS = {"le": LE_DISPLAY, "des": DES_DISPLAY, "he": HE_DISPLAY}


@dataclass(frozen=True)
class Settings:
    """All that files depend on beside the case.

    Attributes:
        seed, image_size: of the study.
        maps: the form of lesion maps, one of the form's ``maps``.
        syntax: the transfer syntax of DICOM files, one of :data:`bundle.phantom.forms.dicom_file.SYNTAXES`.
        crop: whether CDD-CESM's images are cropped.
        num_workers: of the reader; no file depends on it.
    """

    seed: int
    image_size: int
    maps: str
    syntax: str
    crop: bool
    num_workers: int | None


class Written(NamedTuple):
    """What a case says of itself in the datalist, and what its form needs to know of it once all are written."""

    entry: dict[str, Any]
    notes: Any = None


@dataclass(frozen=True)
class Form:
    """How a study lies on disk.

    Attributes:
        write_case: writes the files of one case below the folder; side by side with other cases.
        maps: the forms of lesion maps that go with it, the default first; () where it has its own.
        dicom: whether its images are DICOM, in a transfer syntax.
        read_back: writes what is of the study as a whole, lets the form's own reader write ``datalist.json`` into the
            folder, and returns that; None where ``write_case`` has said everything already.
    """

    write_case: Callable[[Path, PhantomCase, Settings], Written]
    maps: tuple[str, ...] = ()
    dicom: bool = False
    read_back: Callable[[Path, Sequence[Written], Settings], dict[str, Any]] | None = None


def window(case: PhantomCase, key: str) -> tuple[float, float]:
    """Centre and width of the window that the "le", "des" or "he" image of a case is meant to be seen in."""
    display = DISPLAYS[key]
    return display.center, display.width


def patient_number(case: PhantomCase) -> int:
    """1 for PH0001."""
    return int(case.patient_id.removeprefix("PH"))


def described(case: PhantomCase, case_id: str, patient_id: str) -> dict[str, Any]:
    """What the datalist says of a case in every form, without its files."""
    return {
        CaseKeys.CASE_ID: case_id,
        CaseKeys.PATIENT_ID: patient_id,
        CaseKeys.LATERALITY: case.laterality,
        CaseKeys.VIEW: case.view,
        CaseKeys.MALIGNANT: case.malignant,
        "lesions": [lesion.truth() for lesion in case.lesions],
        "density": case.woman.density,
    }
