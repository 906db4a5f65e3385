"""DICOM files, read without a word about what stands in them."""

from __future__ import annotations

import logging
import os
import re
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

__all__ = ["has_dicom_mark", "read_dataset"]


def has_dicom_mark(path: str | os.PathLike) -> bool:
    """DICOM PS3.10 section 7.1: a preamble of 128 bytes, then ``DICM``."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_dataset(path: str | os.PathLike, pixels: bool = True) -> FileDataset:
    """``pydicom.dcmread`` that does not complain of values against the standard: the complaint would quote them, and
    a name, an ID or a date would reach a log.

    pydicom decodes a value when it is asked for, long after this call. So its warnings and its logger stay silent in
    this process from now on; ``warnings.catch_warnings`` around each use would not hold between threads.

    Args:
        path: a DICOM file.
        pixels: whether to read on from the header to the pixels.
    """
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    quiet = ("ignore", None, UserWarning, re.compile(r"pydicom(\.|$)"), 0)
    if quiet not in warnings.filters:  # each new filter makes warnings that were said once be said again
        warnings.filterwarnings("ignore", category=UserWarning, module=quiet[3].pattern)
    return pydicom.dcmread(path, stop_before_pixels=not pixels)
