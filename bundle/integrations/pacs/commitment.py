"""Storage commitment (PS3.4 annex J): the node takes on to keep what it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING

from .answer import Answer, Parcel
from .association import status_text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom.association import Association
    from pynetdicom.events import Event

__all__ = ["CommitmentReports", "ask_for_commitment"]

MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"  # the well-known instance of the push model


class CommitmentReports:
    """Reports that arrive, on the association that asked or on one that the node opens to us."""

    def __init__(self) -> None:
        self._reports: dict[str, dict[str, Answer]] = {}
        self._awaited: set[str] = set()
        self._changed = Condition()

    def handle(self, event: Event) -> tuple[int, Dataset | None]:
        """Handler of pynetdicom's EVT_N_EVENT_REPORT."""
        report = event.event_information
        transaction = str(report.get("TransactionUID") or "")
        with self._changed:
            if transaction not in self._awaited:
                return 0x0000, None
            answers = {
                str(item.ReferencedSOPInstanceUID): Answer(True) for item in report.get("ReferencedSOPSequence") or []
            }
            for item in report.get("FailedSOPSequence") or []:
                reason = f"the node does not commit to it: {status_text(int(item.get('FailureReason') or 0))}"
                answers[str(item.ReferencedSOPInstanceUID)] = Answer(False, reason)
            self._reports[transaction] = answers
            self._changed.notify_all()
        return 0x0000, None

    def expect(self, transaction: str) -> None:
        """Take note of a transaction's report when it arrives."""
        with self._changed:
            self._awaited.add(transaction)

    def wait(self, transaction: str, seconds: float) -> dict[str, Answer] | None:
        """The report by SOP Instance UID, or None where it did not arrive in time."""
        end = monotonic() + seconds
        with self._changed:
            while transaction not in self._reports and monotonic() < end:
                self._changed.wait(max(0.0, end - monotonic()))
            self._awaited.discard(transaction)
            return self._reports.pop(transaction, None)


def ask_for_commitment(
    association: Association, parcels: Sequence[Parcel], reports: CommitmentReports, seconds: float
) -> dict[str, Answer]:
    """Ask a node to commit to objects that it stored, and wait for what it says."""
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid
    from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

    request = Dataset()
    request.TransactionUID = generate_uid()
    request.ReferencedSOPSequence = []
    for parcel in parcels:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = parcel.sop_class, parcel.sop
        request.ReferencedSOPSequence.append(item)
    reports.expect(request.TransactionUID)
    try:
        status, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, MODEL_INSTANCE)
        code = status.get("Status")
    except (RuntimeError, ValueError):
        code = None
    if code != 0x0000:
        told = "no answer" if code is None else status_text(code)
        lost = Answer(False, f"stored, but the node takes no request for storage commitment: {told}")
        return {parcel.sop: lost for parcel in parcels}
    told_of = reports.wait(request.TransactionUID, seconds)
    missing = Answer(
        False,
        "stored, but no report of storage commitment came: register our AE title, host and port at the node, "
        "or do without (--commitment False)",
    )
    return {parcel.sop: (told_of or {}).get(parcel.sop, missing) for parcel in parcels}
