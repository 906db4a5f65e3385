"""Is enhancement where it belongs: lesion contrast, enhancement missed and enhancement invented, one value an image.

All take DES images (B, 1, H, W) in [0, ``data_range``] and the masks of :func:`~bundle.metrics.regions`, and return
(B,). Contrasts are differences inside one image, so that a shift of its whole level (``background_bias``) counts
neither as a missed nor as an invented enhancement. All lesions of a map count as one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy import ndimage

from .image_quality import checked_images
from .regions import MARGIN, REFERENCE_SIZE

__all__ = ["enhancement_missed", "invented_area", "invented_count", "lesion_area", "lesion_cnr", "lesion_contrast"]

NO_NOISE = 1e-6  # of the data range, a tenth of a step of 16 bits: below, a surround counts as constant


def lesion_area(areas: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Area of the lesion in pixels of the grid the images are on, (B,) float32; without a lesion NaN."""
    pixels = areas["lesion"].flatten(1).sum(1)
    return torch.where(pixels > 0, pixels.to(torch.float32), torch.nan)


def lesion_contrast(des: torch.Tensor, areas: Mapping[str, torch.Tensor], data_range: float = 1.0) -> torch.Tensor:
    """Mean DES in the lesion minus mean DES around it, in units of the data range.

    Around it is the ``ring``, or the ``background`` of an image whose ring is empty. Without a lesion, or without
    both, NaN. A constant image has none: 0.

    Raises:
        ValueError: for other shapes than (B, 1, H, W), values outside [0, ``data_range``] or NaN.
    """
    return _lesion_signal(des, areas, data_range)[0].to(_float(des))


def lesion_cnr(des: torch.Tensor, areas: Mapping[str, torch.Tensor], data_range: float = 1.0) -> torch.Tensor:
    """Contrast-to-noise ratio: :func:`lesion_contrast` over the standard deviation (ddof 0) of the same surround.

    A constant surround has no noise: infinity with the sign of the contrast, NaN where there is no contrast either.
    Raises like :func:`lesion_contrast`.
    """
    contrast, noise = _lesion_signal(des, areas, data_range)
    silent = NO_NOISE * data_range
    contrast = torch.where(contrast.abs() < silent, 0.0, contrast)
    return (contrast / torch.where(noise < silent, 0.0, noise)).to(_float(des))


def enhancement_missed(
    virtual: torch.Tensor,
    real: torch.Tensor,
    areas: Mapping[str, torch.Tensor],
    data_range: float = 1.0,
    enhancing_cnr: float = 0.3,
    least_share: float = 0.5,
) -> torch.Tensor:
    """1 where an enhancing lesion has less than ``least_share`` of its real contrast in the virtual DES, else 0.

    A lesion enhances when its real CNR is at least ``enhancing_cnr``; where it does not, or there is none, NaN.
    Raises like :func:`lesion_contrast`.
    """
    real_contrast = lesion_contrast(real, areas, data_range)
    missed = (lesion_contrast(virtual, areas, data_range) < least_share * real_contrast).to(real_contrast.dtype)
    enhances = lesion_cnr(real, areas, data_range) >= enhancing_cnr  # False for NaN
    return torch.where(enhances, missed, torch.nan)


def invented_count(
    virtual: torch.Tensor,
    real: torch.Tensor,
    areas: Mapping[str, torch.Tensor],
    data_range: float = 1.0,
    num_sd: float = 3.0,
    smallest: float = np.pi * MARGIN**2,
) -> torch.Tensor:
    """Number of enhancing blobs of the virtual DES where the real one has no lesion and is not bright.

    An image is bright where it exceeds the median of its own background by more than ``num_sd`` standard deviations of
    the real DES's background: what stands out from this breast's own texture, on either image's own level. A blob
    is an 8-connected set of at least ``smallest`` bright pixels of the virtual DES, in the background (thus 3 px from
    every lesion) and more than 3 px from the bright pixels of the real one. Lengths are at a size of 256 and scale with
    the image; the smallest blob is a disc of that margin, 28.3 px in area (so 29 pixels) or some 5 mm across.

    Identical images and a constant virtual one have none, 0. A real DES whose background is constant has no texture to
    tell what stands out: NaN under a virtual DES that is not constant there. Without a background (no breast) NaN.
    Raises like :func:`lesion_contrast`.
    """
    blobs = _invented(virtual, real, areas, data_range, num_sd, smallest)
    return _per_image([np.nan if sizes is None else len(sizes) for sizes in blobs], virtual)


def invented_area(
    virtual: torch.Tensor,
    real: torch.Tensor,
    areas: Mapping[str, torch.Tensor],
    data_range: float = 1.0,
    num_sd: float = 3.0,
    smallest: float = np.pi * MARGIN**2,
) -> torch.Tensor:
    """Area of the blobs of :func:`invented_count` as a share of the breast, in [0, 1]; NaN and errors as there."""
    blobs = _invented(virtual, real, areas, data_range, num_sd, smallest)
    breast = areas["breast"].flatten(1).sum(dim=1).tolist()
    shares = [np.nan if sizes is None else sizes.sum() / whole for sizes, whole in zip(blobs, breast, strict=True)]
    return _per_image(shares, virtual)


def _float(image: torch.Tensor) -> torch.dtype:
    return torch.promote_types(image.dtype, torch.float32)


def _per_image(values: list[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=_float(like), device=like.device)


def _lesion_signal(
    des: torch.Tensor, areas: Mapping[str, torch.Tensor], data_range: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Contrast of the lesion and noise of its surround, (B,) float64 each."""
    ring, background = areas["ring"], areas["background"]
    has_ring = ring.flatten(1).any(dim=1)[:, None, None, None]
    (des,) = checked_images(data_range, des=des)
    surround, image = torch.where(has_ring, ring, background), des.double()
    around = _mean(image, surround)
    noise = _mean((image - around[:, None, None, None]) ** 2, surround).sqrt()
    return _mean(image, areas["lesion"]) - around, noise


def _mean(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the pixels of a mask; 0 / 0 = NaN where it is empty."""
    return torch.where(mask, image, 0.0).flatten(1).sum(dim=1) / mask.flatten(1).sum(dim=1)


def _invented(
    virtual: torch.Tensor,
    real: torch.Tensor,
    areas: Mapping[str, torch.Tensor],
    data_range: float,
    num_sd: float,
    smallest: float,
) -> list[np.ndarray | None]:
    """Sizes in pixels of the invented blobs of each image; None where that is not defined."""
    virtual, real = checked_images(data_range, virtual=virtual, real=real)
    arrays = [images[:, 0].double().cpu().numpy() for images in (virtual, real)]
    backgrounds = areas["background"][:, 0].cpu().numpy()
    scale, silent = max(virtual.shape[-2:]) / REFERENCE_SIZE, NO_NOISE * data_range
    found: list[np.ndarray | None] = []
    for one_virtual, one_real, background in zip(*arrays, backgrounds, strict=True):
        if not background.any():
            found.append(None)
            continue
        noise = one_real[background].std()
        if noise < silent:
            constant = one_virtual[background].std() < silent
            found.append(np.zeros(0, dtype=int) if constant else None)
            continue
        step = num_sd * noise
        bright, really = (image > np.median(image[background]) + step for image in (one_virtual, one_real))
        bright &= background
        if really.any():
            bright &= ndimage.distance_transform_edt(~really) > MARGIN * scale
        labels, _ = ndimage.label(bright, structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel())[1:]
        found.append(sizes[sizes >= smallest * scale**2])
    return found
