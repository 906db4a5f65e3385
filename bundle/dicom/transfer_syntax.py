"""Pixels as a DICOM object holds them: as they are, or compressed without loss."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

__all__ = ["SYNTAXES", "encoded"]

SYNTAXES = {  # PS3.5, annex A
    "uncompressed": "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
    "jpeg2000": "1.2.840.10008.1.2.4.90",
    "jpegls": "1.2.840.10008.1.2.4.80",
}


def encoded(pixels: NDArray[np.uint16], transfer_syntax: str, bits: int = 12) -> bytes:
    """The value of Pixel Data (7FE0,0010) for one grey frame.

    A codestream says the same depth as Bits Stored (PS3.5, 8.2.3 and 8.2.4).

    Args:
        pixels: (H, W) uint16, [0, 2^bits - 1].
        transfer_syntax: one of :data:`SYNTAXES`.
        bits: Bits Stored.

    Raises:
        RuntimeError: when they cannot be compressed.
    """
    frame = np.ascontiguousarray(pixels, "<u2").tobytes()
    if transfer_syntax == "uncompressed":
        return frame
    from pydicom.encaps import encapsulate

    rows, columns = pixels.shape
    encode = {"jpeg2000": _jpeg2000, "jpegls": _jpegls}[transfer_syntax]
    return encapsulate([encode(frame, rows, columns, bits)])


def _jpegls(frame: bytes, rows: int, columns: int, bits: int) -> bytes:
    from jpeg_ls import encode_buffer

    return bytes(encode_buffer(frame, rows, columns, 1, bits, 0, 0))


def _jpeg2000(frame: bytes, rows: int, columns: int, bits: int) -> bytes:
    from openjpeg import encode_pixel_data

    logging.getLogger("openjpeg").setLevel(logging.WARNING)  # it counts the tiles of every image
    return bytes(
        encode_pixel_data(
            frame,
            rows=rows,
            columns=columns,
            samples_per_pixel=1,
            bits_allocated=16,
            bits_stored=bits,
            pixel_representation=0,
            photometric_interpretation="MONOCHROME2",
            number_of_frames=1,
            transfer_syntax_uid=SYNTAXES["jpeg2000"],
        )
    )
