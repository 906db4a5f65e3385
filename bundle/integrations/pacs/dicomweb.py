"""A client of a DICOMweb server, and its failures told without the query, which names patients."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .nodes import DicomwebNode, Unreachable
from .silence import keep_quiet

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMwebClient

__all__ = ["failure", "http_status", "web_client"]


def web_client(node: DicomwebNode) -> DICOMwebClient:
    """A client of a node; retries are left to the callers."""
    import requests
    from dicomweb_client.api import DICOMwebClient

    keep_quiet()
    session = requests.Session()
    if node.ca_file:
        session.verify = node.ca_file
    session.cert = node.cert_file
    headers = {"Accept": "application/dicom+json"}
    if os.environ.get(node.token_variable):
        headers["Authorization"] = f"Bearer {os.environ[node.token_variable]}"
    client = DICOMwebClient(node.url, session=session, headers=headers, timeout=node.timeout)
    client.set_http_retry_params(retry=False)
    return client


def http_status(error: BaseException) -> int | None:
    """The HTTP status of a failed request, if the server answered at all."""
    return getattr(getattr(error, "response", None), "status_code", None)


def failure(node: DicomwebNode, error: BaseException, what: str) -> Unreachable:
    """A failed request without its URL."""
    status = http_status(error)
    if status is None:
        return Unreachable(f"{node} does not answer ({type(error).__name__}).")
    hint = " Put user and password in ~/.netrc, or set the token's variable." if status in (401, 403) else ""
    return Unreachable(f"{node} refuses {what} with HTTP status {status}.{hint}")
