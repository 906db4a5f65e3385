"""Associations with a DIMSE node, and why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .nodes import DimseNode, Unreachable
from .silence import keep_quiet

if TYPE_CHECKING:
    from pynetdicom.association import Association

__all__ = ["associate", "status_text"]

MEANINGS = (  # PS3.4 tables B.2-1, C.4-1 and C.4-2, PS3.7 annex C; mask, value, meaning
    (0xFFFF, 0xA801, "the destination of a C-MOVE is unknown to the node: register our AE title, host and port there"),
    (0xFF00, 0xA700, "out of resources"),
    (0xFF00, 0xA900, "the object does not fit its SOP class"),
    (0xFFFF, 0x0122, "SOP class not supported"),
    (0xFFFF, 0x0124, "not authorised"),
    (0xFFFF, 0x0110, "processing failure"),
    (0xFFFF, 0x0111, "duplicate SOP instance"),
    (0xFFFF, 0x0112, "no such object"),
    (0xFFFF, 0x0119, "class and instance do not fit"),
    (0xFFFF, 0x0131, "duplicate transaction UID"),
    (0xFFFF, 0x0213, "resource limitation"),
    (0xF000, 0xC000, "cannot understand"),
)


def status_text(status: int) -> str:
    """A status or failure reason of the standard in words; never the node's own comment, which may name a patient."""
    meaning = next((text for mask, value, text in MEANINGS if status & mask == value), "see PS3.7 annex C")
    return f"status 0x{status:04X} ({meaning})"


@contextmanager
def associate(
    node: DimseNode, contexts: Sequence[tuple[Any, Sequence[str]]], handlers: Sequence[Any] = ()
) -> Iterator[Association]:
    """An association with a node, released at the end of the block.

    Args:
        node: to call.
        contexts: abstract syntaxes and the transfer syntaxes of each, 128 at most.
        handlers: of pynetdicom's events.

    Raises:
        Unreachable: when there is none.
    """
    from pynetdicom import AE

    keep_quiet()
    ae = AE(node.calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = node.timeout
    ae.connection_timeout = min(node.timeout, 15)
    for abstract, transfer in contexts:
        ae.add_requested_context(abstract, list(transfer))
    association = ae.associate(
        node.host,
        node.port,
        ae_title=node.ae_title,
        tls_args=node.tls_args(),
        evt_handlers=list(handlers),
        max_pdu=0x10000,
    )
    if association.is_rejected:
        primitive = association.acceptor.primitive
        reason = primitive.reason_str if primitive is not None else "no reason given"
        raise Unreachable(f"{node} rejects the association as {node.calling}: {reason}.")
    if not association.is_established:
        known = association.rejected_contexts
        raise Unreachable(
            f"{node} accepts none of the presentation contexts asked for."
            if known and not association.accepted_contexts
            else f"{node} cannot be reached, or ended the connection (host, port, TLS?)."
        )
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
