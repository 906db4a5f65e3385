"""MSE, L1, PSNR, SSIM and VIF of synthetic images: one value an image, on one explicit data range.

Each takes ``pred`` and ``target`` of shape (B, 1, H, W) with values in [0, ``data_range``] and returns (B,). With a
``region`` (B, 1, H, W), {0, 1}, the value is of its pixels alone; an image whose region is empty gets NaN.
"""

from __future__ import annotations

import torch
from monai.metrics.regression import compute_ssim_and_cs
from torchmetrics.functional.image import visual_information_fidelity

from .checks import checked_images

__all__ = ["l1", "mse", "psnr", "ssim", "vif"]

SSIM_WINDOW = 11
VIF_SMALLEST = 41  # torchmetrics' four scales need as much


def _mean(values: torch.Tensor, region: torch.Tensor | None) -> torch.Tensor:
    if region is None:
        return values.flatten(1).mean(dim=1)
    weights = region.to(values.dtype)
    return (values * weights).flatten(1).sum(dim=1) / weights.flatten(1).sum(dim=1)  # 0 / 0 = NaN: no such region


def mse(
    pred: torch.Tensor, target: torch.Tensor, data_range: float = 1.0, region: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean squared error, in units of the data range squared.

    Raises:
        ValueError: for other shapes than (B, 1, H, W) or values outside [0, ``data_range``].
    """
    pred, target = checked_images(data_range, region, pred=pred, target=target)
    return _mean((pred - target) ** 2, region)


def l1(
    pred: torch.Tensor, target: torch.Tensor, data_range: float = 1.0, region: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean absolute error, in units of the data range; raises like :func:`mse`."""
    pred, target = checked_images(data_range, region, pred=pred, target=target)
    return _mean((pred - target).abs(), region)


def psnr(
    pred: torch.Tensor, target: torch.Tensor, data_range: float = 1.0, region: torch.Tensor | None = None
) -> torch.Tensor:
    """``10 log10(data_range^2 / MSE)`` in dB; identical images give infinity. Raises like :func:`mse`."""
    return 10 * torch.log10(data_range**2 / mse(pred, target, data_range, region))


def ssim(
    pred: torch.Tensor, target: torch.Tensor, data_range: float = 1.0, region: torch.Tensor | None = None
) -> torch.Tensor:
    """Structural similarity (Wang et al. 2004): Gaussian window 11, sigma 1.5, K = (0.01, 0.03), no padding.

    The value of a region is the mean of the SSIM map over it; the map has no value within 5 px of the image's edge.

    Raises:
        ValueError: like :func:`mse`, and for images smaller than the window.
    """
    pred, target = checked_images(data_range, region, pred=pred, target=target)
    if min(pred.shape[-2:]) < SSIM_WINDOW:
        raise ValueError(f"images of {tuple(pred.shape[-2:])} are smaller than SSIM's window of {SSIM_WINDOW} pixels.")
    values, _ = compute_ssim_and_cs(
        y_pred=pred,
        y=target,
        spatial_dims=2,
        kernel_size=(SSIM_WINDOW, SSIM_WINDOW),
        kernel_sigma=(1.5, 1.5),
        data_range=data_range,
        k1=0.01,
        k2=0.03,
    )
    edge = SSIM_WINDOW // 2
    return _mean(values, None if region is None else region[..., edge:-edge, edge:-edge])


def vif(
    pred: torch.Tensor, target: torch.Tensor, data_range: float = 1.0, region: torch.Tensor | None = None
) -> torch.Tensor:
    """Visual information fidelity in the pixel domain (Sheikh and Bovik 2006), noise variance 2 on the 0-255 scale.

    Computed by torchmetrics in float64, per image. A constant target carries no information: NaN. The value of a region
    is that of its bounding box, both images as they are in it; a box of fewer than 41 pixels a side is widened to 41.

    Raises:
        ValueError: like :func:`mse`, and for images smaller than 41 pixels.
    """
    pred, target = checked_images(data_range, region, pred=pred, target=target)
    if min(pred.shape[-2:]) < VIF_SMALLEST:
        raise ValueError(f"images of {tuple(pred.shape[-2:])} are smaller than the {VIF_SMALLEST} pixels VIF needs.")
    values = []
    for place, (one_pred, one_target) in enumerate(zip(pred[:, 0], target[:, 0], strict=True)):
        if region is not None:
            box = _bounding_box(region[place, 0])
            one_pred, one_target = one_pred[box], one_target[box]
        if one_target.numel() == 0 or float(one_target.max()) == float(one_target.min()):
            values.append(torch.full((), torch.nan, dtype=torch.float64, device=pred.device))
            continue
        pred_255, target_255 = (image[None, None].double() * (255 / data_range) for image in (one_pred, one_target))
        values.append(visual_information_fidelity(pred_255, target_255, sigma_n_sq=2.0))
    return torch.stack(values).to(pred.dtype)


def _bounding_box(region: torch.Tensor) -> tuple[slice, ...]:
    """Rows and columns of the box around a region (H, W), widened to what VIF needs; empty without a region."""
    sides = []
    for full, axis in zip(region.shape, (1, 0), strict=True):
        filled = torch.nonzero(region.any(dim=axis))
        if not len(filled):
            return slice(0), slice(0)
        first, last = int(filled[0]), int(filled[-1]) + 1
        missing = max(0, VIF_SMALLEST - (last - first))
        first = min(max(0, first - missing // 2), full - max(last - first, VIF_SMALLEST))
        sides.append(slice(first, max(last, first + VIF_SMALLEST)))
    return tuple(sides)
