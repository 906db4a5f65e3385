"""Objects by DICOMweb: QIDO-RS finds, WADO-RS fetches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...dicom.uid import is_uid
from .dicomweb import failure, web_client
from .nodes import DicomwebNode, Unreachable
from .selection import Instance, Selection
from .whole import write_whole

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["DicomwebSource"]

UID_TAGS = {"search_for_studies": "0020000D", "search_for_series": "0020000E", "search_for_instances": "00080018"}
PAGE = 200  # answers a request


class DicomwebSource:
    """The objects of a DICOMweb server.

    Args:
        node: the server.
    """

    def __init__(self, node: DicomwebNode) -> None:
        self.node = node
        self.client = web_client(node)

    def __enter__(self) -> DicomwebSource:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def find(self, selection: Selection) -> Iterator[tuple[Instance | None, Dataset]]:
        """Each object with what the server tells of it without its pixels; None for an answer without a proper UID.

        Raises:
            Unreachable: when the server does not answer.
        """
        for study in self._search("search_for_studies", filters=selection.study_keys()):
            of_study = {"study_instance_uid": str(study.get("StudyInstanceUID") or "")}
            if not is_uid(of_study["study_instance_uid"]):
                yield None, study
                continue
            for series in self._search("search_for_series", {"Modality": selection.modality}, **of_study):
                if str(series.get("Modality") or selection.modality) != selection.modality:
                    continue
                of_series = of_study | {"series_instance_uid": str(series.get("SeriesInstanceUID") or "")}
                if not is_uid(of_series["series_instance_uid"]):
                    yield None, series
                    continue
                for found in self._search("search_for_instances", {}, **of_series):
                    for name, word in (("study", "StudyInstanceUID"), ("series", "SeriesInstanceUID")):
                        setattr(found, word, of_series[f"{name}_instance_uid"])
                    yield Instance.of_answer(found), found

    def _search(self, method: str, filters: dict[str, str], **uids: str) -> Iterator[Dataset]:
        from pydicom.dataset import Dataset

        seen: set[str] = set()
        offset = 0
        while True:  # up to an empty page: a server may give fewer answers than were asked for
            try:
                search = getattr(self.client, method)
                answers = search(search_filters=filters, limit=PAGE, offset=offset, **uids)
            except Exception as error:
                raise failure(self.node, error, "the search") from None
            if not answers:
                return
            offset += len(answers)
            fresh = {json.dumps(answer.get(UID_TAGS[method])): answer for answer in answers}
            fresh = {uid: answer for uid, answer in fresh.items() if uid not in seen}
            if not fresh:
                raise Unreachable(f"{self.node} gives the same answers again, so that the rest cannot be found.")
            seen |= fresh.keys()
            yield from map(Dataset.from_json, fresh.values())

    def header(self, instance: Instance, found: Dataset) -> Dataset:
        """All of an object but its pixels; what the search told, where the server gives no metadata."""
        from pydicom.dataset import Dataset

        try:
            answer = self.client.retrieve_instance_metadata(instance.study, instance.series, instance.sop)
            return Dataset.from_json(answer[0] if isinstance(answer, list) else answer)
        except Exception:
            return found

    def fetch(self, instances: Sequence[Instance], root: Path) -> Iterator[tuple[Instance, str]]:
        """Fetch objects into a tree as the server has them; yields each with why it is not there, or ""."""
        for instance in instances:
            yield instance, self._fetch(instance, root)

    def _fetch(self, instance: Instance, root: Path) -> str:
        from pydicom import dcmwrite
        from pydicom.filebase import DicomBytesIO

        try:
            uids = (instance.study, instance.series, instance.sop)
            ds = self.client.retrieve_instance(*uids, media_types=(("application/dicom", "*"),))
            if Instance.of(ds) != instance:
                return "the server sent another object"
            with DicomBytesIO() as content:
                dcmwrite(content, ds)
                write_whole(instance.path(root), content.getvalue())
        except OSError as error:
            return str(failure(self.node, error, "the object")) if not error.errno else f"{error.strerror}"
        except Exception as error:
            return f"what the server sent cannot be read ({type(error).__name__})"
        return ""
