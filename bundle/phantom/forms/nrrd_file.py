"""NRRD files of projection images, the same bytes whenever they are written."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import nrrd
import numpy as np

__all__ = ["write_nrrd"]


def write_nrrd(
    path: Path,
    image: np.ndarray,
    spacing: float,
    corner: tuple[int, int] = (0, 0),
    more: Mapping[str, str] | None = None,
) -> None:
    """Write an image (rows, columns) as 3D Slicer has a mammogram: axes (W, H, 1), LPS, origin 0.

    Args:
        path: the file.
        image: of any whole-number type.
        spacing: of its pixels in mm.
        corner: row and column of its first pixel, where it is a part of an image.
        more: further entries of the header, ``key:=value``.
    """
    top, left = corner
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "space directions": np.diag([round(spacing, 6), round(spacing, 6), 1.0]),
        "space origin": np.round([left * spacing, top * spacing, 0.0], 6),
        "kinds": ["domain"] * 3,
        "encoding": "gzip",
        **(more or {}),
    }
    written = BytesIO()
    nrrd.write(written, np.asfortranarray(image.T[:, :, None]), header, compression_level=1)
    head, data = written.getvalue().split(b"\n\n", 1)
    lines = [line for line in head.split(b"\n") if not line.startswith(b"#")]  # comments: they hold the time of day
    path.write_bytes(b"\n".join([*lines, b"", data]))
