"""Sending by C-STORE, with storage commitment where the node offers it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from .answer import Answer, Parcel
from .association import associate, status_text
from .commitment import NO_REPORT, CommitmentReports, ask_for_commitment
from .nodes import DimseNode, Unreachable

if TYPE_CHECKING:
    from pynetdicom.association import Association

__all__ = ["StoreSender"]

CONTEXTS = 120  # PS3.8 section 7.1.1.13 allows 128 an association


class StoreSender:
    """Sends to a DIMSE node; each file goes as it lies on disk, in its own transfer syntax.

    Args:
        node: to send to.
        commitment: ask for storage commitment where the node offers it; without its report an object is stored, but
            not confirmed.
        reports: that a listener of ours takes up; None where there is none, and the node has to report on the
            association that asked.
        patience: seconds to wait for a report.
    """

    def __init__(
        self,
        node: DimseNode,
        commitment: bool = True,
        reports: CommitmentReports | None = None,
        patience: float = 60.0,
    ) -> None:
        self.node, self.commitment, self.patience = node, commitment, patience
        self.reports = reports or CommitmentReports()

    def send(self, parcels: Sequence[Parcel]) -> dict[str, Answer]:
        """Send objects; returns the answer for each SOP Instance UID.

        Raises:
            Unreachable: when there is no association, before anything was sent.
        """
        answers: dict[str, Answer] = {}
        for group in _groups(parcels):
            try:
                answers |= self._send(group)
            except Unreachable as error:
                if not answers:
                    raise
                answers |= {parcel.sop: Answer(False, str(error), again=True) for parcel in group}
        return answers

    def confirm(self, parcels: Sequence[Parcel], ask: bool = True) -> dict[str, Answer]:
        """What the node says meanwhile of objects that it stored; they are not sent again.

        Args:
            parcels: stored objects.
            ask: ask once more; otherwise only reports that came by themselves count.

        Raises:
            Unreachable: when there is no association to ask on.
        """
        if not self.commitment:
            return {parcel.sop: Answer(True, "stored; its commitment is no longer asked for") for parcel in parcels}
        sops = [parcel.sop for parcel in parcels]
        answers = dict.fromkeys(sops, NO_REPORT) | self.reports.wait(sops, 0)
        rest = [parcel for parcel in parcels if answers[parcel.sop].stored]
        if ask and rest:
            try:
                with self._associate([]) as association:
                    answers |= ask_for_commitment(association, rest, self.reports, self.patience)
            except Unreachable:
                if len(rest) == len(parcels):
                    raise
        return answers

    def _associate(self, contexts: list[tuple[str, list[str]]]) -> AbstractContextManager[Association]:
        from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
        from pynetdicom import evt
        from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

        if self.commitment:
            contexts = [*contexts, (StorageCommitmentPushModel, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])]
        return associate(self.node, contexts, [(evt.EVT_N_EVENT_REPORT, self.reports.handle)])

    def _send(self, parcels: Sequence[Parcel]) -> dict[str, Answer]:
        from pynetdicom import _config
        from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

        _config.STORE_SEND_CHUNKED_DATASET = True  # a file goes as it is, and is not held in memory
        kinds = dict.fromkeys((parcel.sop_class, parcel.transfer_syntax) for parcel in parcels)
        contexts: list[tuple[str, list[str]]] = [(sop_class, [syntax]) for sop_class, syntax in kinds]
        with self._associate(contexts) as association:
            offered = any(
                context.abstract_syntax == StorageCommitmentPushModel for context in association.accepted_contexts
            )
            answers = {parcel.sop: _store(association, parcel) for parcel in parcels}
            stored = [parcel for parcel in parcels if answers[parcel.sop].confirmed]
            if self.commitment and offered and stored:
                answers |= ask_for_commitment(association, stored, self.reports, self.patience)
        return answers


def _groups(parcels: Sequence[Parcel]) -> Iterator[list[Parcel]]:
    """Parcels whose kinds fit into the presentation contexts of one association."""
    group: list[Parcel] = []
    kinds: set[tuple[str, str]] = set()
    for parcel in parcels:
        kind = (parcel.sop_class, parcel.transfer_syntax)
        if kind not in kinds and len(kinds) == CONTEXTS:
            yield group
            group, kinds = [], set()
        group.append(parcel)
        kinds.add(kind)
    if group:
        yield group


def _store(association: Association, parcel: Parcel) -> Answer:
    if not association.is_established:
        return Answer(False, "the node ended the connection before it was sent", again=True)
    accepted = {(context.abstract_syntax, *context.transfer_syntax) for context in association.accepted_contexts}
    if (parcel.sop_class, parcel.transfer_syntax) not in accepted:
        return Answer(False, f"the node does not take this SOP class in transfer syntax {parcel.transfer_syntax}")
    try:
        code = association.send_c_store(parcel.path).get("Status")
    except Exception as error:
        return Answer(False, f"it could not be sent ({type(error).__name__})", again=True)
    if code is None:
        return Answer(False, "the node's answer was lost", again=True)
    if code == 0x0000 or code & 0xF000 == 0xB000:  # a warning: stored, with elements coerced or dropped
        return Answer(True, "" if code == 0 else f"stored with a warning: status 0x{code:04X}")
    return Answer(False, f"the node refuses it: {status_text(code)}", again=code & 0xFF00 == 0xA700)
