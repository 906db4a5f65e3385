"""From what a loader yields to the three image tensors of an iteration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.data import MetaTensor

from ..keys import BatchKeys

__all__ = ["prepare_cesm_batch"]


def prepare_cesm_batch(
    batch: Mapping[str, Any],
    device: torch.device | str | None = None,
    non_blocking: bool = False,
    dtype: torch.dtype | None = None,
) -> dict[str, torch.Tensor]:
    """LE, DES and SEG as plain tensors (B, 1, H, W) on ``device``, in ``dtype`` or PyTorch's default one.

    A batch without SEG gets an empty map: its lesion terms are exactly 0.

    Raises:
        ValueError: when LE or DES is missing or the shapes differ.
    """
    missing = [key for key in (BatchKeys.LE, BatchKeys.DES) if key not in batch]
    if missing:
        raise ValueError(f"the batch has the keys {sorted(batch)}, but lacks {', '.join(missing)}.")
    dtype = dtype or torch.get_default_dtype()
    images: dict[str, torch.Tensor] = {}
    for key in (BatchKeys.LE, BatchKeys.DES, BatchKeys.SEG):
        image = batch.get(key)
        if image is None:
            image = torch.zeros_like(images[BatchKeys.DES])
        if isinstance(image, MetaTensor):
            image = image.as_tensor()
        images[key] = image.to(device=device, dtype=dtype, non_blocking=non_blocking)
    shapes = {key: tuple(image.shape) for key, image in images.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"LE, DES and SEG of a batch must be of one shape, but are {shapes}.")
    return images
