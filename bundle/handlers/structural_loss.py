"""Structural similarity of a registered pair as a loss, as an event handler."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.losses import SSIMLoss

from ..engines.events import CycleGanEvents
from ..keys import BatchKeys, LossTerms, OutputKeys

__all__ = ["StructuralLossHandler"]


class StructuralLossHandler:
    """Adds ``structural``: one minus the structural similarity (Wang et al. 2004) of G(x) and y, from MONAI.

    With the default window it is one minus :func:`bundle.metrics.image_quality.ssim`. It works on ``CycleGanTrainer``,
    ``CycleGanEvaluator`` and ``PairedTrainer``. It is a mean over the images of a batch, so micro-batches and processes
    change nothing, and it is computed in the precision of the batch whatever the networks run in: its variances are
    small differences of large numbers. A weight of 0 adds no term.

    Args:
        weight: of the term.
        window: side of the Gaussian window in pixels, odd.
        sigma: of the window, in pixels.
        data_range: of the images.

    Raises:
        ValueError: for a negative weight or a window that is not odd; in the first step, for images smaller than it.
    """

    def __init__(self, weight: float = 1.0, window: int = 11, sigma: float = 1.5, data_range: float = 1.0) -> None:
        if weight < 0:
            raise ValueError(f"weight is {weight}, expected 0 or more.")
        if window != int(window) or window < 1 or window % 2 == 0:
            raise ValueError(f"window is {window}, expected an odd whole number of pixels.")
        self.weight = weight
        self.window = int(window)
        self.loss = SSIMLoss(spatial_dims=2, data_range=data_range, win_size=self.window, kernel_sigma=sigma)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if self.weight == 0:
            return
        state: Any = engine.state
        virtual_des, des = state.output[OutputKeys.VIRTUAL_DES], state.output[BatchKeys.DES]
        if min(des.shape[-2:]) < self.window:
            raise ValueError(f"images of {tuple(des.shape[-2:])} are smaller than the window of {self.window} pixels.")
        with torch.autocast(des.device.type, enabled=False):
            term = self.weight * self.loss(virtual_des.to(des.dtype), des)
        state.loss_terms[LossTerms.STRUCTURAL] = term
