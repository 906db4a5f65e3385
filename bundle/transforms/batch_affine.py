"""The augmentation of a whole batch on the device that trains, with the draws that its cases would have had alone."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.transforms import Compose, Randomizable
from monai.utils import MAX_SEED

from .spatial import AffineDraw, RandAlignedAffined

__all__ = ["BatchAugmentation", "align_batch"]


def align_batch(
    batch: Mapping[Hashable, torch.Tensor],
    draws: Sequence[AffineDraw],
    image_keys: Sequence[Hashable],
    seg_keys: Sequence[Hashable] = (),
) -> dict[Hashable, torch.Tensor]:
    """What ``AlignedAffined`` makes of each case by its own draw, for all of them in one resampling a kind.

    Images bilinear, maps nearest, one grid for both, zeros outside; a case that is only flipped, or stays, is exact.
    On the CPU the result equals that of the cases one by one, bit for bit; on CUDA nothing waits for the host.

    Shapes:
        each key (B, 1, H, W) float32, all of one shape; ``draws``: B.

    Raises:
        ValueError: when the keys differ in shape, or the batch has another number of cases than there are draws.
    """
    batch = dict(batch)
    kinds = (("bilinear", image_keys), ("nearest", seg_keys))
    groups = [(mode, [key for key in keys if key in batch]) for mode, keys in kinds]
    shapes = {key: tuple(batch[key].shape) for _, keys in groups for key in keys}
    if len(set(shapes.values())) > 1 or any(shape[0] != len(draws) for shape in shapes.values()):
        raise ValueError(f"A batch of {shapes} and {len(draws)} draws: expected one shape and one draw a case.")
    turned = [row for row, draw in enumerate(draws) if draw.resamples]
    mirrored = [row for row, draw in enumerate(draws) if draw.flip and not draw.resamples]
    if not shapes or not (turned or mirrored):
        return batch
    (_, _, height, width), device = next(iter(shapes.values())), batch[next(iter(shapes))].device
    if turned:
        rows = _sent(torch.tensor(turned), device)
        theta = _sent(torch.cat([draws[row].theta(height, width) for row in turned]), device)
        grid = F.affine_grid(theta, [len(turned), 1, height, width], align_corners=False)
    for mode, keys in groups:
        if not keys:
            continue
        stack = torch.cat([batch[key] for key in keys], dim=1)
        for row in mirrored:
            stack[row] = stack[row].flip(-1)
        if turned:
            moved = F.grid_sample(stack[rows], grid, mode=mode, padding_mode="zeros", align_corners=False)
            stack.index_copy_(0, rows, moved)
        batch.update(zip(keys, stack.split([batch[key].shape[1] for key in keys], dim=1), strict=True))
    return batch


def _sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """On its way to the device, without waiting for what runs there."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class BatchAugmentation(Randomizable):
    """Random transforms of single cases, applied to batches: in one go where they are ``RandAlignedAffined``.

    Seeded alike, it draws what a ``Compose`` of the same transforms draws for the same cases in the same order, and it
    draws for the whole joint batch of all processes, of which each process takes its own rows: neither the number of
    workers nor that of processes changes what happens to a case. Any other dictionary transform works case by case on
    the device, seeded by the place of the case in the epoch.

    Args:
        transforms: dictionary transforms of items without a batch axis.
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self.transforms = Compose(transforms)
        self._seed, self._drawn = 0, 0

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> BatchAugmentation:
        """Begin anew, as at the start of an epoch."""
        self.transforms.set_random_state(seed if seed is None else seed % MAX_SEED, state)
        self._seed, self._drawn = int(self.transforms.R.randint(MAX_SEED, dtype="uint32")), 0
        return self

    def __call__(
        self, batch: Mapping[Hashable, torch.Tensor], rows: Sequence[int] | None = None, joint: int | None = None
    ) -> dict[Hashable, torch.Tensor]:
        """The batch, changed.

        Args:
            batch: each key (B, 1, H, W) float32.
            rows: places of its B cases in the joint batch; None where it is the joint batch.
            joint: cases of the joint batch, for which random numbers are drawn.
        """
        batch = dict(batch)
        rows = range(joint if joint is not None else len(next(iter(batch.values())))) if rows is None else rows
        joint = len(rows) if joint is None else joint
        for place, transform in enumerate(self.transforms.transforms):
            if isinstance(transform, RandAlignedAffined):
                draws = []
                for _ in range(joint):
                    transform.randomize()
                    draws.append(transform.draw)
                batch = align_batch(batch, [draws[row] for row in rows], transform.image_keys, transform.seg_keys)
                continue
            cases = []
            for number, row in enumerate(rows):
                if isinstance(transform, Randomizable):
                    entropy = np.random.SeedSequence([self._seed, place, self._drawn + row]).generate_state(1)
                    transform.set_random_state(seed=int(entropy[0]))
                cases.append(transform({key: images[number] for key, images in batch.items()}))
            batch = {key: torch.stack([torch.as_tensor(case[key]) for case in cases]) for key in batch}
        self._drawn += joint
        return batch
