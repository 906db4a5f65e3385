"""What a model must remember of the data that it was trained on."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..dicom import headers
from ..dicom.files import has_dicom_mark, read_dataset
from ..keys import BatchKeys
from .datalist import datalist_hash, read_datalist
from .folds import read_folds

__all__ = ["des_window_median", "fold_hash", "starts"]


def fold_hash(datalist: str | os.PathLike, folds: str | os.PathLike, fold: int, lesions: str = "all") -> dict[str, str]:
    """Names and hashes of the data: the datalist's own, and that of who stands in which part.

    Returns:
        ``datalist`` (its name), ``datalist_hash``, ``data_hash`` (datalist, patients' folds and ``fold``), ``lesions``
        as it came.
    """
    content = read_datalist(datalist)
    of_list = datalist_hash(content)
    parts = json.dumps([of_list, read_folds(folds, content, datalist)["folds"], fold], sort_keys=True)
    return {
        "datalist": content["name"],
        "datalist_hash": of_list,
        "data_hash": hashlib.sha256(parts.encode()).hexdigest(),
        "lesions": lesions,
    }


def starts(training: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The trainings that a training started from, the last one first: ``init`` of its card or checkpoint, and so on."""
    while init := training.get("init"):
        yield init
        training = init


def des_window_median(items: Iterable[Mapping[str, Any]]) -> list[float] | None:
    """Median window (centre, width) of the DICOM DES images of a training part; None where none has one."""
    windows = []
    for item in items:
        if not has_dicom_mark(item[BatchKeys.DES]):
            continue
        center, width = headers.window(read_dataset(item[BatchKeys.DES], pixels=False))
        if not math.isnan(center):
            windows.append((center, width))
    return [float(value) for value in np.median(windows, axis=0)] if windows else None
