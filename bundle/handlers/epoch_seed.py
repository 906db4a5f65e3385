"""One seed an epoch, so that a resumed run draws what the straight run would have drawn."""

from __future__ import annotations

import random

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd

__all__ = ["EpochSeed"]


class EpochSeed:
    """Seeds PyTorch, NumPy, ``random`` and the data's transforms from (seed, epoch, rank) when an epoch starts.

    A run that goes on after epoch k then equals one that never stopped, bit for bit on the CPU, without any saved state
    of random generators (loaders must not keep their workers across epochs).

    Args:
        seed: of the whole run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        rank = int(getattr(engine.state, "rank", 0))
        entropy = np.random.SeedSequence([self.seed, engine.state.epoch, rank]).generate_state(2)
        torch.manual_seed(int(entropy[0]))
        np.random.seed(int(entropy[0]))  # noqa: NPY002 - third-party transforms draw from it
        random.seed(int(entropy[0]))
        dataset = getattr(engine.data_loader, "dataset", None)  # type: ignore[attr-defined]
        if dataset is not None:
            set_rnd(dataset, int(entropy[1]))
