"""Where an error counts: the breast, the lesion, the ring around it and the background."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label

__all__ = ["breast_mask", "regions"]

REFERENCE_SIZE = 256  # distances below are in pixels of an image of this size
MARGIN, RING = 3.0, 15.0


def breast_mask(le: np.ndarray) -> np.ndarray:
    """The breast in an LE image: Otsu's threshold, largest component, holes filled.

    Shapes:
        le: (H, W), air 0, brighter = denser; returns (H, W) bool, empty for a constant image.
    """
    if le.max() <= le.min():
        return np.zeros(le.shape, dtype=bool)
    if le.dtype.kind == "f":
        le = le.astype(np.float64)  # a nearly constant float32 image has no room for Otsu's 256 bins
    components = label(le > threshold_otsu(le))
    sizes = np.bincount(components.ravel())[1:]
    return ndimage.binary_fill_holes(components == 1 + int(sizes.argmax()))


def regions(le: torch.Tensor, seg: torch.Tensor) -> dict[str, torch.Tensor]:
    """Regions of each image of a batch.

    ``lesion`` is the map itself; ``background`` is the breast without the lesion dilated by 3 px; ``ring`` lies 3 to
    15 px around the lesion inside the breast (pixels at a size of 256, scaled with the image). Without a lesion,
    ``lesion`` and ``ring`` are empty.

    Shapes:
        le, seg: (B, 1, H, W), le in [0, 1], seg in {0, 1}; returns (B, 1, H, W) bool each, on the device of ``le``.

    Raises:
        ValueError: when the two shapes differ.
    """
    if le.shape != seg.shape:
        raise ValueError(f"le {tuple(le.shape)} and seg {tuple(seg.shape)} must be of one shape (B, 1, H, W).")
    scale = max(le.shape[-2:]) / REFERENCE_SIZE
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("breast", "lesion", "ring", "background")}
    for one_le, one_seg in zip(le[:, 0].float().cpu().numpy(), seg[:, 0].cpu().numpy() > 0, strict=True):
        breast = breast_mask(one_le)
        distance = ndimage.distance_transform_edt(~one_seg) if one_seg.any() else np.full(one_le.shape, np.inf)
        found["breast"].append(breast)
        found["lesion"].append(one_seg)
        found["ring"].append(breast & (distance > MARGIN * scale) & (distance <= RING * scale))
        found["background"].append(breast & (distance > MARGIN * scale))
    return {name: torch.from_numpy(np.stack(masks)[:, None]).to(le.device) for name, masks in found.items()}
