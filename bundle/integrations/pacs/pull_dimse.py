"""Objects by the classic network: C-FIND finds, C-MOVE makes the node send them to us."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...dicom.uid import is_uid
from .answer import read_instance
from .association import associate, status_text
from .listener import Door, Listener
from .nodes import DimseNode, Unreachable
from .selection import Instance, Selection
from .whole import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset

__all__ = ["DimseSource"]

AT_ONCE = 32  # objects a C-MOVE
TELLING = (  # what decides which image of an exposure an object is; a node answers those it knows
    "ImageType",
    "AcquisitionDeviceProcessingCode",
    "KVP",
    "SeriesDescription",
    "PresentationIntentType",
    "Manufacturer",
    "NumberOfFrames",
)


class DimseSource:
    """The objects of a DIMSE node. To be used as a context: it listens for what the node sends.

    Args:
        node: to ask; it has to know our AE title, host and port as a destination.
        door: where we listen.
    """

    def __init__(self, node: DimseNode, door: Door) -> None:
        self.node, self.door = node, door
        self._expected: dict[str, tuple[Instance, Path]] = {}
        self.listener = Listener(door, receive=self._receive)

    def __enter__(self) -> DimseSource:
        self.listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.stop()

    def _receive(self, sop: str, content: Callable[[], bytes], _: str) -> int:
        expected, path = self._expected.get(sop, (None, None))
        arrived = content()
        try:
            if path is None or read_instance(arrived) != expected:
                return 0xA900
        except ValueError:
            return 0xA900
        write_whole(path, arrived)
        return 0x0000

    def find(self, selection: Selection) -> Iterator[tuple[Instance | None, Dataset]]:
        """Each object with what the node tells of it without its pixels; None for an answer without a proper UID.

        Raises:
            Unreachable: when the node does not answer, or refuses the search.
        """
        from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find  # type: ignore[attr-defined]

        with associate(self.node, [(Find, _uncompressed())]) as association:

            def answers(level: str, wanted: Sequence[str], **keys: str) -> list[Dataset]:
                query = _dataset(QueryRetrieveLevel=level, **dict.fromkeys(wanted, "") | keys)
                return list(self._answers(association.send_c_find(query, Find)))

            for study in answers("STUDY", ["StudyInstanceUID"], **selection.study_keys()):
                of_study = {"StudyInstanceUID": str(study.get("StudyInstanceUID") or "")}
                if not is_uid(of_study["StudyInstanceUID"]):
                    yield None, study
                    continue
                modality = {"Modality": selection.modality}
                for series in answers("SERIES", ["SeriesInstanceUID"], **of_study, **modality):
                    if str(series.get("Modality") or selection.modality) != selection.modality:
                        continue
                    of_series = of_study | {"SeriesInstanceUID": str(series.get("SeriesInstanceUID") or "")}
                    if not is_uid(of_series["SeriesInstanceUID"]):
                        yield None, series
                        continue
                    for found in answers("IMAGE", ["SOPInstanceUID", "SOPClassUID", *TELLING], **of_series):
                        for keyword, value in (of_series | modality).items():
                            setattr(found, keyword, value)
                        yield Instance.of_answer(found), found

    def _answers(self, responses: Iterator[tuple[Dataset, Dataset | None]]) -> Iterator[Dataset]:
        for status, found in responses:
            code = status.get("Status")
            if code is None:
                raise Unreachable(f"{self.node} ended the connection during the search.")
            if code in (0xFF00, 0xFF01):
                if found is not None:
                    yield found
            elif code != 0x0000:
                raise Unreachable(f"{self.node} refuses the search: {status_text(code)}.")

    def header(self, instance: Instance, found: Dataset) -> Dataset:
        """What the search told: there is no more without fetching."""
        return found

    def fetch(self, instances: Sequence[Instance], root: Path) -> Iterator[tuple[Instance, str]]:
        """Have objects sent into a tree; yields each with why it is not there, or ""."""
        for _, of_series in groupby(instances, key=lambda instance: (instance.study, instance.series)):
            rest = list(of_series)
            while rest:
                batch, rest = rest[:AT_ONCE], rest[AT_ONCE:]
                self._expected = {instance.sop: (instance, instance.path(root)) for instance in batch}
                try:
                    reason = self._move(batch)
                except Unreachable as error:
                    reason = str(error)
                for instance in batch:
                    yield instance, "" if instance.path(root).is_file() else reason or "the node did not send it"

    def _move(self, batch: Sequence[Instance]) -> str:
        from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove as Move  # type: ignore[attr-defined]

        query = _dataset(
            QueryRetrieveLevel="IMAGE",
            StudyInstanceUID=batch[0].study,
            SeriesInstanceUID=batch[0].series,
            SOPInstanceUID=[instance.sop for instance in batch],
        )
        with associate(self.node, [(Move, _uncompressed())]) as association:
            for status, _ in association.send_c_move(query, self.door.ae_title, Move):
                code = status.get("Status")
                if code is None:
                    return f"{self.node} ended the connection"
                if code not in (0xFF00, 0x0000):
                    return f"C-MOVE: {status_text(code)}"
        return ""


def _uncompressed() -> list[str]:
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    return [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


def _dataset(**values: Any) -> Dataset:
    from pydicom.dataset import Dataset

    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made
