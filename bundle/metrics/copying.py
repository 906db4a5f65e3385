"""Is the virtual DES a copy of LE: how closely a DES image follows LE inside a region, one value an image."""

from __future__ import annotations

import torch

from .checks import checked_images

__all__ = ["le_correlation"]

NO_VARIANCE = 1e-6  # SD as a share of the data range, a tenth of a step of 16 bits: below, a region counts as constant


def le_correlation(des: torch.Tensor, le: torch.Tensor, region: torch.Tensor, data_range: float = 1.0) -> torch.Tensor:
    """Pearson correlation of DES with LE over the pixels of a region: 1 for a copy of LE, whatever its level and gain.

    Read the virtual DES's beside the real one's: tissue is bright in both images to some degree. Where a region is
    empty or one of the images is constant in it (so also of a single pixel) there is none: NaN.

    Shapes:
        des, le: (B, 1, H, W) in [0, ``data_range``]; region: (B, 1, H, W), {0, 1}; returns (B,) in [-1, 1].

    Raises:
        ValueError: for other shapes, values outside [0, ``data_range``] or NaN.
    """
    des, le = checked_images(data_range, region, des=des, le=le)
    inside = region.bool()
    pixels = inside.flatten(1).sum(dim=1)
    first, second = (_centred(image.double(), inside, pixels) for image in (des, le))
    spreads = [((image**2).sum(dim=1) / pixels).sqrt() for image in (first, second)]
    varies = (spreads[0] > NO_VARIANCE * data_range) & (spreads[1] > NO_VARIANCE * data_range)
    correlation = ((first * second).sum(dim=1) / pixels / (spreads[0] * spreads[1])).clamp(-1, 1)
    return torch.where(varies, correlation, torch.nan).to(des.dtype)


def _centred(image: torch.Tensor, inside: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """The image minus its mean inside, 0 outside, (B, H * W)."""
    mean = torch.where(inside, image, 0.0).flatten(1).sum(dim=1) / pixels
    return torch.where(inside, image - mean[:, None, None, None], 0.0).flatten(1)
