"""Absolute error inside the lesion map, the building block of Eqs 5 and 6."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["LesionL1Loss"]


class LesionL1Loss(nn.Module):
    r"""``||s (pred - target)||_1`` of Eqs 5 and 6 of arXiv 2505.03018.

    ``reduction="image"`` averages over all pixels, as the paper's authors do, so that :math:`L + \gamma L'` is
    :math:`mean((1 + \gamma s) |d|)`: a lesion pixel weighs :math:`1 + \gamma` times. ``"lesion"`` averages over the
    lesion of each image, gives 0 for an image without one, and then averages over the batch.

    Shapes:
        pred, target: (B, 1, H, W), range [0, 1]; seg: (B, 1, H, W), {0, 1}; weights: of the images, (B,), or None for
        1 each; returns a scalar.

    Raises:
        ValueError: for an unknown reduction, or when the three shapes differ.
    """

    def __init__(self, reduction: str = "image") -> None:
        super().__init__()
        if reduction not in ("image", "lesion"):
            raise ValueError(f"reduction is {reduction!r}, expected 'image' or 'lesion'.")
        self.reduction = reduction

    def forward(
        self, pred: torch.Tensor, target: torch.Tensor, seg: torch.Tensor, weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        if not pred.shape == target.shape == seg.shape:
            raise ValueError(
                f"pred {tuple(pred.shape)}, target {tuple(target.shape)}, seg {tuple(seg.shape)}: must be of one shape."
            )
        masked = seg * (pred - target).abs()
        if weights is not None:
            masked = weights.view(-1, 1, 1, 1) * masked
        if self.reduction == "image":
            return masked.mean()
        pixels = seg.flatten(1).sum(dim=1)
        return (masked.flatten(1).sum(dim=1) / pixels.clamp(min=1)).mean()
