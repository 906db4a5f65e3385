"""How the images of a training were, and in what another image differs from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..dicom.files import has_dicom_mark, read_dataset
from ..keys import BatchKeys
from .images import read_image
from .registration import breast_mask

__all__ = ["outside_of", "training_range"]

WORDS = {"rows": "rows", "columns": "columns", "mean": "mean in the breast", "spread": "SD in the breast"}


def training_range(items: Iterable[Mapping[str, Any]], images: Iterable[Any]) -> dict[str, list[float]]:
    """Lowest and highest value over a training part, for the model's card.

    Args:
        items: of the datalist, with the path ``le``.
        images: their LE images as the network gets them, (1, S, S) in [0, 1].

    Returns:
        ``rows`` and ``columns`` of the files, ``mean`` and ``spread`` (SD) of the grey values in the breast; a
        quantity that no image has is left out.
    """
    found: dict[str, list[float]] = {name: [] for name in WORDS}
    for item in items:
        rows, columns = _size(item[BatchKeys.LE])
        found["rows"].append(rows)
        found["columns"].append(columns)
    for image in images:
        for name, value in _grey(np.asarray(image)[0]).items():
            found[name].append(value)
    return {name: [min(values), max(values)] for name, values in found.items() if values}


def outside_of(seen: Mapping[str, Sequence[float]], shape: Sequence[int], image: np.ndarray) -> str:
    """What of an image lies outside ``training_range``, in words; nothing where all lies inside or none is known.

    Args:
        seen: what ``training_range`` gave; of a model of an earlier version, empty.
        shape: (rows, columns) of the file.
        image: (S, S) in [0, 1], as the network gets it.
    """
    values = {"rows": float(shape[0]), "columns": float(shape[1])} | (_grey(image) if seen else {})
    said = []
    for name, value in values.items():
        low, high = seen.get(name, (-np.inf, np.inf))
        if not low <= value <= high:
            said.append(f"{WORDS[name]} {value:.4g}, trained on {low:.4g} to {high:.4g}")
    return "; ".join(said)


def _grey(image: np.ndarray) -> dict[str, float]:
    breast = breast_mask(image)
    return {"mean": float(image[breast].mean()), "spread": float(image[breast].std())} if breast.any() else {}


def _size(path: str) -> tuple[int, int]:
    """Rows and columns, from the header where that is quick."""
    if has_dicom_mark(path):
        ds = read_dataset(path, pixels=False)
        return int(ds.Rows), int(ds.Columns)
    if Path(path).suffix.lower() in (".png", ".jpg", ".jpeg"):
        from PIL import Image

        with Image.open(path) as picture:
            return picture.height, picture.width
    rows, columns = read_image(path)[0].shape
    return rows, columns
