"""What every metric asks of its images."""

from __future__ import annotations

import torch

__all__ = ["checked_images"]


def checked_images(
    data_range: float, region: torch.Tensor | None = None, **images: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """The images, by name, in their common type, float32 at least.

    Raises:
        ValueError: unless all are of one shape (B, 1, H, W) with finite values in [0, ``data_range``], and the
            ``region``, if there is one, is of that shape.
    """
    shapes = [tuple(image.shape) for image in images.values()]
    if len(set(shapes)) > 1 or len(shapes[0]) != 4 or shapes[0][1] != 1:
        said = " and ".join(f"{name} {shape}" for name, shape in zip(images, shapes, strict=True))
        raise ValueError(f"{said} must be of one shape (B, 1, H, W).")
    if region is not None and tuple(region.shape) != shapes[0]:
        raise ValueError(f"the region {tuple(region.shape)} and the images {shapes[0]} must be of one shape.")
    for name, image in images.items():
        low, high = float(image.min()), float(image.max())
        if not (low >= -1e-4 * data_range and high <= (1 + 1e-4) * data_range):  # nor NaN
            raise ValueError(f"{name} has values from {low:g} to {high:g}, expected [0, {data_range:g}] (data_range).")
    dtype = torch.float32
    for image in images.values():
        dtype = torch.promote_types(dtype, image.dtype)
    return tuple(image.to(dtype) for image in images.values())
