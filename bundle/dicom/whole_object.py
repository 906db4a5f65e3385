"""Whether a virtual DES on the disk is whole, told without reading its pixels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .files import read_dataset
from .transfer_syntax import SYNTAXES

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

__all__ = ["whole_object"]

PIXELS = b"\xe0\x7f\x10\x00OW\x00\x00"  # (7FE0,0010) in Explicit VR Little Endian, without its length (PS3.5, 7.1.2)
END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"  # that of compressed pixels (PS3.5, A.4)


def whole_object(path: str | os.PathLike) -> FileDataset | None:
    """The header of an object that :func:`bundle.dicom.write.write_object` wrote, or None where it is damaged or cut.

    Pixel Data is its last element. So its beginning has to lie Rows x Columns x 2 bytes before the end of the file or,
    where it is compressed, its end has to be the file's.
    """
    try:
        ds = read_dataset(path, pixels=False)
        length = 2 * int(ds.Rows) * int(ds.Columns)
        if str(ds.file_meta.TransferSyntaxUID) == SYNTAXES["uncompressed"]:
            expected, back = PIXELS + length.to_bytes(4, "little"), length + 12
        else:
            expected, back = END_OF_SEQUENCE, len(END_OF_SEQUENCE)
        with Path(path).open("rb") as file:
            file.seek(-back, os.SEEK_END)
            return ds if file.read(len(expected)) == expected else None
    except Exception:  # whatever a damaged header comes to
        return None
