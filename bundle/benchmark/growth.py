"""How cost grows with the work: the exponent of a power law, 1 where it is proportional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["growth"]


def growth(what: str, along: str, work: Sequence[float], seconds: Sequence[float]) -> dict[str, Any]:
    """Fit ``seconds = a * work ** exponent`` by least squares of the logarithms.

    Returns:
        ``what``, ``with`` (``along``), ``exponent`` and ``residual``, the largest relative distance from the fit.

    Raises:
        ValueError: for fewer than two amounts of work.
    """
    if len(set(work)) < 2:
        raise ValueError(f"the growth of {what} was measured at {list(work)}: expected two or more amounts of work.")
    exponent, offset = np.polyfit(np.log(work), np.log(seconds), 1)
    fitted = np.exp(offset) * np.asarray(work, dtype=float) ** exponent
    residual = float(np.max(np.abs(np.asarray(seconds) / fitted - 1)))
    return {"what": what, "with": along, "exponent": float(exponent), "residual": residual}
