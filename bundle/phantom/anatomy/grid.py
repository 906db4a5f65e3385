"""The detector's pixel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Grid", "Map"]

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """``rows`` x ``columns`` square pixels of ``spacing`` mm; the chest wall lies before column 0."""

    rows: int
    columns: int
    spacing: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns

    @property
    def height(self) -> float:
        """In mm."""
        return self.rows * self.spacing

    def coordinates(self) -> tuple[Map, Map]:
        """Pixel centres in mm: y (rows, 1) from the upper edge, x (1, columns) from the chest wall."""
        y, x = ((np.arange(n, dtype=np.float32) + np.float32(0.5)) * np.float32(self.spacing) for n in self.shape)
        return y[:, None], x[None, :]
