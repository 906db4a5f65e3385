"""A further discriminator beside those of the engine, with an optimiser of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.engines.utils import IterationEvents
from torch import nn
from torch.optim import Optimizer

from ..engines.events import CycleGanEvents
from ..engines.micro_batches import AUTOCAST_TYPES, batch_share
from ..engines.running_means import over_processes
from ..keys import BatchKeys, OutputKeys
from .lesion_crops import LesionCrops

__all__ = ["OwnDiscriminator", "beside_le"]

View = Callable[[Mapping[str, torch.Tensor], str], torch.Tensor]


def beside_le(images: Mapping[str, torch.Tensor], key: str) -> torch.Tensor:
    """LE and the image of ``key`` as two channels, (B, 2, H, W): the conditional discriminator of Isola et al. 2017."""
    return torch.cat([images[BatchKeys.LE], images[key]], dim=1)


VIEWS: dict[str, View] = {"beside_le": beside_le, "lesion_crops": LesionCrops()}


class OwnDiscriminator:
    r"""Adds :math:`w |D(v(G(x))) - 1|^2` to the generators' objective and trains D on views of real and virtual DES.

    The generators' term is ``adversarial_<name>`` (without "disc_"). Once an iteration, after the engine's own steps, D
    takes one step on half of :math:`|D(v(y)) - 1|^2 + |D(v(G(x)))|^2`, left as ``loss_<name>`` in ``state.output``.
    Both are means over the batch in which an image that the view leaves out counts 0, so that micro-batches add up to
    it. A batch without any view adds 0, and D does not step.

    It works on every engine that fires GENERATOR_LOSS_COMPLETED with ``le``, ``des``, ``seg`` and ``virtual_des`` in
    ``state.output``. D trains at MONAI's ``IterationEvents.MODEL_COMPLETED``, before any handler reads the finished
    output, or at ITERATION_COMPLETED where the engine does not fire that. On an ``Evaluator`` it adds the term and
    trains nothing. It goes into a checkpoint as a part of ``TrainingState``, and a training that starts from that
    checkpoint takes it over if it has a part of that name.

    Args:
        discriminator: D; ends in its own activation.
        optimizer: of D's parameters.
        weight: of the generators' term; 0 does nothing at all.
        view: "beside_le" (LE and DES as two channels), "lesion_crops" (:class:`LesionCrops` of 64 pixels), or a
            function of the images and the key of the one to judge, which returns (N, C, H', W'), N at most B.
        name: of D.

    Raises:
        ValueError: for a negative weight or an unknown view.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        optimizer: Optimizer,
        weight: float = 1.0,
        view: str | View = "beside_le",
        name: str = "disc_pair",
    ) -> None:
        if weight < 0:
            raise ValueError(f"the weight of {name} is {weight}, expected 0 or more.")
        if isinstance(view, str) and view not in VIEWS:
            raise ValueError(f"the view of {name} is {view!r}, expected {', '.join(VIEWS)} or a function.")
        self.discriminator = discriminator
        self.optimizer = optimizer
        self.weight = weight
        self.view = VIEWS[view] if isinstance(view, str) else view
        self.name = name
        self.term = f"adversarial_{name.removeprefix('disc_')}"
        self.scaler = torch.amp.GradScaler("cpu", enabled=False)
        self._to_train = False

    @property
    def networks(self) -> dict[str, nn.Module]:
        """By their names in ``state_dict``: what another training may start from."""
        return {"discriminator": self.discriminator}

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        return {"optimizer": self.optimizer}

    def attach(self, engine: Engine) -> None:
        if self.weight == 0:
            return
        if isinstance(engine, Evaluator):
            engine.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, self.judge)
            return
        state: Any = engine.state  # before a checkpoint is loaded: moments then lie where the weights lie
        if (device := getattr(state, "device", None)) is not None:
            self.discriminator.to(device)
            enabled = getattr(engine, "precision", "fp32") == "fp16"
            self.scaler = torch.amp.GradScaler(device.type, enabled=enabled)
        engine.add_event_handler(CycleGanEvents.GENERATOR_LOSS_COMPLETED, self)
        if engine.has_registered_events(IterationEvents.MODEL_COMPLETED):
            engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self.train)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.train)

    def __call__(self, engine: Engine) -> None:
        self.discriminator.requires_grad_(False)  # what flows through it is the generators' gradient alone
        self.discriminator.train()
        self.judge(engine)
        self._to_train = True

    def judge(self, engine: Engine) -> None:
        """Add the generators' term."""
        state: Any = engine.state
        error = self._error(engine, state.output, OutputKeys.VIRTUAL_DES, target=1.0)
        state.loss_terms[self.term] = self.weight * error

    def train(self, engine: Engine) -> None:
        """One step on the whole batch."""
        if not self._to_train:
            return  # this iteration's step is done
        self._to_train = False
        state: Any = engine.state
        self.discriminator.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        real = self._error(engine, state.output, BatchKeys.DES, target=1.0)
        fake = self._error(engine, state.output, OutputKeys.VIRTUAL_DES, target=0.0)
        loss = 0.5 * (real + fake) * batch_share(engine)
        state.output[f"loss_{self.name}"] = loss.detach()
        if loss.requires_grad:
            self.scaler.scale(loss).backward()
        if over_processes(loss.new_tensor(loss.requires_grad)) == 0:
            return
        for weight in self.discriminator.parameters():
            weight.grad = over_processes(torch.zeros_like(weight) if weight.grad is None else weight.grad)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _error(self, engine: Engine, images: Mapping[str, torch.Tensor], key: str, target: float) -> torch.Tensor:
        """Mean over the batch of each view's mean squared distance to the target; an image without a view counts 0."""
        view, le = self.view(images, key), images[BatchKeys.LE]
        if len(view) == 0:
            return le.new_zeros(())
        dtype = AUTOCAST_TYPES[getattr(engine, "precision", "fp32")]
        with torch.autocast(view.device.type, dtype=dtype, enabled=dtype is not None):
            verdict = self.discriminator(view)
        return (verdict.to(le.dtype) - target).square().flatten(1).mean(dim=1).sum() / len(le)

    def state_dict(self) -> dict[str, Any]:
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
