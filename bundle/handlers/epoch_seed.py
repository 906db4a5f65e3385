"""One seed an epoch, so that a resumed run draws what the straight run would have drawn."""

from __future__ import annotations

import random

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd

__all__ = ["EpochSeed"]


class EpochSeed:
    """Seeds PyTorch, NumPy, ``random`` and the loader's transforms from (seed, epoch, rank) when an epoch starts.

    What all processes must draw alike, the order of the cases (the loader's ``batch_sampler``) and the augmentation
    (the engine's ``prepare_batch``), is seeded from (seed, epoch) alone, where it has ``set_random_state``. A run that
    goes on after epoch k then equals one that never stopped, bit for bit on the CPU, without any saved state of random
    generators (loaders must not keep their workers across epochs).

    Args:
        seed: of the whole run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        rank = int(getattr(engine.state, "rank", 0))
        entropy = self._entropy(engine, rank)
        torch.manual_seed(entropy[0])
        np.random.seed(entropy[0])  # noqa: NPY002 - third-party transforms draw from it
        random.seed(entropy[0])
        loader = engine.data_loader  # type: ignore[attr-defined]
        dataset = getattr(loader, "dataset", None)
        if dataset is not None:
            set_rnd(dataset, entropy[1])
        shared = (getattr(loader, "batch_sampler", None), getattr(engine, "prepare_batch", None))
        for part, seed in zip(shared, self._entropy(engine, rank=0), strict=True):
            if part is not None and hasattr(part, "set_random_state"):
                part.set_random_state(seed=seed)

    def _entropy(self, engine: Engine, rank: int) -> list[int]:
        return np.random.SeedSequence([self.seed, engine.state.epoch, rank]).generate_state(2).tolist()
