"""Files that are there whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from PIL import Image

__all__ = ["beside", "write_image", "write_json", "write_table"]


@contextmanager
def beside(path: str | os.PathLike) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes its place once that went well, and is gone otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{os.getpid()}.{path.name}")  # in front, so that writers still know the suffix
    try:
        yield place
        os.replace(place, path)
    finally:
        place.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, content: Any) -> Path:
    """Write JSON, indented, in UTF-8."""
    with beside(path) as place:
        place.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return Path(path)


def write_table(table: pd.DataFrame, path: str | os.PathLike) -> Path:
    """Write a table as CSV, without its index."""
    with beside(path) as place:
        table.to_csv(place, index=False, float_format="%.9g")
    return Path(path)


def write_image(folder: str | os.PathLike, stem: str, image: np.ndarray) -> Path:
    """Write an image (H, W) without loss: a map as PNG of 0 and 255, whole numbers of 8 or 16 bits as PNG of that
    depth, anything else as NIfTI float32 (W, H, 1).
    """
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    elif image.dtype not in (np.uint8, np.uint16) and image.min() >= 0 and image.max() < 2**16:
        whole = np.rint(image)
        image = whole.astype(np.uint16) if np.array_equal(whole, image) else image
    if image.dtype in (np.uint8, np.uint16):
        path = Path(folder, f"{stem}.png")
        with beside(path) as place:
            Image.fromarray(image).save(place, format="PNG")
    else:
        path = Path(folder, f"{stem}.nii.gz")
        with beside(path) as place:
            nibabel.save(nibabel.Nifti1Image(image.T[:, :, None].astype(np.float32), np.eye(4)), place)
    return path
