"""The lesion-masked losses of Seg-CycleGAN as an event handler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
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
        gamma: extra weight of a lesion pixel; the paper runs 35 and 100. Or a rule that gives it for each image, (B,),
            when called with the maps of a batch, such as :class:`bundle.handlers.AreaGamma`.
        lambda_cycle, lambda_identity: the weights of the unmasked terms, 10 and 5 in the paper.
        reduction: "image" (the paper) or "lesion", see :class:`bundle.losses.LesionL1Loss`.

    Raises:
        ValueError: for a negative weight or an unknown reduction; when attached, for an engine without F.
    """

    def __init__(
        self,
        gamma: float | Callable[[torch.Tensor], torch.Tensor],
        lambda_cycle: float = 10.0,
        lambda_identity: float = 5.0,
        reduction: str = "image",
    ) -> None:
        if min(0 if callable(gamma) else gamma, lambda_cycle, lambda_identity) < 0:
            raise ValueError(
                f"gamma {gamma}, lambda_cycle {lambda_cycle} and lambda_identity {lambda_identity} must be 0 or more."
            )
        self.gamma = gamma
        self.lambda_cycle = lambda_cycle
        self.lambda_identity = lambda_identity
        self.loss = LesionL1Loss(reduction)

    def attach(self, engine: Engine) -> None:
        if getattr(engine, "gen_des_to_le", None) is None:
            raise ValueError(
                f"the lesion-masked losses weigh cycle and identity images, but this {type(engine).__name__} has no "
                "gen_des_to_le to make them: a baseline on pairs takes gamma 0 and no rule for gamma. Its own weight "
                "of lesions is lesion_weight."
            )
        engine.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        state: Any = engine.state
        images = state.output
        le, des, seg = images[BatchKeys.LE], images[BatchKeys.DES], images[BatchKeys.SEG]
        gamma, weights = (1.0, self.gamma(seg)) if callable(self.gamma) else (self.gamma, None)

        def error(image: str, reference: torch.Tensor) -> torch.Tensor:
            return self.loss(images[image], reference, seg, weights)

        cycle = error(OutputKeys.CYCLE_DES, des) + error(OutputKeys.CYCLE_LE, le)
        identity = error(OutputKeys.IDENTITY_DES, des) + error(OutputKeys.IDENTITY_LE, le)
        state.loss_terms[LossTerms.LESION_CYCLE] = gamma * self.lambda_cycle * cycle
        state.loss_terms[LossTerms.LESION_IDENTITY] = gamma * self.lambda_identity * identity
