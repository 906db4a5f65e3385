"""What is kept of one DICOM object: enough to tell, pair and list it, and nothing that names a woman."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.uid import UID
from pydicom.valuerep import DA, DT, TM

from ..dicom import headers
from ..dicom.energy import Decision, Rules, classify
from ..dicom.files import read_dataset
from ..dicom.identity import identifying_words, masked

__all__ = ["ExamObject", "read_object"]

CODES = ("ImageType", "AcquisitionDeviceProcessingCode", "KVP")
FREE_TEXTS = ("SeriesDescription", "ProtocolName", "ImageComments", "AcquisitionDeviceProcessingDescription")


@dataclass(frozen=True)
class ExamObject:
    """One DICOM object of ``size`` bytes.

    ``moment`` (seconds) orders the exposures of a study; ``raw_id`` and ``raw_name`` (name and birth date) tell women
    apart and find a folder of lesion maps. None of them is written anywhere: ``patient`` and ``study`` are keys, given
    by :func:`bundle.data.exam_patients.name_patients`, which has seen all objects.
    """

    path: Path
    decision: Decision
    size: int = 0
    sop_uid: str = ""
    study_uid: str = ""
    modality: str = ""
    raw_id: str = field(default="", repr=False)
    raw_name: str = field(default="", repr=False)
    patient: str = ""
    patient_source: str = ""
    study: str = ""
    laterality: str = ""
    view: str = ""
    rows: int = 0
    columns: int = 0
    moment: float | None = None
    number: int | None = None
    sources: tuple[str, ...] = ()
    is_original: bool = False
    spacings: tuple[tuple[float, float], ...] = ()
    shown: Mapping[str, Any] = field(default_factory=dict)


def read_object(path: Path, rules: Rules | None = None) -> ExamObject:
    """Read the header of a file; one that cannot be read is "unreadable", with a reason that quotes nothing of it."""
    try:
        return _read_object(path, rules)
    except Exception as error:
        reason = f"its header cannot be read ({type(error).__name__}): export it again"
        return ExamObject(path, Decision("unreadable", reason=reason))


def _read_object(path: Path, rules: Rules | None) -> ExamObject:
    ds = read_dataset(path, pixels=False)
    if not ds.get("Modality") and not ds.get("Rows"):
        reason = "it has neither a modality nor an image: it ends within its header, or is no image. Export it again"
        return ExamObject(path, Decision("unreadable", reason=reason))
    words = identifying_words(ds, shortest=2)
    decision = classify(ds, rules)
    rows, columns = (int(ds.get(keyword) or 0) for keyword in ("Rows", "Columns"))
    if decision.taken_for != "other" and not (rows and columns):
        decision = Decision("other", reason="it has no image: Rows and Columns are missing")
    if decision.taken_for == "unknown":
        told = [f"{keyword} {_plain(ds.get(keyword), words)}" for keyword in CODES if ds.get(keyword)]
        told += [f"{keyword} given" for keyword in FREE_TEXTS if ds.get(keyword)]  # not quoted: it may name her
        said = f"{decision.reason} ({'; '.join(told) or 'no tag speaks of it'}): name it in --overrides"
        decision = Decision("unknown", reason=said)
    name, born = (str(ds.get(keyword) or "").strip() for keyword in ("PatientName", "PatientBirthDate"))
    syntax = UID(str(getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", "")))
    return ExamObject(
        path,
        decision,
        size=path.stat().st_size,
        sop_uid=str(ds.get("SOPInstanceUID") or ""),
        study_uid=str(ds.get("StudyInstanceUID") or ""),
        modality=str(ds.get("Modality") or ""),
        raw_id=str(ds.get("PatientID") or "").strip(),
        raw_name=f"{name}|{born}".casefold() if name and born else "",
        laterality=headers.laterality(ds),
        view=_plain(headers.view(ds), words),
        rows=rows,
        columns=columns,
        moment=_moment(ds),
        number=_number(ds.get("InstanceNumber")),
        sources=tuple(str(item.get("ReferencedSOPInstanceUID") or "") for item in ds.get("SourceImageSequence") or ()),
        is_original="ORIGINAL" in [str(value).upper() for value in _values(ds.get("ImageType"))],
        spacings=_spacings(ds),
        shown={
            "image_type": _plain(ds.get("ImageType"), words),
            "kvp": _plain(ds.get("KVP"), words),
            "photometric": _plain(ds.get("PhotometricInterpretation"), words),
            "transfer_syntax": syntax.name if syntax.name != syntax else "unknown",
            "manufacturer": _plain(ds.get("Manufacturer"), words),
            "model": _plain(ds.get("ManufacturerModelName"), words),
        },
    )


def _values(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value or [])


def _plain(value: Any, words: Mapping[str, str]) -> str:
    """A value for a table, on one line, without the words that name a woman.

    A damaged length makes a value swallow the elements behind it, names and all: such a one is not shown.
    """
    text = "\\".join(map(str, value)) if not isinstance(value, str) and hasattr(value, "__iter__") else str(value or "")
    line = re.sub(r"[\r\n\t\f]+", " ", text).rstrip("\0 ")
    return masked(line[:200], words).strip() if line.isprintable() else "(unreadable)"


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _spacings(ds: Any) -> tuple[tuple[float, float], ...]:
    """Distances of pixel centres (row, column) in mm: of the detector, then calibrated ones."""
    found = []
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        values = [float(number) for number in _values(ds.get(keyword))]
        if len(values) == 2:
            found.append((values[0], values[1]))
    return tuple(found)


def _moment(ds: Any) -> float | None:
    """When the exposure was made, in seconds; None where neither acquisition nor content has a time of day."""
    for date, time in (("AcquisitionDate", "AcquisitionTime"), ("ContentDate", "ContentTime")):
        clock = _parsed(TM, ds.get(time))
        if clock is not None:
            day = _parsed(DA, ds.get(date) or ds.get("StudyDate"))
            return _seconds(clock) + (day.toordinal() * 86400.0 if day is not None else 0.0)
    whole = _parsed(DT, ds.get("AcquisitionDateTime"))
    return whole.toordinal() * 86400.0 + _seconds(whole) if whole is not None else None


def _parsed(kind: Any, value: Any) -> Any:
    """A date or time as pydicom reads it; None for one that is empty or against the standard."""
    try:
        return kind(str(value).strip()) if value else None
    except ValueError:
        return None


def _seconds(clock: Any) -> float:
    return clock.hour * 3600.0 + clock.minute * 60.0 + clock.second + clock.microsecond / 1e6
