"""What every model has to beat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..keys import BatchKeys
from ..metrics import breast_mask

__all__ = ["mean_des_in_breast"]


def mean_des_in_breast(items: Iterable[Mapping[str, Any]]) -> float:
    """Mean DES over all breast pixels of the training part, in [0, 1]: the floor "constant inside the breast".

    Args:
        items: preprocessed pairs, ``le`` and ``des`` of shape (1, H, W) in [0, 1].

    Raises:
        ValueError: when no breast was found in any image.
    """
    total, pixels = 0.0, 0
    for item in tqdm(items, desc="floor of the training part", unit="pair", leave=False):
        breast = breast_mask(np.asarray(item[BatchKeys.LE])[0])
        total += float(np.asarray(item[BatchKeys.DES])[0][breast].sum(dtype=np.float64))
        pixels += int(breast.sum())
    if pixels == 0:
        raise ValueError("no breast was found in any training image: is LE bright = dense, with dark air?")
    return total / pixels
