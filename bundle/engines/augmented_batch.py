"""From what a loader yields to the augmented images of a training iteration, on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from .joint_batches import JointBatches
from .prepare_batch import prepare_cesm_batch

__all__ = ["AugmentedBatch"]


class AugmentedBatch:
    """The trainer's ``prepare_batch``: moves a batch to the device, then augments it there, in float32.

    ``EpochSeed`` calls ``set_random_state`` when an epoch starts.

    Args:
        augmentation: called with the batch, the rows of the joint batch that it is and the size of that one; has
            ``set_random_state``. ``BatchAugmentation`` does.
        batches: the sampler of the loader, where several processes share a batch; None where there is one.
    """

    def __init__(self, augmentation: Callable[..., dict], batches: JointBatches | None = None) -> None:
        self.augmentation, self.batches = augmentation, batches
        self._batch = 0

    def set_random_state(self, seed: int) -> AugmentedBatch:
        """Begin an epoch, with the same seed in every process."""
        self.augmentation.set_random_state(seed=seed)  # type: ignore[attr-defined]
        self._batch = 0
        return self

    def __call__(
        self,
        batch: Mapping[str, Any],
        device: torch.device | str | None = None,
        non_blocking: bool = False,
        dtype: torch.dtype | None = None,
    ) -> dict[str, torch.Tensor]:
        """LE, DES and SEG as ``prepare_cesm_batch`` gives them, augmented."""
        images = prepare_cesm_batch(batch, device, non_blocking, torch.float32)
        share = {}
        if self.batches is not None:
            share = {"rows": self.batches.rows(self._batch), "joint": self.batches.joint_size(self._batch)}
        self._batch += 1
        images = self.augmentation(images, **share)
        return {key: image.to(dtype or torch.get_default_dtype()) for key, image in images.items()}
