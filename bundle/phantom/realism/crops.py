"""Pieces of breast without a lesion, for whoever tries to tell a phantom from a woman."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .pairs import Pair

__all__ = ["Crops", "cut"]


@dataclass(frozen=True, eq=False)
class Crops:
    """``images`` (N, 2, S, S) float32, LE and DES in [0, 1]; ``patients`` (N,), whose they are."""

    images: NDArray[np.float32]
    patients: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.images)

    def texture(self) -> Crops:
        """Without grey levels: each channel of each crop has mean 0 and SD 1."""
        mean = self.images.mean(axis=(2, 3), keepdims=True)
        spread = self.images.std(axis=(2, 3), keepdims=True)
        return Crops((self.images - mean) / (spread + 1e-6), self.patients)


def cut(pairs: Sequence[Pair], size: int = 64, stride: int = 8, most: int = 6, seed: int = 0) -> Crops:
    """Draw squares that lie wholly in the breast and touch no lesion; a pair without any gives none.

    Args:
        pairs: of 256 px.
        size: of a square in pixels.
        stride: of the grid from which they are drawn.
        most: squares of one pair.
        seed: of the draw.

    Raises:
        ValueError: when not a single pair has one.
    """
    rng = np.random.default_rng(seed)
    images, patients = [], []
    for pair in pairs:
        tissue = pair.breast & ~pair.lesion
        whole = sliding_window_view(tissue, (size, size))[::stride, ::stride].all(axis=(2, 3))
        corners = stride * np.argwhere(whole)
        for top, left in rng.permutation(corners)[:most]:
            square = slice(top, top + size), slice(left, left + size)
            images.append(np.stack([pair.le[square], pair.des[square]]))
            patients.append(pair.patient_id)
    if not images:
        raise ValueError(
            f"None of {len(pairs)} pair(s) has {size} x {size} pixels of breast without a lesion: expected some. "
            "Give more pairs."
        )
    return Crops(np.stack(images).astype(np.float32), np.array(patients))
