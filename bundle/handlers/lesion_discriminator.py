"""The lesion map enters the discriminators in training; the generators, and so inference, never see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from torch import nn

from ..engines.events import CycleGanEvents
from ..engines.micro_batches import unwrapped
from ..keys import BatchKeys, OutputKeys

__all__ = ["LesionDiscriminatorHandler"]

MODES = ("concatenate", "weight")


class LesionDiscriminatorHandler:
    r"""Tells Dy and Dx where the lesions are, an open question of arXiv 2505.03018.

    - ``"concatenate"``: they judge [image, s], two channels. Build them with ``in_channels`` 2.
    - ``"weight"``: their verdicts count more where they fall on a lesion. With m the lesion map on the grid of the
      verdicts (1 where a cell holds any lesion pixel), the generators' term ``adversarial_lesion`` is
      :math:`w (\overline{m (D_Y(G(x)) - 1)^2} + \overline{m (D_X(F(y)) - 1)^2})`, and ``disc_des_lesion`` is
      :math:`w/2\, (\overline{m (D_Y(y) - 1)^2} + \overline{m D_Y(G(x))^2})`, ``disc_le_lesion`` alike.

    The third way, a discriminator for the lesions alone, is ``OwnDiscriminator`` with ``LesionCrops``.

    Attach the same object to ``CycleGanTrainer`` and ``CycleGanEvaluator``.

    Args:
        mode: "concatenate" or "weight".
        weight: of the terms of "weight"; 0 adds none.

    Raises:
        ValueError: for an unknown mode or a negative weight; when attached, for an engine without Dy and Dx, for an
            image pool (its images are not those of the batch's maps) and, to concatenate, for discriminators of one
            channel or compiled ones.
    """

    def __init__(self, mode: str, weight: float = 1.0) -> None:
        if mode not in MODES:
            raise ValueError(
                f"mode is {mode!r}, expected {' or '.join(map(repr, MODES))}; lesion crops are judged by "
                "an OwnDiscriminator with the view 'lesion_crops'."
            )
        if weight < 0:
            raise ValueError(f"the weight of the verdicts on lesions is {weight}, expected 0 or more.")
        self.mode = mode
        self.weight = weight
        self._engine: Any = None  # the one that is under way: a validation runs inside the training
        self._shown: list[nn.Module] = []

    def attach(self, engine: Any) -> None:
        discriminators = {
            name: unwrapped(network)
            for name in ("disc_des", "disc_le")
            if (network := getattr(engine, name, None)) is not None
        }
        problems = self._problems(engine, discriminators)
        if problems:
            raise ValueError("\n".join(problems))
        if self.mode == "concatenate":
            engine.add_event_handler(Events.ITERATION_STARTED, self._under_way)
            for network in discriminators.values():
                if not any(network is shown for shown in self._shown):
                    network.register_forward_pre_hook(self._beside_its_map)
                    self._shown.append(network)
        elif self.weight > 0:
            engine.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, self)
            engine.add_event_handler(CycleGanEvents.DISCRIMINATOR_LOSS_COMPLETED, self.judge_discriminators)

    def _problems(self, engine: Any, discriminators: Mapping[str, nn.Module]) -> list[str]:
        problems = []
        if len(discriminators) < 2:
            problems.append(
                f"this {type(engine).__name__} has no disc_des and disc_le to be told of lesions: a baseline on pairs "
                "trains without them."
            )
        sizes = [getattr(getattr(engine, name, None), "size", 0) for name in ("pool_des", "pool_le")]
        if max(sizes) > 0:
            problems.append(
                f"the image pools hold {max(sizes)} images, whose lesion maps are not those of the batch: "
                "a discriminator that sees the map needs pool_size 0."
            )
        if self.mode != "concatenate":
            return problems
        if getattr(engine, "compile", None) is not None:
            problems.append("a compiled discriminator cannot be shown the lesion map of each batch: set compile null.")
        for name, network in discriminators.items():
            channels = next(network.parameters()).shape[1]
            if channels != 2:
                problems.append(
                    f"{name} takes {channels} channel(s), expected 2, the image and its lesion map: "
                    "set disc_des#in_channels 2."
                )
        return problems

    def _under_way(self, engine: Engine) -> None:
        self._engine = engine

    def _beside_its_map(self, discriminator: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        (image,) = inputs
        seg = self._engine.state.output[BatchKeys.SEG]
        seg = seg.repeat(len(image) // len(seg), 1, 1, 1)  # real and synthetic images may come in one call
        return (torch.cat([image, seg.to(image.dtype)], dim=1),)

    def __call__(self, engine: Engine) -> None:
        """The generators' term of "weight"."""
        state: Any = engine.state
        error = self._error(state, OutputKeys.VIRTUAL_DES, 1.0) + self._error(state, OutputKeys.VIRTUAL_LE, 1.0)
        state.loss_terms["adversarial_lesion"] = self.weight * error

    def judge_discriminators(self, engine: Engine) -> None:
        """The discriminators' terms of "weight"."""
        state: Any = engine.state
        for image in (BatchKeys.DES, BatchKeys.LE):
            error = self._error(state, image, 1.0) + self._error(state, f"fake_{image}", 0.0)
            state.loss_terms[f"disc_{image}_lesion"] = self.weight * 0.5 * error

    @staticmethod
    def _error(state: Any, image: str, target: float) -> torch.Tensor:
        verdict = state.verdicts[image]
        on_lesion = F.adaptive_max_pool2d(state.output[BatchKeys.SEG], verdict.shape[-2:])
        return (on_lesion * (verdict - target).square()).mean()
