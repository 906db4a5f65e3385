"""Squares of one size around the lesions of a batch, for a discriminator that looks at nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..keys import BatchKeys

__all__ = ["LesionCrops"]


class LesionCrops:
    """One crop an image with a lesion, shifted as far as it has to be to lie inside the image.

    Its centre is the pixel of the lesion map that lies nearest to the middle of the map's bounding box: the middle
    itself for one round lesion, and never the tissue between two.

    Shapes:
        images: a batch with ``seg`` and ``images[key]``, (B, 1, H, W) each; returns (L, 1, size, size), L the number of
        images with a lesion, 0 to B.

    Args:
        size: side of a crop in pixels.

    Raises:
        ValueError: for a size below 1 or above a side of the images.
    """

    def __init__(self, size: int = 64) -> None:
        if size < 1:
            raise ValueError(f"the side of a lesion crop is {size} pixels, expected 1 or more.")
        self.size = size

    def __call__(self, images: Mapping[str, torch.Tensor], key: str) -> torch.Tensor:
        seg = images[BatchKeys.SEG]
        height, width = seg.shape[-2:]
        if self.size > min(height, width):
            raise ValueError(
                f"a lesion crop of {self.size} pixels does not fit into images of {height} x {width}: take fewer."
            )
        crops = [
            image[..., top : top + self.size, left : left + self.size]
            for image, (top, left) in zip(images[key], map(self._corner, seg), strict=True)
            if top >= 0
        ]
        return torch.stack(crops) if crops else images[key][:0, :, : self.size, : self.size]

    def _corner(self, seg: torch.Tensor) -> tuple[int, int]:
        """Row and column of the crop's first pixel, (-1, -1) for a map (1, H, W) without a lesion."""
        pixels = seg[0].nonzero()
        if len(pixels) == 0:
            return -1, -1
        middle = (pixels.amin(dim=0) + pixels.amax(dim=0)) / 2
        centre = pixels[(pixels - middle).square().sum(dim=1).argmin()].tolist()
        row, column = (
            min(max(place - (self.size - 1) // 2, 0), side - self.size)
            for place, side in zip(centre, seg.shape[-2:], strict=True)
        )
        return row, column
