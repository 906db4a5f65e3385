"""Where a PACS is, and how it is spoken to."""

from __future__ import annotations

import ipaddress
import json
import re
import ssl
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["AE_TITLE", "DicomwebNode", "DimseNode", "Unreachable", "is_loopback", "read_address", "read_node"]

AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")  # PS3.5 table 6.2-1: 16 characters of ASCII, no backslash
FORMS = "http(s)://HOST/dicom-web, AE_TITLE@HOST:PORT, or a JSON file of a node"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, by its own address alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Unreachable(OSError):
    """The node cannot be reached now, or refuses to speak with us; nothing was sent or received."""


@dataclass(frozen=True)
class DicomwebNode:
    """A DICOMweb server.

    Attributes:
        url: of the service, without user and password.
        ca_file: certificates to trust; None takes those of the system.
        cert_file: our own certificate with its key, where the server asks for one.
        token_variable: environment variable of a bearer token; a user and password belong in ``~/.netrc``.
        timeout: seconds to wait for an answer.
        insecure: speak to another machine without TLS.
    """

    url: str
    ca_file: str | None = None
    cert_file: str | None = None
    token_variable: str = "CESM_PACS_TOKEN"
    timeout: float = 60.0
    insecure: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url: expected http(s)://HOST/PATH")
        if parts.username or parts.password or parts.query:
            raise ValueError(
                f"url: it holds a user, a password or a query; put those in ~/.netrc or in ${self.token_variable}"
            )
        if parts.scheme == "http" and not self.insecure and not is_loopback(parts.hostname):
            raise ValueError("url: http shows images and passwords to the network; take https, or say --insecure")

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class DimseNode:
    """A node of the classic DICOM network.

    Attributes:
        ae_title, host, port: of the node.
        calling: our own AE title.
        tls: speak TLS; so does ``ca_file``.
        ca_file: certificates to trust; None takes those of the system.
        cert_file, key_file: our own certificate and key, where the node asks for one.
        timeout: seconds to wait for an answer.
        insecure: speak to another machine without TLS.
    """

    ae_title: str
    host: str
    port: int
    calling: str = "SEG_CYCLEGAN"
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    timeout: float = 60.0
    insecure: bool = False

    def __post_init__(self) -> None:
        for name, title in (("ae_title", self.ae_title), ("calling", self.calling)):
            if not isinstance(title, str) or not AE_TITLE.fullmatch(title) or not title.strip():
                raise ValueError(f"{name}: {title!r}, expected 1 to 16 characters of ASCII")
        if not self.host or type(self.port) is not int or not 0 < self.port < 65536:
            raise ValueError(f"host and port: {self.host}:{self.port}, expected HOST:PORT")
        if not (self.tls or self.ca_file or self.insecure or is_loopback(self.host)):
            raise ValueError(
                "tls: without it the network sees the images; describe the node in a JSON file with tls or ca_file, "
                "or say --insecure"
            )

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"

    def tls_args(self) -> tuple[ssl.SSLContext, str] | None:
        """What pynetdicom needs to speak TLS to this node, or None."""
        if not (self.tls or self.ca_file):
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert_file:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context, self.host


def read_address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, an IPv6 host in brackets."""
    match = re.fullmatch(r"\[?([^\[\]@/\s]+?)\]?:(\d{1,5})", text)
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError(f"{text!r} is no address, expected HOST:PORT.")
    return match[1], int(match[2])


def read_node(text: str, **overrides: Any) -> DicomwebNode | DimseNode:
    """A node as a command line names it: an URL, ``AE_TITLE@HOST:PORT``, or a JSON file with the fields of a node.

    Args:
        text: see above.
        overrides: fields to set, None for those to leave; of a kind of node that has them.

    Raises:
        ValueError: when it is none of these, or a field is wrong.
    """
    if text.startswith(("http://", "https://")):
        values: dict[str, Any] = {"url": text}
    elif text.endswith(".json"):
        values = _read_file(Path(text))
    else:
        title, _, address = text.rpartition("@")
        if not title:
            raise ValueError(f"{text!r} is no node, expected {FORMS}.")
        host, port = read_address(address)
        values = {"ae_title": title, "host": host, "port": port}
    kind: Any = DicomwebNode if "url" in values else DimseNode
    known = {field.name for field in fields(kind)}
    values |= {name: value for name, value in overrides.items() if value is not None and name in known}
    source = text if text.endswith(".json") else "the node"
    unknown = sorted(values.keys() - known)
    if unknown:
        raise ValueError(f"{source} has unknown field(s) {unknown}, expected some of {sorted(known)}.")
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source} cannot be used: {error}. A node is {FORMS}.") from error


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}). A node is {FORMS}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no object. A node is {FORMS}.")
    return content
