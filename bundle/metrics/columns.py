"""The columns of metrics.csv that are computed, each a function of virtual DES, real DES, LE and regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch

from . import lesion
from .copying import le_correlation
from .image_quality import l1, mse, psnr, ssim, vif

__all__ = ["Column", "background_bias", "columns"]

Column = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Mapping[str, torch.Tensor]], torch.Tensor]
QUANTITIES = {"mse": mse, "l1": l1, "psnr": psnr, "ssim": ssim}
REGIONS = ("breast", "lesion", "ring", "background")


def columns(
    with_vif: bool = True, enhancing_cnr: float = 0.3, least_share: float = 0.5, num_sd: float = 3.0
) -> dict[str, Column]:
    """Column -> its function of (virtual DES, real DES, LE, regions), in the order of metrics.csv.

    ``mse l1 psnr ssim vif`` of the whole image; the first four with the prefixes ``breast_ lesion_ ring_
    background_``, and ``breast_vif``; ``lesion_area lesion_contrast_real lesion_contrast_virtual lesion_cnr_real
    lesion_cnr_virtual enhancement_missed invented_count invented_area background_bias``; ``lesion_le_correlation_real
    lesion_le_correlation_virtual background_le_correlation_real background_le_correlation_virtual``.

    Args:
        with_vif: with ``vif`` and ``breast_vif``, which are slow.
        enhancing_cnr, least_share: of ``enhancement_missed``.
        num_sd: of ``invented_count`` and ``invented_area``.
    """
    found: dict[str, Column] = {name: partial(_in_region, quantity, None) for name, quantity in QUANTITIES.items()}
    if with_vif:
        found["vif"] = partial(_in_region, vif, None)
    for region in REGIONS:
        found |= {f"{region}_{name}": partial(_in_region, quantity, region) for name, quantity in QUANTITIES.items()}
        if with_vif and region == "breast":
            found["breast_vif"] = partial(_in_region, vif, region)
    found |= {
        "lesion_area": lambda virtual, real, le, areas: lesion.lesion_area(areas),
        "lesion_contrast_real": lambda virtual, real, le, areas: lesion.lesion_contrast(real, areas),
        "lesion_contrast_virtual": lambda virtual, real, le, areas: lesion.lesion_contrast(virtual, areas),
        "lesion_cnr_real": lambda virtual, real, le, areas: lesion.lesion_cnr(real, areas),
        "lesion_cnr_virtual": lambda virtual, real, le, areas: lesion.lesion_cnr(virtual, areas),
        "enhancement_missed": partial(
            _without_le, lesion.enhancement_missed, enhancing_cnr=enhancing_cnr, least_share=least_share
        ),
        "invented_count": partial(_without_le, lesion.invented_count, num_sd=num_sd),
        "invented_area": partial(_without_le, lesion.invented_area, num_sd=num_sd),
        "background_bias": partial(_without_le, background_bias),
    }
    for region in ("lesion", "background"):
        found[f"{region}_le_correlation_real"] = partial(_with_le, le_correlation, region, False)
        found[f"{region}_le_correlation_virtual"] = partial(_with_le, le_correlation, region, True)
    return found


def background_bias(virtual: torch.Tensor, real: torch.Tensor, areas: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Mean of virtual minus real DES over the background, (B,); NaN without a background."""
    background = areas["background"].to(real.dtype)
    return ((virtual - real) * background).flatten(1).sum(1) / background.flatten(1).sum(1)


def _in_region(
    quantity: Callable[..., torch.Tensor],
    region: str | None,
    virtual: torch.Tensor,
    real: torch.Tensor,
    le: torch.Tensor,
    areas: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    return quantity(virtual, real, region=None if region is None else areas[region])


def _without_le(
    quantity: Callable[..., torch.Tensor],
    virtual: torch.Tensor,
    real: torch.Tensor,
    le: torch.Tensor,
    areas: Mapping[str, torch.Tensor],
    **thresholds: float,
) -> torch.Tensor:
    return quantity(virtual, real, areas, **thresholds)


def _with_le(
    quantity: Callable[..., torch.Tensor],
    region: str,
    of_virtual: bool,
    virtual: torch.Tensor,
    real: torch.Tensor,
    le: torch.Tensor,
    areas: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    return quantity(virtual if of_virtual else real, le, areas[region])
