"""Which objects of a PACS are asked for, and how one of them is named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...dicom.uid import is_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Instance", "Selection"]


@dataclass(frozen=True)
class Instance:
    """One object of a PACS by its UIDs."""

    study: str
    series: str
    sop: str

    @classmethod
    def of(cls, ds: Dataset) -> Instance:
        """Of a header or an answer to a query.

        Raises:
            ValueError: when one of the UIDs is missing or none.
        """
        uids = [str(ds.get(word) or "") for word in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
        if not all(map(is_uid, uids)):
            raise ValueError("a study, series or SOP instance UID is missing or not a UID")
        return cls(*uids)

    @classmethod
    def of_answer(cls, ds: Dataset) -> Instance | None:
        """Of an answer to a query; None where one of the UIDs is missing or none."""
        try:
            return cls.of(ds)
        except ValueError:
            return None

    def path(self, root: Path) -> Path:
        """Its place in a tree by study and series."""
        return root / self.study / self.series / f"{self.sop}.dcm"


@dataclass(frozen=True)
class Selection:
    """What is asked for; "" leaves a field open. Its values name patients: they go to the node and nowhere else.

    Attributes:
        study: Study Instance UID.
        dates: of the study, YYYYMMDD or YYYYMMDD-YYYYMMDD, open at one end where it says so.
        patient_id, accession: as the PACS has them, without wildcards.
        modality: of the series.
    """

    study: str = ""
    dates: str = ""
    patient_id: str = ""
    accession: str = ""
    modality: str = "MG"

    def __post_init__(self) -> None:
        problems = []
        if self.study and not is_uid(self.study):
            problems.append("study is no UID")
        if self.dates and not re.fullmatch(r"\d{8}|\d{8}-|-\d{8}|\d{8}-\d{8}", self.dates):
            problems.append("dates are not YYYYMMDD or YYYYMMDD-YYYYMMDD")
        if not re.fullmatch(r"[A-Z0-9_ ]{1,16}", self.modality):
            problems.append("modality is no code such as MG")
        for name, value in (("patient_id", self.patient_id), ("accession", self.accession)):
            if re.search(r"[*?\\\x00-\x1f]", value):
                problems.append(f"{name} holds a wildcard or a control character")
        if not (self.study or self.dates or self.patient_id or self.accession):
            problems.append("it would ask for all there is: give a study, dates, patient_id or accession")
        if problems:
            raise ValueError("The selection cannot be used: " + "; ".join(problems) + ".")

    def study_keys(self) -> dict[str, str]:
        """The fields of the study level that are set, keyword to value."""
        keys = {
            "StudyInstanceUID": self.study,
            "StudyDate": self.dates,
            "PatientID": self.patient_id,
            "AccessionNumber": self.accession,
            "ModalitiesInStudy": self.modality if self.dates else "",  # not each study of the house
        }
        return {keyword: value for keyword, value in keys.items() if value}
