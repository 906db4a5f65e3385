"""What is kept of one DICOM object: enough to tell, pair and list it, and nothing that names a woman."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.valuerep import DA, DT, TM

from ..dicom import headers
from ..dicom.energy import Decision, Rules, classify
from ..dicom.files import read_dataset
from ..dicom.identity import identifying_words, keyed, masked, patient_key

__all__ = ["ExamObject", "read_object"]

SHOWN = ("ImageType", "AcquisitionDeviceProcessingCode", "SeriesDescription", "ProtocolName", "ImageComments", "KVP")


@dataclass(frozen=True)
class ExamObject:
    """One DICOM object of ``size`` bytes.

    ``moment`` (seconds) orders the exposures of a study and ``raw_id`` finds a folder of lesion maps; neither is
    written anywhere. UIDs are kept as they are for the pairing and written as keys.
    """

    path: Path
    decision: Decision
    size: int = 0
    sop_uid: str = ""
    study_uid: str = ""
    modality: str = ""
    patient: str = ""
    patient_source: str = ""
    raw_id: str = field(default="", repr=False)
    laterality: str = ""
    view: str = ""
    rows: int = 0
    columns: int = 0
    moment: float | None = None
    number: int | None = None
    sources: tuple[str, ...] = ()
    is_original: bool = False
    spacings: tuple[tuple[float, float], ...] = ()
    window: tuple[float, float] = (float("nan"), float("nan"))
    shown: Mapping[str, Any] = field(default_factory=dict)

    @property
    def study(self) -> str:
        """A key of the study."""
        return f"S{keyed(self.study_uid)}" if self.study_uid else ""


def read_object(path: Path, rules: Rules | None = None, salt: str = "", keep_ids: bool = False) -> ExamObject:
    """Read the header of a file; one that cannot be read is "unreadable", with a reason that quotes nothing of it."""
    try:
        return _read_object(path, rules, salt, keep_ids)
    except Exception as error:
        reason = f"its header cannot be read ({type(error).__name__}): export it again"
        return ExamObject(path, Decision("unreadable", reason=reason))


def _read_object(path: Path, rules: Rules | None, salt: str, keep_ids: bool) -> ExamObject:
    ds = read_dataset(path, pixels=False)
    if not ds.get("Modality") and not ds.get("Rows"):
        reason = "it has neither a modality nor an image: it ends within its header, or is no image. Export it again"
        return ExamObject(path, Decision("unreadable", reason=reason))
    words = identifying_words(ds)
    decision = classify(ds, rules)
    rows, columns = (int(ds.get(keyword) or 0) for keyword in ("Rows", "Columns"))
    if decision.taken_for != "other" and not (rows and columns):
        decision = Decision("other", reason="it has no image: Rows and Columns are missing")
    if decision.taken_for == "unknown":
        told = "; ".join(f"{keyword} {_plain(ds.get(keyword), words)}" for keyword in SHOWN if ds.get(keyword))
        decision = Decision(
            "unknown", reason=f"{decision.reason} ({told or 'no tag speaks of it'}): name it in --overrides"
        )
    patient, source = patient_key(ds, salt)
    raw_id = str(ds.get("PatientID") or "").strip()
    syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
    return ExamObject(
        path,
        decision,
        size=path.stat().st_size,
        sop_uid=str(ds.get("SOPInstanceUID") or ""),
        study_uid=str(ds.get("StudyInstanceUID") or ""),
        modality=str(ds.get("Modality") or ""),
        patient=raw_id if keep_ids and raw_id else patient,
        patient_source=source,
        raw_id=raw_id,
        laterality=headers.laterality(ds),
        view=_plain(headers.view(ds), words),
        rows=rows,
        columns=columns,
        moment=_moment(ds),
        number=_number(ds.get("InstanceNumber")),
        sources=tuple(str(item.get("ReferencedSOPInstanceUID") or "") for item in ds.get("SourceImageSequence") or ()),
        is_original="ORIGINAL" in [str(value).upper() for value in _values(ds.get("ImageType"))],
        spacings=_spacings(ds),
        window=headers.window(ds),
        shown={
            "image_type": _plain(ds.get("ImageType"), words),
            "kvp": _plain(ds.get("KVP"), words),
            "photometric": _plain(ds.get("PhotometricInterpretation"), words),
            "transfer_syntax": _plain(getattr(syntax, "name", ""), words),
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
