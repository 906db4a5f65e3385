"""What listens for associations: limits before anything is read, TLS in the thread of its client."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answer import read_instance
from .nodes import AE_TITLE, is_loopback
from .silence import keep_quiet

if TYPE_CHECKING:
    from pynetdicom.events import Event as Reported

__all__ = ["Door", "Listener"]

logger = logging.getLogger(__name__)
MAX_PDU = 0x40000
TOO_LARGE = "_cesm_too_large"


@dataclass(frozen=True)
class Door:
    """Where and for whom we listen.

    Attributes:
        host, port: to bind; port 0 takes a free one.
        ae_title: ours; a caller has to name it.
        ae_titles: callers that are let in; empty lets in every one on this machine.
        cert_file, key_file: our certificate: TLS.
        ca_file: certificates that callers must have one of.
        insecure: allow other machines without TLS.
        max_associations: at the same time.
        object_bytes: largest object that is taken.
        timeout: seconds that a caller may be silent.

    Raises:
        ValueError: when it is open to other machines without a list of callers, or without TLS and not ``insecure``.
    """

    host: str = "127.0.0.1"
    port: int = 11112
    ae_title: str = "SEG_CYCLEGAN"
    ae_titles: Sequence[str] = ()
    cert_file: str | None = None
    key_file: str | None = None
    ca_file: str | None = None
    insecure: bool = False
    max_associations: int = 10
    object_bytes: int = 512 * 2**20
    timeout: float = 60.0

    def __post_init__(self) -> None:
        problems = [
            f"AE title {title!r}, expected 1 to 16 characters of ASCII"
            for title in (self.ae_title, *self.ae_titles)
            if not AE_TITLE.fullmatch(title) or not title.strip()
        ]
        if not is_loopback(self.host):
            if not self.ae_titles:
                problems.append(
                    f"{self.host} is open to other machines: name the AE titles that may call (--ae_titles)"
                )
            if not self.cert_file and not self.insecure:
                problems.append(
                    f"{self.host} is open to other machines: give --cert_file and --key_file, or --insecure"
                )
        if problems:
            raise ValueError("The receiver is not opened: " + "; ".join(problems) + ".")

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context, or None."""
        if not self.cert_file:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.cert_file, self.key_file)
        if self.ca_file:
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class Listener:
    """Accepts objects of any storage class and, with an inbox, reports of storage commitment.

    Args:
        door: where and for whom.
        receive: takes (SOP instance UID, its file as bytes, the caller's AE title); returns the status of C-STORE.
        report: handler of N-EVENT-REPORT.
    """

    def __init__(
        self,
        door: Door,
        receive: Callable[[str, Callable[[], bytes], str], int] | None = None,
        report: Callable[[Reported], Any] | None = None,
    ) -> None:
        self.door, self.receive, self.report = door, receive, report

    def __enter__(self) -> Listener:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, from now on, in threads.

        Raises:
            OSError: when the port is taken.
        """
        from pynetdicom import AE, AllStoragePresentationContexts, evt
        from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

        keep_quiet()
        door = self.door
        self.ae = AE(door.ae_title)
        self.ae.require_called_aet = True
        self.ae.require_calling_aet = list(door.ae_titles)
        self.ae.maximum_associations = door.max_associations
        self.ae.maximum_pdu_size = MAX_PDU
        self.ae.acse_timeout = self.ae.dimse_timeout = self.ae.network_timeout = door.timeout
        self.ae.add_supported_context(Verification)
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, _bound_pdus),
            (evt.EVT_PDU_RECV, self._bound_object),
            (evt.EVT_REJECTED, self._rejected),
        ]
        if self.receive is not None:
            for context in AllStoragePresentationContexts:
                self.ae.add_supported_context(str(context.abstract_syntax), _transfer_syntaxes())
            handlers.append((evt.EVT_C_STORE, self._store))
        if self.report is not None:
            self.ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
            handlers.append((evt.EVT_N_EVENT_REPORT, self.report))
        self.server: Any = self.ae.make_server(
            (door.host, door.port), ssl_context=door.tls(), evt_handlers=handlers, server_class=_server_class()
        )
        self.ae._servers.append(self.server)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, name="listener", daemon=True).start()

    def stop(self) -> None:
        """End every association and listen no more."""
        self.ae.shutdown()

    def _rejected(self, event: Any) -> None:
        logger.warning("an association was rejected: its AE titles are not those we know, or too many are open")

    def _bound_object(self, event: Any) -> None:
        """Of an object that is too large nothing is kept; it is read to its end and then refused."""
        message = event.assoc.dimse.message
        if message is not None and message.data_set.tell() > self.door.object_bytes:
            message.data_set.seek(0)
            message.data_set.truncate()
            setattr(event.assoc, TOO_LARGE, True)

    def _store(self, event: Any) -> int:
        too_large = getattr(event.assoc, TOO_LARGE, False)
        setattr(event.assoc, TOO_LARGE, False)
        if too_large or len(event.request.DataSet.getbuffer()) > self.door.object_bytes:
            logger.warning(f"an object above {self.door.object_bytes} bytes was refused")
            return 0xA700
        sop = str(event.request.AffectedSOPInstanceUID)
        try:
            assert self.receive is not None
            content = event.encoded_dataset()
            try:
                problem = "" if read_instance(content).sop == sop else "its data set bears another SOP instance UID"
            except ValueError as error:
                problem = str(error)
            if problem:
                logger.warning(f"an object was refused: {problem}")
                return 0xA900
            return self.receive(sop, lambda: content, event.assoc.requestor.ae_title)
        except Exception as error:  # a full disk, for instance: the sender keeps the object and tries again
            logger.error(f"an object could not be kept ({type(error).__name__}) and was refused")
            return 0xA700


def _bound_pdus(event: Any) -> None:
    """A header may announce 4 GiB; what is longer than we said is not read."""
    connection = event.assoc.dul.socket
    receive = connection.recv

    def bounded(count: int) -> bytearray:
        if count > MAX_PDU + 1024:
            raise OSError("a PDU is longer than was agreed")
        return receive(count)

    connection.recv = bounded


def _transfer_syntaxes() -> list[str]:
    from pydicom import uid

    return [
        *(uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.JPEGLosslessSV1, uid.JPEGLossless),
        *(uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless, uid.DeflatedExplicitVRLittleEndian),
        *(uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000),
    ]


def _server_class() -> Any:
    from pynetdicom.transport import ThreadedAssociationServer

    class Server(ThreadedAssociationServer):
        """One that no silent client can block: the handshake runs in the client's own thread, against a clock."""

        daemon_threads = True

        def get_request(self) -> tuple[socket.socket, Any]:
            listening: Any = self.socket
            return listening.accept()

        def verify_request(self, request: Any, client_address: Any) -> bool:
            return len(self.active_associations) < 4 * self.ae.maximum_associations

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            try:
                if self.ssl_context:
                    request.settimeout(10)
                    request = self.ssl_context.wrap_socket(request, server_side=True)
                    request.settimeout(None)
            except OSError:
                logger.warning("a connection was ended: no TLS handshake")
                request.close()
                return
            super().process_request_thread(request, client_address)

        def handle_error(self, request: Any, client_address: Any) -> None:
            logger.warning("a connection ended in an error")

    return Server
