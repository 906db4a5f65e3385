"""The loggers of the network libraries, which would write identifiers of patients and whole queries."""

from __future__ import annotations

import logging
import re
import warnings

__all__ = ["keep_quiet"]

TALKATIVE = ("pynetdicom", "dicomweb_client", "pydicom", "urllib3", "requests")


def keep_quiet() -> None:
    """From now on nothing that a header or a query says reaches a log or a warning of this process."""
    import pydicom
    from pynetdicom import _config

    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pattern = re.compile(r"(pydicom|pynetdicom|dicomweb_client)(\.|$)")
    if ("ignore", None, UserWarning, pattern, 0) not in warnings.filters:
        warnings.filterwarnings("ignore", category=UserWarning, module=pattern.pattern)
