"""The lesion-masked losses of Seg-CycleGAN as an event handler."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine

from ..engines.events import CycleGanEvents
from ..keys import BatchKeys, LossTerms, OutputKeys
from ..losses import LesionL1Loss

__all__ = ["LesionLossHandler"]


class LesionLossHandler:
    r"""Adds the lesion cycle and lesion identity terms (Eqs 5-7 of arXiv 2505.03018) to an engine's objective.

    .. math::
        \gamma \lambda_1 (|s (G(F(y)) - y)| + |s (F(G(x)) - x)|)
        + \gamma \lambda_2 (|s (G(y) - y)| + |s (F(x) - x)|)

    It works on ``CycleGanTrainer`` and ``CycleGanEvaluator`` alike. Without it the engine is the plain CycleGAN of
    Eq 4, which ``gamma = 0`` equals.

    Args:
        gamma: extra weight of a lesion pixel; the paper runs 35 and 100.
        lambda_cycle, lambda_identity: the weights of the unmasked terms, 10 and 5 in the paper.
        reduction: "image" (the paper) or "lesion", see :class:`bundle.losses.LesionL1Loss`.

    Raises:
        ValueError: for a negative weight or an unknown reduction.
    """

    def __init__(
        self,
        gamma: float,
        lambda_cycle: float = 10.0,
        lambda_identity: float = 5.0,
        reduction: str = "image",
    ) -> None:
        if min(gamma, lambda_cycle, lambda_identity) < 0:
            raise ValueError(
                f"gamma {gamma}, lambda_cycle {lambda_cycle} and lambda_identity {lambda_identity} must be 0 or more."
            )
        self.gamma = gamma
        self.lambda_cycle = lambda_cycle
        self.lambda_identity = lambda_identity
        self.loss = LesionL1Loss(reduction)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        state: Any = engine.state
        images = state.output
        le, des, seg = images[BatchKeys.LE], images[BatchKeys.DES], images[BatchKeys.SEG]
        cycle = self.loss(images[OutputKeys.CYCLE_DES], des, seg) + self.loss(images[OutputKeys.CYCLE_LE], le, seg)
        identity = self.loss(images[OutputKeys.IDENTITY_DES], des, seg) + self.loss(
            images[OutputKeys.IDENTITY_LE], le, seg
        )
        state.loss_terms[LossTerms.LESION_CYCLE] = self.gamma * self.lambda_cycle * cycle
        state.loss_terms[LossTerms.LESION_IDENTITY] = self.gamma * self.lambda_identity * identity
