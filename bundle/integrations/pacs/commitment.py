"""Storage commitment (PS3.4 annex J): the node takes on to keep what it was sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING

from .answer import Answer, Parcel
from .association import status_text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom.association import Association
    from pynetdicom.events import Event

__all__ = ["NO_REPORT", "CommitmentReports", "ask_for_commitment"]

MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"  # the well-known instance of the push model
REMEMBERED = 1000  # transactions without a report
NO_REPORT = Answer(
    False,
    "stored, but no report of storage commitment came: register our AE title, host and port at the node, "
    "or do without (--commitment False)",
    stored=True,
)


class CommitmentReports:
    """Reports that arrive, early or late, on the association that asked or on one that the node opens to us.

    One of a transaction that this process did not ask for is ignored.
    """

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}  # by SOP Instance UID
        self._asked: dict[str, set[str]] = {}  # by transaction
        self._changed = Condition()

    def handle(self, event: Event) -> tuple[int, Dataset | None]:
        """Handler of pynetdicom's EVT_N_EVENT_REPORT."""
        report = event.event_information
        transaction = str(report.get("TransactionUID") or "")
        with self._changed:
            asked = self._asked.pop(transaction, set())
            answers = {
                str(item.ReferencedSOPInstanceUID): Answer(True) for item in report.get("ReferencedSOPSequence") or []
            }
            for item in report.get("FailedSOPSequence") or []:
                reason = f"the node does not commit to it: {status_text(int(item.get('FailureReason') or 0))}"
                answers[str(item.ReferencedSOPInstanceUID)] = Answer(False, reason)
            self._answers |= {sop: answer for sop, answer in answers.items() if sop in asked}
            self._changed.notify_all()
        return 0x0000, None

    def expect(self, transaction: str, sops: Iterable[str]) -> None:
        """Take note of a transaction's report whenever it arrives, for the last of them."""
        with self._changed:
            self._asked[transaction] = set(sops)
            for sop in self._asked[transaction]:  # what was told of an earlier object of its UID
                self._answers.pop(sop, None)
            while len(self._asked) > REMEMBERED:
                del self._asked[next(iter(self._asked))]

    def wait(self, sops: Collection[str], seconds: float) -> dict[str, Answer]:
        """Take what was told of some objects; until all of it is there, or for some seconds."""
        end = monotonic() + seconds
        with self._changed:
            while not all(sop in self._answers for sop in sops) and (left := end - monotonic()) > 0:
                self._changed.wait(left)
            return {sop: self._answers.pop(sop) for sop in sops if sop in self._answers}


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
    sops = [parcel.sop for parcel in parcels]
    reports.expect(request.TransactionUID, sops)
    try:
        status, _ = association.send_n_action(request, 1, StorageCommitmentPushModel, MODEL_INSTANCE)
        code = status.get("Status")
    except (RuntimeError, ValueError):
        code = None
    if code != 0x0000:
        told = "no answer" if code is None else status_text(code)
        lost = Answer(False, f"stored, but the node takes no request for storage commitment: {told}", stored=True)
        return dict.fromkeys(sops, lost)
    return dict.fromkeys(sops, NO_REPORT) | reports.wait(sops, seconds)
