"""MSE, L1, PSNR, SSIM and VIF of synthetic images: one value an image, on one explicit data range.

Each takes ``pred`` and ``target`` of shape (B, 1, H, W) with values in [0, ``data_range``] and returns (B,). With a
``region`` (B, 1, H, W), {0, 1}, the value is of its pixels alone; an image whose region is empty gets NaN.
"""

from __future__ import annotations

import torch
from monai.metrics.regression import compute_ssim_and_cs
from torchmetrics.functional.image import visual_information_fidelity

__all__ = ["l1", "mse", "psnr", "ssim", "vif"]

SSIM_WINDOW = 11
VIF_SMALLEST = 41  # torchmetrics' four scales need as much


def _checked(
    pred: torch.Tensor, target: torch.Tensor, data_range: float, region: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    if pred.shape != target.shape or pred.ndim != 4 or pred.shape[1] != 1:
        raise ValueError(
            f"pred {tuple(pred.shape)} and target {tuple(target.shape)} must be of one shape (B, 1, H, W)."
        )
    if region is not None and region.shape != pred.shape:
        raise ValueError(f"the region {tuple(region.shape)} and the images {tuple(pred.shape)} must be of one shape.")
    for name, image in (("pred", pred), ("target", target)):
        low, high = float(image.min()), float(image.max())
        if not (low >= -1e-4 * data_range and high <= (1 + 1e-4) * data_range):
            raise ValueError(f"{name} has values from {low:g} to {high:g}, expected [0, {data_range:g}] (data_range).")
    dtype = torch.promote_types(torch.promote_types(pred.dtype, target.dtype), torch.float32)
    return pred.to(dtype), target.to(dtype)


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
    pred, target = _checked(pred, target, data_range, region)
    return _mean((pred - target) ** 2, region)


def l1(
    pred: torch.Tensor, target: torch.Tensor, data_range: float = 1.0, region: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean absolute error, in units of the data range; raises like :func:`mse`."""
    pred, target = _checked(pred, target, data_range, region)
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
    pred, target = _checked(pred, target, data_range, region)
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


def vif(pred: torch.Tensor, target: torch.Tensor, data_range: float = 1.0) -> torch.Tensor:
    """Visual information fidelity in the pixel domain (Sheikh and Bovik 2006), noise variance 2 on the 0-255 scale.

    Computed by torchmetrics in float64, per image. A constant target carries no information: NaN.

    Raises:
        ValueError: like :func:`mse`, and for images smaller than 41 pixels.
    """
    pred, target = _checked(pred, target, data_range)
    if min(pred.shape[-2:]) < VIF_SMALLEST:
        raise ValueError(f"images of {tuple(pred.shape[-2:])} are smaller than the {VIF_SMALLEST} pixels VIF needs.")
    values = []
    for one_pred, one_target in zip(pred, target, strict=True):
        if float(one_target.max()) == float(one_target.min()):
            values.append(torch.full((), torch.nan, dtype=torch.float64, device=pred.device))
            continue
        pred_255, target_255 = (image[None].double() * (255 / data_range) for image in (one_pred, one_target))
        values.append(visual_information_fidelity(pred_255, target_255, sigma_n_sq=2.0))
    return torch.stack(values).to(pred.dtype)
