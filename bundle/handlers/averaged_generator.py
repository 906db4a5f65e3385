"""The generator's weights averaged over its training, for validation and for what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ..engines.events import CycleGanEvents
from ..engines.micro_batches import unwrapped

__all__ = ["AveragedGenerator"]


class AveragedGenerator:
    r"""Keeps :math:`\bar\theta \leftarrow d_n \bar\theta + (1 - d_n) \theta` of G, whose own weights go on training.

    After the n-th average :math:`d_n = \min(d, (1 + n) / (w + n))`: a short run averages over its later part, and the
    initial weights are never part of it, as the first average is the weights after the first step. Buffers are copied.
    PyTorch's ``AveragedModel`` does the work.

    Hand ``network`` to the evaluator and to ``BestModel``, attach this to the trainer (any that has ``gen_le_to_des``
    and fires GENERATOR_MODEL_COMPLETED), and give it to ``TrainingState`` as a part.

    Args:
        network: G, not wrapped; copied.
        decay: d, in [0, 1); 0.999 averages over some 1000 steps.
        warmup: w, 1 or more; 1 takes ``decay`` from the second step on.

    Raises:
        ValueError: for a decay or warm-up out of range.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999, warmup: int = 10) -> None:
        if not 0 <= decay < 1 or warmup < 1:
            raise ValueError(f"decay is {decay}, expected in [0, 1); warmup is {warmup}, expected 1 or more.")
        self.decay = decay
        self.warmup = warmup
        self.model = AveragedModel(network, multi_avg_fn=self._average).requires_grad_(False)
        self._count = 0  # beside the model's own, which a device may hold

    @property
    def network(self) -> nn.Module:
        """The averaged generator, of the same form as G."""
        return self.model.module

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(CycleGanEvents.GENERATOR_MODEL_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        self.model.update_parameters(unwrapped(engine.gen_le_to_des))
        self._count += 1

    def _average(self, averaged: Any, current: Any, _: Any) -> None:
        kept = min(self.decay, (1 + self._count) / (self.warmup + self._count))
        torch._foreach_lerp_(averaged, current, 1 - kept)

    def state_dict(self) -> dict[str, Any]:
        return self.model.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state)
        self._count = int(self.model.n_averaged)
