"""Absolute error of a registered pair, heavier in the lesion and blind to a small misalignment."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["PairedL1Loss"]


class PairedL1Loss(nn.Module):
    r"""The mean over all pixels of :math:`(1 + w s)\,d(pred, target)`: a lesion pixel weighs :math:`1 + w` times.

    Without a tolerance :math:`d = |pred - target|`. With a tolerance of t pixels, d is the distance of a predicted
    pixel to the range of the target over the :math:`(2t + 1)^2` pixels around it, 0 inside that range: a structure that
    the registration left up to t pixels off is no error. Beyond the image's border its edge goes on.

    Args:
        lesion_weight: w, 0 or more.
        tolerance: t in pixels, 0 or more.

    Shapes:
        pred, target: (B, 1, H, W), range [0, 1]; seg: (B, 1, H, W), {0, 1}; returns a scalar.

    Raises:
        ValueError: for a negative weight, a tolerance that is no whole number from 0, or when the three shapes differ.
    """

    def __init__(self, lesion_weight: float = 0.0, tolerance: int = 0) -> None:
        super().__init__()
        if lesion_weight < 0:
            raise ValueError(f"lesion_weight is {lesion_weight}, expected 0 or more.")
        if tolerance != int(tolerance) or tolerance < 0:
            raise ValueError(f"tolerance is {tolerance}, expected a whole number of pixels, 0 or more.")
        self.lesion_weight = lesion_weight
        self.tolerance = int(tolerance)

    def forward(self, pred: torch.Tensor, target: torch.Tensor, seg: torch.Tensor) -> torch.Tensor:
        if not pred.shape == target.shape == seg.shape:
            raise ValueError(
                f"pred {tuple(pred.shape)}, target {tuple(target.shape)}, seg {tuple(seg.shape)}: must be of one shape."
            )
        distance = self.distance(pred, target)
        return distance.mean() + self.lesion_weight * (seg * distance).mean()

    def distance(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """d of each pixel, (B, 1, H, W), 0 or more."""
        if self.tolerance == 0:
            return (pred - target).abs()
        side = 2 * self.tolerance + 1
        # the padding of a max-pool never wins, as if the edge went on
        highest = functional.max_pool2d(target, side, stride=1, padding=self.tolerance)
        lowest = -functional.max_pool2d(-target, side, stride=1, padding=self.tolerance)
        return functional.relu(pred - highest) + functional.relu(lowest - pred)
