"""Sending by STOW-RS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .answer import Answer, Parcel
from .association import status_text
from .dicomweb import failure, http_status, web_client
from .nodes import DicomwebNode, Unreachable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["StowSender"]

TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class StowSender:
    """Sends to a DICOMweb server.

    Args:
        node: the server.
        batch_bytes: of a request; a larger object goes alone.
    """

    def __init__(self, node: DicomwebNode, batch_bytes: int = 128 * 2**20) -> None:
        self.node, self.batch_bytes = node, batch_bytes
        self.client = web_client(node)

    def send(self, parcels: Sequence[Parcel]) -> dict[str, Answer]:
        """Send objects; returns the answer for each SOP Instance UID.

        Raises:
            Unreachable: when the server did not answer before anything was confirmed.
        """
        answers: dict[str, Answer] = {}
        for batch in self._batches(parcels):
            try:
                answers |= self._post(batch)
            except Unreachable as error:
                if not answers:
                    raise
                answers |= {parcel.sop: Answer(False, str(error), again=True) for parcel in batch}
        return answers

    def confirm(self, parcels: Sequence[Parcel], ask: bool = True) -> dict[str, Answer]:
        """A server's answer is final: nothing is left to be asked."""
        return {parcel.sop: Answer(True) for parcel in parcels}

    def _batches(self, parcels: Sequence[Parcel]) -> list[list[Parcel]]:
        batches: list[list[Parcel]] = []
        size = 0
        for parcel in parcels:
            own = parcel.path.stat().st_size
            if not batches or size + own > self.batch_bytes:
                batches.append([])
                size = 0
            batches[-1].append(parcel)
            size += own
        return batches

    def _post(self, batch: Sequence[Parcel]) -> dict[str, Answer]:
        from ...dicom.files import read_dataset

        objects = {}
        answers = {}
        for parcel in batch:
            try:
                objects[parcel.sop] = read_dataset(parcel.path)
            except Exception as error:
                answers[parcel.sop] = Answer(False, f"it cannot be read ({type(error).__name__})")
        if not objects:
            return answers
        try:
            told = self.client.store_instances(list(objects.values()))
        except Exception as error:
            return answers | self._refused([parcel for parcel in batch if parcel.sop in objects], error)
        return answers | _read_answer(told, list(objects))

    def _refused(self, batch: Sequence[Parcel], error: Exception) -> dict[str, Answer]:
        status = http_status(error)
        if status is None:
            raise failure(self.node, error, "the objects") from None
        told = _body(error)
        if told is not None:
            return _read_answer(told, [parcel.sop for parcel in batch])
        if status in (401, 403):
            raise failure(self.node, error, "the objects") from None
        if status not in TRY_AGAIN and len(batch) > 1:  # one of them may have spoilt it for all
            return {sop: answer for parcel in batch for sop, answer in self._post([parcel]).items()}
        reason = str(failure(self.node, error, "the object"))
        return {parcel.sop: Answer(False, reason, again=status in TRY_AGAIN) for parcel in batch}


def _body(error: Exception) -> Dataset | None:
    """The standard's answer in a failed response, where it has one (PS3.18 section 10.5.3)."""
    from pydicom.dataset import Dataset

    try:
        content = error.response.json()  # type: ignore[attr-defined]
        told = Dataset.from_json(content[0] if isinstance(content, list) else content)
        return told if "FailedSOPSequence" in told or "ReferencedSOPSequence" in told else None
    except Exception:
        return None


def _read_answer(told: Dataset, sops: Sequence[str]) -> dict[str, Answer]:
    stored = {str(item.get("ReferencedSOPInstanceUID")) for item in told.get("ReferencedSOPSequence") or []}
    refused = {
        str(item.get("ReferencedSOPInstanceUID")): int(item.get("FailureReason") or 0)
        for item in told.get("FailedSOPSequence") or []
    }
    answers = {}
    for sop in sops:
        if sop in stored:
            answers[sop] = Answer(True)
        elif sop in refused:
            code = refused[sop]
            answers[sop] = Answer(False, f"the node refuses it: {status_text(code)}", again=code & 0xFF00 == 0xA700)
        else:
            answers[sop] = Answer(False, "the node said nothing about it", again=True)
    return answers
