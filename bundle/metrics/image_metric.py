"""Any column of metrics.csv as a MONAI metric."""

from __future__ import annotations

from typing import Any

import torch
from monai.metrics.regression import RegressionMetric
from monai.utils import MetricReduction

from .columns import columns
from .regions import regions

__all__ = ["ImageMetric"]


class ImageMetric(RegressionMetric):
    """One value an image with MONAI's buffers and reductions, for its handlers and its distributed runs.

    Shapes:
        y_pred: (B, 1, H, W), the virtual DES in [0, 1]; y: (B, 3, H, W), real DES, LE and SEG as its channels, in
        MONAI's order of two tensors. Returns (B, 1); NaN is left out of what ``aggregate`` reduces.

    Args:
        column: which, as ``columns`` names them: ``psnr``, ``lesion_l1``, ``enhancement_missed`` and so on.
        reduction, get_not_nans: as in MONAI.
        thresholds: as ``columns`` takes them.

    Raises:
        ValueError: for an unknown column or other shapes.
    """

    def __init__(
        self,
        column: str,
        reduction: MetricReduction | str = MetricReduction.MEAN,
        get_not_nans: bool = False,
        **thresholds: Any,
    ) -> None:
        super().__init__(reduction, get_not_nans)
        known = columns(**thresholds)
        if column not in known:
            raise ValueError(f"there is no column {column!r}, expected one of {', '.join(known)}.")
        self.column = known[column]

    def _check_shape(self, y_pred: torch.Tensor, y: torch.Tensor) -> None:
        expected = (len(y_pred), 3, *y_pred.shape[2:])
        if y_pred.ndim != 4 or y_pred.shape[1] != 1 or tuple(y.shape) != expected:
            raise ValueError(
                f"y_pred {tuple(y_pred.shape)} and y {tuple(y.shape)} must be (B, 1, H, W), the virtual DES, and "
                "(B, 3, H, W): real DES, LE and SEG."
            )

    def _compute_metric(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        des, le, seg = y.split(1, dim=1)
        return self.column(y_pred, des, le, regions(le, seg))[:, None]
